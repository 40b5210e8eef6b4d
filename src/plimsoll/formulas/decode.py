"""What one generated token costs: operations and bytes read, as sums over the tensor table and the layers.

One sequence, one token at a time, at a given number of tokens already in the cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from plimsoll.domain.model import LayerSpec, TensorSpec
from plimsoll.formulas.formats import row_bytes

_MULTIPLIED = frozenset({"attention", "state", "ffn", "router", "expert", "shared_expert", "output"})
_READ_WHOLE = _MULTIPLIED | {"norm"}

# Operations per value of the recurrent matrix S and token, from the recurrences:
# mamba2, lightning: S = a S + x B (1 + 2), y = S C (2). mamba1: also exp(dt A) per value (1).
# gated_delta, kda: S = a S (1), S k (2), S += b (v - S k) k (2), S q (2).
_STATE_OPERATIONS = {"mamba1": 6, "mamba2": 5, "lightning": 5, "gated_delta": 7, "kda": 7, "short_conv": 0}


def _share(tensor: TensorSpec, layers: Sequence[LayerSpec]) -> Fraction:
    """The part of a tensor that one token touches: of routed experts active / all, else everything."""
    if tensor.role == "expert" and tensor.layer is not None and layers[tensor.layer].experts_count:
        layer = layers[tensor.layer]
        return Fraction(layer.active_experts_count, layer.experts_count)
    return Fraction(1)


def matrix_flops(
    tensors: Iterable[TensorSpec], layers: Sequence[LayerSpec], *, has_tied_embeddings: bool
) -> int:
    """Operations of all matrix products for one token: 2 x values of every matrix it is multiplied by.

    Of routed experts active / all of them; the input embedding is looked up, not multiplied, unless it is
    the output as well. Norms, activations and the router's selection are left out (below 1 %).
    Source: 2 operations per multiply-add; Kaplan et al. 2020, arXiv 2001.08361, table 1.
    """
    total = Fraction(0)
    for tensor in tensors:
        is_output = tensor.role == "embedding" and has_tied_embeddings
        if (tensor.role in _MULTIPLIED or is_output) and len(tensor.shape) > 1 and not tensor.is_buffer:
            total += 2 * tensor.elements_count * _share(tensor, layers)
    return int(total)


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
    total = Fraction(0)
    for tensor in tensors:
        if tensor.role in _READ_WHOLE:
            total += tensor.size_bytes * _share(tensor, layers)
        elif tensor.role == "embedding" and tensor.shape:
            total += (
                tensor.size_bytes if has_tied_embeddings else Fraction(tensor.size_bytes, tensor.shape[0])
            )
    return round(total)


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
    return sum(
        seen_tokens(layer, context_tokens) * kv_bytes_per_layer_token(layer, format_k, format_v)
        for layer in layers
    )


def state_bytes_moved(layers: Iterable[LayerSpec], value_bytes: int) -> int:
    """Bytes of recurrent state read and written for one token: 2 x values x bytes per value."""
    return sum(
        2 * value_bytes * (layer.state.conv_values_count + layer.state.ssm_values_count)
        for layer in layers
        if layer.state
    )
