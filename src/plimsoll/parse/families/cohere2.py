"""Command A and R7B: Cohere's block; three of four layers slide."""

from __future__ import annotations

from plimsoll.parse.families.blocks import (
    Block,
    Layout,
    attention,
    collect,
    decoder,
    every,
    gated_mlp,
    grouped_layer,
    norm,
    read_dims,
    windows,
)  # fmt: skip
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Source: transformers models/cohere2/modeling_cohere2.py and configuration_cohere2.py (layer_types)."""
    dims = read_dims(keys)
    bias = keys.flag("attention_bias")
    window = windows(keys, every(keys.positive("sliding_window_pattern", default=4)), window=4096)

    def block(i: int, at: str) -> Block:
        rows = collect(
            attention(f"{at}.self_attn", i, dims, bias=bias),
            gated_mlp(f"{at}.mlp", i, hidden_dim=dims.hidden, ffn_dim=dims.ffn),
            norm(f"{at}.input_layernorm", dims.hidden, i),
        )
        return rows, grouped_layer(i, dims, window=window[i])

    return decoder(keys, block, tied=keys.flag("tie_word_embeddings", default=True))
