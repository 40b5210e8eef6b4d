"""How the cache of one sequence grows with the context, before any runtime rounds it up."""

from __future__ import annotations

from collections.abc import Iterable

from plimsoll.domain.model import LayerSpec
from plimsoll.formulas.formats import row_bytes


def cached_tokens(layer: LayerSpec, context_tokens: int) -> int:
    """Tokens that a layer keeps of a context: min(context, window), or all of it; 0 where it reads another
    layer's cache or has no attention."""
    if layer.attention == "none" or layer.shares_kv_with is not None:
        return 0
    return min(context_tokens, layer.window_tokens) if layer.window_tokens else context_tokens


def token_rows(layer: LayerSpec) -> tuple[int, ...]:
    """Values of each row that one kept token adds: keys and values of all KV heads; for latent attention
    latent_dim + rope_dim and, where there is a sparse indexer, its key.

    Sources: DeepSeek-V2 (arXiv 2405.04434) section 2.1 for the latent row; llama_kv_cache of
    ggml-org/llama.cpp@0c1e57098.
    """
    if layer.attention == "latent":
        indexer = layer.indexer_dim if not layer.compress_rate_tokens else 0
        rows = (layer.latent_dim + layer.rope_dim, indexer)
    else:
        rows = (layer.kv_heads_count * layer.key_dim, layer.kv_heads_count * layer.value_dim)
    return tuple(values for values in rows if values)


def compressed_rows(layer: LayerSpec) -> tuple[int, ...]:
    """Values of each row that a run of compress_rate_tokens tokens adds besides the window (DeepSeek V4)."""
    if not layer.compress_rate_tokens:
        return ()
    return tuple(values for values in (layer.latent_dim + layer.rope_dim, layer.indexer_dim) if values)


def cache_bytes(layers: Iterable[LayerSpec], context_tokens: int, format_name: str) -> int:
    """Bytes of the cache of one sequence: sum over layers of kept tokens x row_bytes(format, a row's values),
    plus context / compress rate entries where the layer compresses.

    Raises ValueError where a row does not divide into the format's blocks.
    """
    total = 0
    for layer in layers:
        kept = cached_tokens(layer, context_tokens)
        total += kept * sum(row_bytes(format_name, values) for values in token_rows(layer)) if kept else 0
        for values in compressed_rows(layer):
            total += context_tokens // layer.compress_rate_tokens * row_bytes(format_name, values)
    return total


def state_bytes(layers: Iterable[LayerSpec], value_bytes: int) -> int:
    """Bytes of the recurrent state of one sequence: (conv + ssm values) x bytes per value, whatever the
    context."""
    return value_bytes * sum(
        layer.state.conv_values_count + layer.state.ssm_values_count for layer in layers if layer.state
    )
