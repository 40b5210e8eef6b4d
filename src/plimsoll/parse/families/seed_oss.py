"""Seed-OSS: Llama with separate switches for the biases of q, k, v and of the output."""

from __future__ import annotations

from plimsoll.parse.families.blocks import (
    Block,
    Layout,
    attention,
    collect,
    decoder,
    gated_mlp,
    grouped_layer,
    read_dims,
    two_norms,
)  # fmt: skip
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Source: transformers models/seed_oss/modeling_seed_oss.py."""
    dims = read_dims(keys, kv_heads=8, head_dim=128)
    bias, output_bias = keys.flag("attention_bias", default=True), keys.flag("attention_out_bias")
    mlp_bias = keys.flag("mlp_bias")

    def block(i: int, at: str) -> Block:
        rows = collect(
            attention(f"{at}.self_attn", i, dims, bias=bias, output_bias=output_bias),
            gated_mlp(f"{at}.mlp", i, hidden_dim=dims.hidden, ffn_dim=dims.ffn, bias=mlp_bias),
            two_norms(at, i, dims.hidden),
        )
        return rows, grouped_layer(i, dims)

    return decoder(keys, block, tied=keys.flag("tie_word_embeddings"))
