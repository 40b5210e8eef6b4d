"""Gemma 2: sliding and full layers in turn, four norms around each block, tied embeddings."""

from __future__ import annotations

from plimsoll.parse.families.blocks import (
    Block,
    Layout,
    attention,
    collect,
    decoder,
    every,
    four_norms,
    gated_mlp,
    grouped_layer,
    read_even_dims,
    windows,
)  # fmt: skip
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Source: transformers models/gemma2/modeling_gemma2.py and configuration_gemma2.py (layer_types)."""
    dims = read_even_dims(keys, heads=8, kv_heads=4, head_dim=256)
    bias, window = keys.flag("attention_bias"), windows(keys, every(2), window=4096)

    def block(i: int, at: str) -> Block:
        rows = collect(
            attention(f"{at}.self_attn", i, dims, bias=bias),
            gated_mlp(f"{at}.mlp", i, hidden_dim=dims.hidden, ffn_dim=dims.ffn),
            four_norms(at, i, dims.hidden),
        )
        return rows, grouped_layer(i, dims, window=window[i])

    return decoder(keys, block, tied=keys.flag("tie_word_embeddings", default=True))
