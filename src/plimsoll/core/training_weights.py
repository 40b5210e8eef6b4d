"""The model's own weights as a training run keeps them: 16 bits, packed in 4 or 8, or raised to f32."""

from __future__ import annotations

import re
from dataclasses import dataclass

from plimsoll.core.lora_modules import offered, roles
from plimsoll.core.training_targets import TOWERS
from plimsoll.domain.model import Model
from plimsoll.domain.training import TrainingSetup


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Values of the model by how they are kept and by how parallel ranks split them.

    `split`: 'expert' goes over expert-parallel ranks, 'layer' over tensor- and pipeline-parallel ones, 'end'
    (embedding, head) over tensor-parallel ones. `rows_count` counts matrix rows (int8 keeps a float of each).
    """

    split: str
    kept: str
    values_count: int
    rows_count: int


def shares(model: Model, setup: TrainingSetup) -> tuple[Share, ...]:
    """Every parameter once."""
    has, kinds, rule = offered(model), roles(model), setup.framework
    packs = setup.base_bits < 16
    found: dict[tuple[str, str], list[int]] = {}
    for name, shape in has.parameters.items():
        module, role = name.removesuffix(".weight"), kinds[name]
        values = 1
        for dim in shape:
            values *= dim
        is_packed = packs and (
            (module in has.linears and module != has.head and (rule.packs_towers or role not in TOWERS))
            or (role == "expert" and rule.quantises_experts and len(shape) == 3)
        )
        kept = (
            ("int8" if setup.base_bits == 8 else "nf4")
            if is_packed
            else _plain(role, rule.raised if packs else "none")
        )
        split = "expert" if role == "expert" else "end" if role in ("embedding", "output") else "layer"
        entry = found.setdefault((split, kept), [0, 0])
        entry[0] += values
        entry[1] += values // shape[-1]
    return tuple(
        Share(split=split, kept=kept, values_count=values, rows_count=rows)
        for (split, kept), (values, rows) in found.items()
    )


def _plain(role: str, raised: str) -> str:
    if raised == "all" or (raised == "norms" and role not in ("embedding", "output")):
        return "f32"
    return "16 bits"


def share_of_rank(share: Share, setup: TrainingSetup) -> int:
    """Values of one rank: experts / expert parallel, layers / tensor parallel, both / pipeline; ends /
    tensor."""
    if share.split == "end":
        return share.values_count // setup.tensor_parallel
    if share.split == "expert":
        experts = max(setup.expert_parallel, 1)
        return share.values_count // (experts * setup.pipeline_parallel)
    return share.values_count // (setup.tensor_parallel * setup.pipeline_parallel)


def largest_matrix(model: Model) -> int:
    """Values of the largest packed matrix: what is unpacked at a time."""
    has = offered(model)
    return max((out * width for name, (out, width) in has.linears.items() if name != has.head), default=0)


def largest_layer(model: Model) -> int:
    """Values of the largest block: what ZeRO-3 and FSDP gather at a time."""
    sizes: dict[str, int] = {}
    for name, shape in offered(model).parameters.items():
        found = re.search(r"\.(?:layers|h|blocks|block)\.(\d+)\.", name)
        values = 1
        for dim in shape:
            values *= dim
        key = found[1] if found else name
        sizes[key] = sizes.get(key, 0) + values
    return max(sizes.values(), default=0)
