"""SolarOpenForCausalLM (Solar Open)."""

from __future__ import annotations

from dataclasses import replace

from plimsoll.parse.families.blocks import (
    Block,
    Dims,
    Experts,
    Layout,
    attention,
    collect,
    decoder,
    grouped_layer,
    layers_count,
    two_norms,
)
from plimsoll.parse.families.routing import Mixture
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Grouped attention and experts in every layer. Source: models/solar_open/modeling_solar_open.py."""
    dims = Dims(
        hidden=keys.positive("hidden_size"), heads=keys.positive("num_attention_heads"),
        kv_heads=keys.positive("num_key_value_heads", default=8),
        head_dim=keys.positive("head_dim", default=128), ffn=0,
    )  # fmt: skip
    dim = keys.positive("moe_intermediate_size")
    experts = Experts(
        count=keys.positive("n_routed_experts"), active=keys.positive("num_experts_per_tok"), dim=dim,
        shared_dim=dim * keys.count("n_shared_experts", default=1),
    )  # fmt: skip
    mixture = Mixture(experts=experts, ffn=0, is_sparse=(True,) * layers_count(keys))
    bias = keys.flag("attention_bias")

    def block(i: int, at: str) -> Block:
        rows = collect(
            attention(f"{at}.self_attn", i, dims, bias=bias, output_bias=False),
            mixture.rows(f"{at}.mlp", i, dims.hidden), two_norms(at, i, dims.hidden),
        )  # fmt: skip
        return rows, replace(grouped_layer(i, dims), **mixture.fields(i))

    return decoder(keys, block, tied=keys.flag("tie_word_embeddings"))
