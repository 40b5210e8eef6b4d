"""Qwen3-MoE: Qwen3's attention, routed experts without a shared one."""

from __future__ import annotations

from plimsoll.parse.families.blocks import (
    Block,
    Experts,
    Layout,
    attention,
    collect,
    decoder,
    gated_mlp,
    grouped_layer,
    moe,
    query_key_norms,
    read_dims,
    two_norms,
    window_everywhere,
)  # fmt: skip
from plimsoll.parse.families.qwen2_moe import stepped_experts
from plimsoll.parse.keys import Keys


def build(keys: Keys, *, at: str = "model", tied: bool | None = None) -> Layout:
    """Source: transformers models/qwen3_moe/modeling_qwen3_moe.py."""
    dims = read_dims(keys, kv_heads=4)
    bias, is_sparse = keys.flag("attention_bias"), stepped_experts(keys)
    slides, window = keys.flag("use_sliding_window"), window_everywhere(keys, 4096)
    keys.raw("max_window_layers")
    experts = Experts(
        count=keys.positive("num_experts", "num_local_experts"),
        active=keys.positive("num_experts_per_tok"),
        dim=keys.positive("moe_intermediate_size"),
    )

    def block(i: int, at: str) -> Block:
        rows = collect(
            attention(f"{at}.self_attn", i, dims, bias=bias),
            query_key_norms(f"{at}.self_attn", i, dims.head_dim),
            moe(f"{at}.mlp", i, dims.hidden, experts)
            if is_sparse(i)
            else gated_mlp(f"{at}.mlp", i, hidden_dim=dims.hidden, ffn_dim=dims.ffn),
            two_norms(at, i, dims.hidden),
        )
        layer = grouped_layer(
            i, dims, window=window if slides else None, experts=experts if is_sparse(i) else None
        )
        return rows, layer

    return decoder(keys, block, at=at, tied=keys.flag("tie_word_embeddings") if tied is None else tied)
