"""OLMoE: experts in every layer, query and key norms over all heads at once."""

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
    norm,
    read_dims,
    two_norms,
)  # fmt: skip
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Source: transformers models/olmoe/modeling_olmoe.py."""
    dims = read_dims(keys)
    bias = keys.flag("attention_bias")
    experts = Experts(
        count=keys.positive("num_experts", "num_local_experts"),
        active=keys.positive("num_experts_per_tok"),
        dim=dims.ffn,
    )

    def block(i: int, at: str) -> Block:
        rows = collect(
            attention(f"{at}.self_attn", i, dims, bias=bias),
            norm(f"{at}.self_attn.q_norm", dims.heads * dims.head_dim, i),
            norm(f"{at}.self_attn.k_norm", dims.kv_heads * dims.head_dim, i),
            moe(f"{at}.mlp", i, dims.hidden, experts),
            two_norms(at, i, dims.hidden),
        )
        return rows, grouped_layer(i, dims, experts=experts)

    return decoder(keys, block, tied=keys.flag("tie_word_embeddings"))
