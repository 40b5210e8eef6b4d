"""From a model and a context to a graph's facts, as plain values that survive JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from plimsoll.domain.model import LayerSpec, Model, StateSpec, TensorSpec
from plimsoll.runtimes.llama_cpp.architecture import window_of
from plimsoll.runtimes.llama_cpp.attention import Batch, Block
from plimsoll.runtimes.llama_cpp.cache import value_row, windowed_cells
from plimsoll.runtimes.llama_cpp.decoder import COMMON, TRAITS, has_rope
from plimsoll.runtimes.llama_cpp.settings import Context
from plimsoll.runtimes.llama_cpp.tensor import Dims
from plimsoll.runtimes.llama_cpp.tensors import gguf_architecture

_NAME = re.compile(r"^blk\.(\d+)\.(.+?)(?:\.weight)?$")
_FIRST_COUNT = 4
_USED = re.compile(
    r"^(attn_(norm|q|k|v|qkv|gate|output|q_norm|k_norm|q_a|q_b|kv_a_mqa)|ffn_(norm|up|down|gate)(_shexp|_exps)?"
    r"|ffn_gate_up_exps|ffn_gate_inp_shexp|ffn_down_exps\.scale|exp_probs_b(\.bias)?|post_(attention|ffw)_norm"
    r"|ssm_(in|out|norm|ba)|shortconv\.(in|out)_proj|inp_gate|proj|laurel_l|indexer\.attn_k)$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A model's distinct blocks and their order; `sample` is a shorter order with the same largest buffer.

    `kinds_json` are the blocks as a line's inputs hold them.
    """

    architecture: str
    kinds: tuple[Block, ...]
    kinds_json: list[dict[str, Any]]
    order: tuple[int, ...]
    sample: tuple[int, ...]


_PLANS: dict[int, tuple[tuple[TensorSpec, ...], Plan]] = {}


def plan_of(model: Model, table: tuple[TensorSpec, ...]) -> Plan:
    """The model's plan, remembered for its table (the same one is asked for at every context tried)."""
    key = id(table)
    if key not in _PLANS:
        while len(_PLANS) >= 64:
            del _PLANS[next(iter(_PLANS))]
        _PLANS[key] = (table, _plan(model, table))
    return _PLANS[key][1]


def _plan(model: Model, table: tuple[TensorSpec, ...]) -> Plan:
    architecture = gguf_architecture(model)
    blocks = blocks_of(table, model.layers, architecture)
    kinds: list[Block] = []
    order = []
    for block in blocks:
        plain = replace(block, spec=_plain(block.spec))
        if plain not in kinds:
            kinds.append(plain)
        order.append(kinds.index(plain))
    return Plan(
        architecture=architecture,
        kinds=tuple(kinds),
        kinds_json=[block_to_json(kind) for kind in kinds],
        order=tuple(order),
        sample=sampled(order),
    )


def _plain(spec: LayerSpec) -> LayerSpec:
    """The layer without its place, so that equal blocks compare equal."""
    return replace(spec, index=0, shares_kv_with=None if spec.shares_kv_with is None else 0)


def sampled(order: Sequence[int]) -> tuple[int, ...]:
    """The order with repetitions cut: the first blocks, every run of three twice, and the last two blocks.

    Buffers repeat with the pattern of blocks; what can differ is the first, the last, and what follows what.
    A cut joins only places that the same two blocks precede.
    """
    if not order:
        return ()
    kept = list(range(min(_FIRST_COUNT, len(order))))
    seen: dict[tuple[int, ...], int] = {}
    for i in range(len(kept), len(order)):
        run = tuple(order[i - 2 : i + 1])
        seen[run] = seen.get(run, 0) + 1
        if seen[run] > 2 and i < len(order) - 2:
            continue
        before = tuple(order[i - 2 : i])
        joint = next(j for j in range(kept[-1], i) if tuple(order[j - 1 : j + 1]) == before)
        kept += [*range(kept[-1] + 1, joint + 1), i]
    return tuple(order[i] for i in kept)


def blocks_of(
    table: tuple[TensorSpec, ...], layers: tuple[LayerSpec, ...], architecture: str
) -> tuple[Block, ...]:
    """Every block that the prompt runs through, with its tensors' shapes by short name."""
    shapes: list[dict[str, Dims]] = [{} for _ in layers]
    for tensor in table:
        match = _NAME.match(tensor.name)
        if match and int(match.group(1)) < len(layers) and _USED.match(match.group(2)):
            shapes[int(match.group(1))][match.group(2)] = tensor.shape
    blocks = []
    for layer, named in zip(layers, shapes, strict=True):
        is_window = window_of(layer, architecture) is not None
        is_early = layer.index < TRAITS.get(architecture, COMMON).early_layers_count
        blocks.append(Block(layer, is_window, has_rope(layer, is_window, architecture), named, is_early))
    return tuple(blocks)


def block_to_json(block: Block) -> dict[str, Any]:
    """A block as JSON: its layer without default values, its flags and shapes."""
    spec = {
        k: v for k, v in asdict(block.spec).items() if v != _DEFAULTS.get(k) or k in ("index", "attention")
    }
    return {
        "layer": spec,
        "is_window": block.is_window,
        "has_rope": block.has_rope,
        "is_early": block.is_early,
        "shapes": {name: list(shape) for name, shape in block.shapes.items()},
    }


def block_from_json(data: Mapping[str, Any]) -> Block:
    """The block that `block_to_json` wrote."""
    layer = dict(data["layer"])
    if layer.get("state"):
        layer["state"] = StateSpec(**layer["state"])
    shapes = {name: tuple(shape) for name, shape in data["shapes"].items()}
    return Block(LayerSpec(**layer), data["is_window"], data["has_rope"], shapes, data["is_early"])


_DEFAULTS = {f.name: f.default for f in fields(LayerSpec)}


def batch_of(layers: tuple[LayerSpec, ...], architecture: str, context: Context) -> Batch:
    """The worst prompt batch that llama.cpp reserves for (llama_context::sched_reserve)."""
    sequences = context.sequences_count
    tokens = min(context.context_cells, context.ubatch_tokens)
    tokens = -(-tokens // sequences) * sequences
    outputs = sequences if context.rules.reserves_logits_for_slots else tokens
    windows = [w for w in (window_of(layer, architecture) for layer in layers) if w]
    window_cells = context.sequence_cells
    if windows and not context.is_window_full:
        window_cells = windowed_cells(max(windows), context)
    flash, rules = context.has_flash_attention, context.rules
    turns = rules.rotates_quantised_cache
    none: frozenset[str] = frozenset()
    return Batch(
        tokens_count=tokens,
        sequences_count=sequences,
        streams_count=context.streams_count,
        outputs_count=min(tokens, outputs),
        cells_count=context.sequence_cells,
        window_cells_count=window_cells,
        has_flash_attention=flash,
        mask_width=rules.mask_value_bytes if flash else 4,
        casts_k=flash and context.format_k == "f32",
        casts_v=flash and context.format_v == "f32",
        turns_k=_rotated(layers, architecture, "key_dim") if turns and context.is_quantised_k else none,
        turns_v=_rotated(layers, architecture, "value_dim") if turns and context.is_quantised_v else none,
        writes_by_rows=rules.writes_by_rows,
        embedding_buffers_count=rules.embedding_buffers_count,
        value_indices_count=max((value_row(x, architecture, context) for x in layers), default=0),
    )


def batch_to_json(batch: Batch) -> dict[str, Any]:
    """A batch as JSON."""
    data = asdict(batch)
    return {**data, "turns_k": sorted(batch.turns_k), "turns_v": sorted(batch.turns_v)}


def batch_from_json(data: Mapping[str, Any]) -> Batch:
    """The batch that `batch_to_json` wrote."""
    return Batch(**{**data, "turns_k": frozenset(data["turns_k"]), "turns_v": frozenset(data["turns_v"])})


def _rotated(layers: tuple[LayerSpec, ...], architecture: str, name: str) -> frozenset[str]:
    """The caches whose quantised rows are rotated: all heads equal and a multiple of 64 wide."""
    dims: dict[str, set[int]] = {}
    for layer in layers:
        if layer.attention not in ("none", "latent") and layer.shares_kv_with is None:
            kind = "full" if window_of(layer, architecture) is None else "window"
            dims.setdefault(kind, set()).add(getattr(layer, name))
    return frozenset(kind for kind, found in dims.items() if len(found) == 1 and min(found) % 64 == 0)
