"""Parameters and weight bytes: sums over the tensor table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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


def active_parameters_count(tensors: Iterable[TensorSpec], layers: tuple[LayerSpec, ...]) -> int:
    """Parameters one token touches: everything, but only active/experts of each stack of experts.

    The input embedding is counted (vendors differ; DESIGN asks for both to be shown and named).
    """
    total = 0
    for tensor in tensors:
        if tensor.is_buffer:
            continue
        values = tensor.elements_count
        if tensor.role == "expert" and tensor.layer is not None:
            layer = layers[tensor.layer]
            experts = tensor.experts_count or layer.experts_count
            if experts:
                values = values * layer.active_experts_count // experts if tensor.experts_count else (
                    values * layer.active_experts_count // layer.experts_count
                )
        total += values
    return total
