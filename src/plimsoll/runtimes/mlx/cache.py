"""mlx-lm's caches: plain, rotating and quantised, latent and recurrent.

Source: mlx_lm/models/cache.py and the make_cache methods of mlx_lm/models/*.py, mlx-lm 0.32.2.
"""

from __future__ import annotations

from collections.abc import Sequence

from plimsoll.domain.model import LayerSpec
from plimsoll.formulas.kv_cache import padded

STEP_TOKENS = 256
# Families whose make_cache gives sliding layers a RotatingKVCache (or llama4's chunked one); the others keep
# every token in every layer.
ROTATING = (
    "afmoe", "baichuan_m1", "cohere2", "exaone4", "exaone_moe", "gemma3", "gemma3_text", "gemma3n",
    "gemma3n_text", "gemma4", "gemma4_text", "gemma4_unified", "gpt_oss", "laguna", "llama", "llama4",
    "llama4_text", "mimo_v2_flash", "ministral3", "mistral3", "olmo3", "step3p5",
)  # fmt: skip


def cached_tokens(layer: LayerSpec, context_tokens: int, prefill_tokens: int, is_rotating: bool) -> int:
    """Tokens one layer keeps while the last piece of a prompt of `context_tokens` is read.

    Plain: the context in steps of 256. Rotating: min(context, window - 1 + piece), for a piece is
    appended before old tokens are dropped (RotatingKVCache._update_concat).
    """
    if is_rotating and layer.window_tokens:
        return min(context_tokens, layer.window_tokens - 1 + prefill_tokens)
    return padded(context_tokens, STEP_TOKENS)


def kv_bytes(sequences_count: int, rows: Sequence[Sequence[int]], bits: int, group_size: int) -> int:
    """Bytes of the cache: sequences x sum of layers x tokens x values x bytes per value.

    rows = [[layers_count, tokens, values_per_token], ...]; 16 bits take 2 bytes; b bits take b/8 and, per
    group, a scale and a bias of 2 bytes each (QuantizedKVCache).
    """
    total = 0
    for layers_count, tokens, values in rows:
        size = values * 2 if bits == 16 else values * bits // 8 + values // group_size * 4
        total += layers_count * tokens * size
    return sequences_count * total


def state_bytes(sequences_count: int, rows: Sequence[Sequence[int]]) -> int:
    """Recurrent state: sequences x layers x (convolution x 2 + recurrence x 4 bytes).

    rows = [[layers_count, conv_values, ssm_values], ...].
    """
    return sequences_count * sum(n * (conv * 2 + ssm * 4) for n, conv, ssm in rows)


def values_per_token(layer: LayerSpec) -> int:
    """Values one token adds to a layer's cache: the latent and its rope part, or all keys and values."""
    if layer.shares_kv_with is not None or layer.attention == "none":
        return 0
    if layer.latent_dim:
        return layer.latent_dim + layer.rope_dim + layer.indexer_dim
    return layer.kv_heads_count * (layer.key_dim + layer.value_dim)
