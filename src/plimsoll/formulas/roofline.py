"""Times at the ceilings: bytes over bandwidth, operations over FLOPS, and what a batch shares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from plimsoll.domain.model import LayerSpec, Model, TensorSpec
from plimsoll.domain.speed import ExpertGroup, ModelWork
from plimsoll.formulas.decode import matrix_flops, weight_bytes_read

_FAMILIES: dict[str, str] = {
    "f32": "16bit", "f16": "16bit", "bf16": "16bit",
    "q8_0": "8bit", "i8": "8bit", "u8": "8bit", "fp8_e4m3": "fp8", "fp8_e5m2": "fp8",
    "q4_0": "q4_0", "q4_1": "q4_0", "q5_0": "q5_0", "q5_1": "q5_0", "q4_k": "q4_k", "q5_k": "q5_k",
    "q6_k": "q6_k", "q2_k": "q2_k", "q3_k": "q3_k", "iq4_nl": "iq4",
    "iq4_xs": "iq4", "mxfp4": "mxfp4", "nvfp4": "nvfp4",
    "fp4": "nvfp4",
}  # fmt: skip


def model_work(
    model: Model, tensors: Sequence[TensorSpec], *, file_bytes: int = 0, method: str = ""
) -> ModelWork:
    """The tensor table summed into what a pass reads and multiplies.

    Block bytes = all tensors of the blocks without routed experts; routed experts are grouped by their
    number; the output is the output matrix or, where there is none, the tied embedding. Where the real file
    is larger or smaller than the table (a publisher's own mixture), everything is scaled to it.
    `method` names the format family where storage types do not tell it ('awq' and 'mlx' are packed words).
    """
    layers = model.layers
    has_output = any(t.role == "output" for t in tensors)
    outputs = [t for t in tensors if t.role == "output" or (not has_output and _is_tied_output(t, model))]
    blocks = [t for t in tensors if t.role not in ("output", "embedding", "expert")]
    groups: dict[tuple[int, int], list[TensorSpec]] = {}
    for t in tensors:
        if t.role == "expert" and t.layer is not None and t.layer < len(layers):
            layer = layers[t.layer]
            groups.setdefault((layer.experts_count, layer.active_experts_count), []).append(t)
    scale = file_bytes / sum(t.size_bytes for t in tensors if t.role != "mtp") if file_bytes else 1.0
    experts = tuple(
        ExpertGroup(
            layers_count=len({t.layer for t in found}), experts_count=count, active_experts_count=active,
            size_bytes=round(scale * sum(t.size_bytes for t in found)),
            values_count=_expert_values(found, layers, count, active),
        )
        for (count, active), found in groups.items() if count
    )  # fmt: skip
    return ModelWork(
        model=model.id, architecture=model.architecture, layers=layers, experts=experts,
        format_family=method or _family(blocks, groups),
        block_bytes=round(scale * weight_bytes_read(blocks, layers, has_tied_embeddings=False)),
        block_values_count=matrix_flops(blocks, layers, has_tied_embeddings=False) // 2,
        output_bytes=round(scale * sum(t.size_bytes for t in outputs)),
        output_values_count=model.hidden_dim * model.vocab_size,
    )  # fmt: skip


def _is_tied_output(tensor: TensorSpec, model: Model) -> bool:
    """The token embedding doubles as the output; tables per layer (Gemma 3n, 4 E2B) are only looked up."""
    return tensor.role == "embedding" and "per_layer" not in tensor.name and model.has_tied_embeddings


def _expert_values(found: list[TensorSpec], layers: Sequence[LayerSpec], count: int, active: int) -> int:
    """Values of all experts: operations of one token / 2, times experts / active ones."""
    one = matrix_flops(found, layers, has_tied_embeddings=False) // 2
    return one * count // active if active else 0


def _family_of(format_name: str) -> str:
    return _FAMILIES.get(format_name, "iq" if format_name.startswith("iq") else format_name)


def family_of(weight_format: str) -> str:
    """The family of a recipe by its name alone: 'q4_k_m' -> 'q4_k', 'fp8' -> 'fp8'."""
    name = weight_format.lower()
    while name and name not in _FAMILIES:
        name = name.rpartition("_")[0]
    return _family_of(name or weight_format.lower())


def _family(blocks: Iterable[TensorSpec], groups: Mapping[tuple[int, int], list[TensorSpec]]) -> str:
    """The family of formats that holds most of the bytes that one token reads."""
    held: dict[str, float] = {}
    shares = [(t, 1.0) for t in blocks]
    for (count, active), found in groups.items():
        shares += [(t, active / count if count else 1.0) for t in found]
    for tensor, share in shares:
        family = _family_of(tensor.format)
        held[family] = held.get(family, 0.0) + share * tensor.size_bytes
    return max(held, key=lambda name: held[name]) if held else ""


def distinct_share(experts_count: int, active_experts_count: int, tokens_count: int) -> float:
    """The share of routed experts that a batch touches: 1 - (1 - active / all) ^ tokens.

    Each token chooses its experts independently of the others; requests on one topic share more.
    """
    if not experts_count:
        return 0.0
    return 1.0 - (1.0 - active_experts_count / experts_count) ** tokens_count


def seconds_at(amount: float, per_second: float) -> float:
    """amount / rate: bytes over bytes per second, or operations over operations per second."""
    return amount / per_second
