"""Mixtral: Mistral's attention, experts in every layer."""

from __future__ import annotations

from plimsoll.parse.families.blocks import (
    Block,
    Experts,
    Layout,
    attention,
    collect,
    decoder,
    grouped_layer,
    moe,
    read_dims,
    two_norms,
    window_everywhere,
)  # fmt: skip
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Source: transformers models/mixtral/modeling_mixtral.py."""
    dims = read_dims(keys, kv_heads=8)
    window = window_everywhere(keys, None)
    experts = Experts(
        count=keys.positive("num_local_experts", "num_experts"),
        active=keys.positive("num_experts_per_tok"),
        dim=dims.ffn,
    )

    def block(i: int, at: str) -> Block:
        rows = collect(
            attention(f"{at}.self_attn", i, dims),
            moe(f"{at}.mlp", i, dims.hidden, experts),
            two_norms(at, i, dims.hidden),
        )
        return rows, grouped_layer(i, dims, window=window, experts=experts)

    return decoder(keys, block, tied=keys.flag("tie_word_embeddings"), theta=1e6)
