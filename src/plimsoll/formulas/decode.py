"""What one generated token costs: operations and bytes read, as sums over the tensor table and the layers.

One sequence, one token at a time, at a given number of tokens already in the cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from plimsoll.domain.model import LayerSpec, TensorSpec
from plimsoll.formulas.formats import row_bytes

_MULTIPLIED = frozenset({"attention", "state", "ffn", "router", "expert", "shared_expert", "output"})
_READ_WHOLE = _MULTIPLIED | {"norm"}

# Operations per value of the recurrent matrix S and token, from the recurrences:
# mamba2, lightning: S = a S + x B (1 + 2), y = S C (2). mamba1: also exp(dt A) per value (1).
# gated_delta, kda: S = a S (1), S k (2), S += b (v - S k) k (2), S q (2).
_STATE_OPERATIONS = {"mamba1": 6, "mamba2": 5, "lightning": 5, "gated_delta": 7, "kda": 7, "short_conv": 0}


def _share(tensor: TensorSpec, layers: Sequence[LayerSpec]) -> tuple[int, int]:
    """The part of a tensor that one token touches: of routed experts (active, all), else (1, 1)."""
    if tensor.role == "expert" and tensor.layer is not None and layers[tensor.layer].experts_count:
        layer = layers[tensor.layer]
        return layer.active_experts_count, layer.experts_count
    return 1, 1


def _shared(sums: Mapping[tuple[int, int], int]) -> Fraction:
    """The exact sum of whole numbers, each times its part."""
    return sum((size * Fraction(*part) for part, size in sums.items()), Fraction(0))


def matrix_flops(
    tensors: Iterable[TensorSpec], layers: Sequence[LayerSpec], *, has_tied_embeddings: bool
) -> int:
    """Operations of all matrix products for one token: 2 x values of every matrix it is multiplied by.

    Of routed experts active / all of them; the input embedding is looked up, not multiplied, unless it is
    the output as well. Norms, activations and the router's selection are left out (below 1 %).
    Source: 2 operations per multiply-add; Kaplan et al. 2020, arXiv 2001.08361, table 1.
    """
    sums: dict[tuple[int, int], int] = {}
    for tensor in tensors:
        is_output = tensor.role == "embedding" and has_tied_embeddings
        if (tensor.role in _MULTIPLIED or is_output) and len(tensor.shape) > 1 and not tensor.is_buffer:
            part = _share(tensor, layers)
            sums[part] = sums.get(part, 0) + 2 * tensor.elements_count
    return int(_shared(sums))


def seen_tokens(layer: LayerSpec, context_tokens: int) -> int:
    """Tokens of the cache that one layer attends to: the context, at most the window."""
    return min(context_tokens, layer.window_tokens) if layer.window_tokens else context_tokens


def is_sparse(layers: Iterable[LayerSpec]) -> bool:
    """Whether a layer attends to a selection of tokens (an indexer, compressed entries), which the two
    formulas below do not describe."""
    return any(layer.indexer_dim or layer.compress_rate_tokens for layer in layers)


def attention_flops(layers: Iterable[LayerSpec], context_tokens: int) -> int:
    """Operations of scores and weighted sums: per layer 2 x heads x tokens x (key_dim + value_dim).

    Latent attention works on the compressed cache (absorbed projections): its key is latent_dim + rope_dim
    and its value latent_dim wide. The recurrent part adds operations per value of the state.
    """
    total = 0
    for layer in layers:
        if layer.attention != "none":
            key, value = layer.key_dim, layer.value_dim
            if layer.attention == "latent":
                key, value = layer.latent_dim + layer.rope_dim, layer.latent_dim
            total += 2 * layer.query_heads_count * seen_tokens(layer, context_tokens) * (key + value)
        if layer.state:
            total += _STATE_OPERATIONS[layer.state.kind] * layer.state.ssm_values_count
    return total


def weight_bytes_read(
    tensors: Iterable[TensorSpec], layers: Sequence[LayerSpec], *, has_tied_embeddings: bool
) -> int:
    """Bytes of weights read for one token: every matrix and norm once, of routed experts active / all,
    with the scales stored beside them; of an input embedding one row.

    `tensors` is the table as stored (after quantisation).
    """
    sums: dict[tuple[int, int], int] = {}
    for tensor in tensors:
        part = None
        if tensor.role in _READ_WHOLE:
            part = _share(tensor, layers)
        elif tensor.role == "embedding" and tensor.shape:
            part = (1, 1 if has_tied_embeddings else tensor.shape[0])
        if part is not None:
            sums[part] = sums.get(part, 0) + tensor.size_bytes
    return round(_shared(sums))


def kv_bytes_per_layer_token(layer: LayerSpec, format_k: str, format_v: str) -> int:
    """Bytes that one token of the cache takes in one layer; latent attention keeps one vector for both."""
    if layer.attention == "none":
        return 0
    if layer.attention == "latent":
        return row_bytes(format_k, layer.latent_dim + layer.rope_dim)
    key = row_bytes(format_k, layer.kv_heads_count * layer.key_dim)
    return key + row_bytes(format_v, layer.kv_heads_count * layer.value_dim)


def kv_bytes_read(layers: Iterable[LayerSpec], context_tokens: int, format_k: str, format_v: str) -> int:
    """Bytes of cache read for one token: per layer seen tokens x bytes per token, shared caches again for
    every layer that reads them."""
    total = 0
    for layer, count in alike(layers):
        each = kv_bytes_per_layer_token(layer, format_k, format_v)
        total += count * seen_tokens(layer, context_tokens) * each
    return total


def alike(layers: Iterable[LayerSpec]) -> list[tuple[LayerSpec, int]]:
    """Layers that attend and keep alike, by their first, with how many there are: most models have one or
    two kinds."""
    found: dict[tuple[object, ...], tuple[LayerSpec, int]] = {}
    for layer in layers:
        kind = (
            layer.attention, layer.window_tokens, layer.query_heads_count, layer.kv_heads_count,
            layer.key_dim, layer.value_dim, layer.latent_dim, layer.rope_dim, layer.state,
        )  # fmt: skip
        first, count = found.get(kind, (layer, 0))
        found[kind] = (first, count + 1)
    return list(found.values())


def state_bytes_moved(layers: Iterable[LayerSpec], value_bytes: int) -> int:
    """Bytes of recurrent state read and written for one token: 2 x values x bytes per value."""
    return sum(
        2 * value_bytes * (layer.state.conv_values_count + layer.state.ssm_values_count)
        for layer in layers
        if layer.state
    )
