"""MiniMaxM2ForCausalLM (MiniMax M2, M2.1, M2.5, M2.7)."""

from __future__ import annotations

from plimsoll.parse.families.blocks import (
    Block,
    Experts,
    Layout,
    Row,
    attention,
    collect,
    decoder,
    grouped_layer,
    moe,
    norm,
    read_dims,
    two_norms,
)
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Grouped attention with norms over all heads, experts in every layer; no published file holds MTP.

    Source: models/minimax_m2/modeling_minimax_m2.py.
    """
    dims = read_dims(keys)
    experts = Experts(
        count=keys.positive("num_local_experts"), active=keys.positive("num_experts_per_tok"), dim=dims.ffn
    )

    def block(i: int, at: str) -> Block:
        bias = Row(
            name=f"{at}.mlp.e_score_correction_bias", shape=(experts.count,), role="router", layer=i,
            is_buffer=True,
        )  # fmt: skip
        rows = collect(
            attention(f"{at}.self_attn", i, dims),
            norm(f"{at}.self_attn.q_norm", dims.heads * dims.head_dim, i),
            norm(f"{at}.self_attn.k_norm", dims.kv_heads * dims.head_dim, i),
            moe(f"{at}.mlp", i, dims.hidden, experts), [bias], two_norms(at, i, dims.hidden),
        )  # fmt: skip
        return rows, grouped_layer(i, dims, experts=experts)

    return decoder(keys, block, tied=keys.flag("tie_word_embeddings"))
