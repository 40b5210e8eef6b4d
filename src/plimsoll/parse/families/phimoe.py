"""Phi-3.5-MoE and Phi-mini-MoE: LayerNorms with biases, experts in every layer."""

from __future__ import annotations

from plimsoll.parse.families.blocks import (
    Block,
    Experts,
    Layout,
    attention,
    collect,
    decoder,
    fused_experts,
    grouped_layer,
    linear,
    norm,
    read_dims,
    window_everywhere,
)  # fmt: skip
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Source: transformers models/phimoe/modeling_phimoe.py."""
    dims = read_dims(keys, kv_heads=8)
    bias, window = keys.flag("attention_bias"), window_everywhere(keys, None)
    experts = Experts(
        count=keys.positive("num_local_experts", "num_experts"),
        active=keys.positive("num_experts_per_tok"),
        dim=dims.ffn,
    )

    def block(i: int, at: str) -> Block:
        rows = collect(
            attention(f"{at}.self_attn", i, dims, bias=bias),
            linear(f"{at}.mlp.router", experts.count, dims.hidden, "router", i),
            fused_experts(
                f"{at}.mlp.experts", i, experts=experts.count, hidden_dim=dims.hidden, expert_dim=experts.dim
            ),
            norm(f"{at}.input_layernorm", dims.hidden, i, bias=True),
            norm(f"{at}.post_attention_layernorm", dims.hidden, i, bias=True),
        )
        return rows, grouped_layer(i, dims, window=window, experts=experts)

    return decoder(
        keys, block, tied=keys.flag("tie_word_embeddings"), norm_bias=True,
        head_bias=keys.flag("lm_head_bias"), theta=1e6,
    )  # fmt: skip
