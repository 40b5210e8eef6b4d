"""Qwen3: an explicit head_dim, norms on queries and keys, no biases. Also the text part of Qwen3-VL."""

from __future__ import annotations

from plimsoll.parse.families.blocks import (
    Block,
    Layout,
    attention,
    collect,
    decoder,
    gated_mlp,
    grouped_layer,
    query_key_norms,
    read_dims,
    two_norms,
)  # fmt: skip
from plimsoll.parse.families.qwen2 import windows_above
from plimsoll.parse.keys import Keys


def build(keys: Keys, *, at: str = "model", tied: bool | None = None) -> Layout:
    """Source: transformers models/qwen3/modeling_qwen3.py and configuration_qwen3.py (layer_types)."""
    dims = read_dims(keys, head_dim=128)
    bias, window = keys.flag("attention_bias"), windows_above(keys)

    def block(i: int, at: str) -> Block:
        rows = collect(
            attention(f"{at}.self_attn", i, dims, bias=bias),
            query_key_norms(f"{at}.self_attn", i, dims.head_dim),
            gated_mlp(f"{at}.mlp", i, hidden_dim=dims.hidden, ffn_dim=dims.ffn),
            two_norms(at, i, dims.hidden),
        )
        return rows, grouped_layer(i, dims, window=window[i])

    return decoder(keys, block, at=at, tied=keys.flag("tie_word_embeddings") if tied is None else tied)
