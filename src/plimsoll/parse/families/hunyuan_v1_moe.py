"""Hunyuan A13B: experts in every layer beside a shared one, norms on queries and keys."""

from __future__ import annotations

from dataclasses import replace

from plimsoll.parse.families.blocks import (
    Block,
    Experts,
    Layout,
    Row,
    attention,
    collect,
    decoder,
    fused_experts,
    gated_mlp,
    grouped_layer,
    layers_count,
    norm,
    read_dims,
    two_norms,
)  # fmt: skip
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Source: transformers models/hunyuan_v1_moe/modeling_hunyuan_v1_moe.py.

    The class reads neither moe_intermediate_size nor num_shared_expert: experts and the shared one have
    the width intermediate_size.
    """
    dims, bias = read_dims(keys), keys.flag("attention_bias")
    experts = Experts(
        count=keys.positive("num_experts", "num_local_experts"), active=1, dim=dims.ffn, shared_dim=dims.ffn
    )
    active = active_counts(keys)

    def block(i: int, at: str) -> Block:
        rows = collect(
            attention(f"{at}.self_attn", i, dims, bias=bias),
            norm(f"{at}.self_attn.query_layernorm", dims.head_dim, i),
            norm(f"{at}.self_attn.key_layernorm", dims.head_dim, i),
            moe_rows(f"{at}.mlp", i, dims.hidden, experts),
            two_norms(at, i, dims.hidden),
        )
        return rows, grouped_layer(i, dims, experts=replace(experts, active=active[i]))

    return decoder(keys, block, tied=keys.flag("tie_word_embeddings"))


def active_counts(keys: Keys) -> list[int]:
    """moe_topk, one number for all layers or one for each."""
    count, values = layers_count(keys), keys.raw("moe_topk", "num_experts_per_tok")
    if not isinstance(values, list):
        return [keys.positive("moe_topk", "num_experts_per_tok")] * count
    if len(values) != count or not all(isinstance(value, int) and value > 0 for value in values):
        raise keys.bad(("moe_topk",), values, f"{count} numbers of experts")
    return values


def moe_rows(at: str, i: int, hidden: int, experts: Experts) -> tuple[Row, ...]:
    """The router in f32, the experts, the shared expert."""
    return collect(
        (
            Row(
                name=f"{at}.gate.wg.weight",
                shape=(experts.count, hidden),
                role="router",
                layer=i,
                dtype="f32",
            ),
        ),
        fused_experts(f"{at}.experts", i, experts=experts.count, hidden_dim=hidden, expert_dim=experts.dim),
        gated_mlp(f"{at}.shared_mlp", i, hidden_dim=hidden, ffn_dim=experts.shared_dim, role="shared_expert"),
    )
