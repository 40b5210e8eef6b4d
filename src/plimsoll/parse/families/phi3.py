"""Phi-3, Phi-3.5 and Phi-4: queries, keys and values in one matrix, gate and up in another."""

from __future__ import annotations

from plimsoll.parse.families.blocks import (
    Block,
    Layout,
    collect,
    decoder,
    grouped_layer,
    linear,
    read_dims,
    two_norms,
    window_everywhere,
)  # fmt: skip
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Source: transformers models/phi3/modeling_phi3.py."""
    dims = read_dims(keys)
    window = window_everywhere(keys, None)
    query, qkv = dims.heads * dims.head_dim, (dims.heads + 2 * dims.kv_heads) * dims.head_dim

    def block(i: int, at: str) -> Block:
        rows = collect(
            linear(f"{at}.self_attn.qkv_proj", qkv, dims.hidden, "attention", i),
            linear(f"{at}.self_attn.o_proj", dims.hidden, query, "attention", i),
            linear(f"{at}.mlp.gate_up_proj", 2 * dims.ffn, dims.hidden, "ffn", i),
            linear(f"{at}.mlp.down_proj", dims.hidden, dims.ffn, "ffn", i),
            two_norms(at, i, dims.hidden),
        )
        return rows, grouped_layer(i, dims, window=window)

    return decoder(keys, block, tied=keys.flag("tie_word_embeddings"))
