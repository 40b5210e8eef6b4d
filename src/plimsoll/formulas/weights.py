"""Parameters and weight bytes: sums over the tensor table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from plimsoll.domain.model import LayerSpec, TensorSpec


def sum_bytes(groups: Mapping[str, int]) -> int:
    """Bytes of all groups: the sum of the table's rows, grouped by role and format."""
    return sum(groups.values())


def grouped_bytes(tensors: Iterable[TensorSpec]) -> dict[str, int]:
    """Bytes per 'role format', for a line's inputs."""
    groups: dict[str, int] = {}
    for tensor in tensors:
        key = f"{tensor.role} {tensor.format}"
        groups[key] = groups.get(key, 0) + tensor.size_bytes
    return groups


def parameters_count(tensors: Iterable[TensorSpec]) -> int:
    """Parameters: the values of all tensors that are parameters (no buffers)."""
    return sum(t.elements_count for t in tensors if not t.is_buffer)


_UNTOUCHED_BY_TEXT = frozenset({"vision", "audio", "projector", "mtp", "other"})


def active_parameters_count(tensors: Iterable[TensorSpec], layers: Sequence[LayerSpec]) -> int:
    """Parameters that one text token touches: all of the text model, but of each layer's routed experts
    only values x active experts / experts.

    The input embedding is counted in full, as Transformers counts it; vendors often leave it out
    (`input_embedding_count`). Towers, drafting layers and tensors that nothing loads do not count.
    """
    total, routed = 0, Counter[int]()
    for tensor in tensors:
        if tensor.is_buffer or tensor.role in _UNTOUCHED_BY_TEXT:
            continue
        if tensor.role == "expert" and tensor.layer is not None and layers[tensor.layer].experts_count:
            routed[tensor.layer] += tensor.elements_count
        else:
            total += tensor.elements_count
    return total + sum(
        values * layers[index].active_experts_count // layers[index].experts_count
        for index, values in routed.items()
    )


def input_embedding_count(tensors: Iterable[TensorSpec], *, has_tied_embeddings: bool) -> int:
    """Parameters of the input embedding: rows that a token merely looks up. 0 where the same matrix is
    also the output, which every token multiplies."""
    if has_tied_embeddings:
        return 0
    return sum(t.elements_count for t in tensors if t.role == "embedding")
