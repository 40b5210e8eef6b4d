"""AfmoeForCausalLM (Arcee Trinity)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from plimsoll.parse.families.blocks import (
    Block,
    Experts,
    Layout,
    Row,
    attention,
    collect,
    decoder,
    every,
    fused_experts,
    gated_mlp,
    grouped_layer,
    linear,
    norm,
    query_key_norms,
    read_dims,
    windows,
)
from plimsoll.parse.families.routing import feed_forward
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Sliding and full attention 3:1 with an output gate, four norms, num_dense_layers then experts.

    Source: models/afmoe/modeling_afmoe.py.
    """
    dims = read_dims(keys, head_dim=128)
    dim = keys.positive("moe_intermediate_size")
    experts = Experts(
        count=keys.positive("num_experts", default=64), active=keys.positive("num_experts_per_tok"), dim=dim,
        shared_dim=dim * keys.count("num_shared_experts", default=2),
    )  # fmt: skip
    dense = keys.count("num_dense_layers", default=1)
    window = windows(keys, every(keys.positive("global_attn_every_n_layers", default=4)), window=1024)
    bias = keys.flag("attention_bias")

    def block(i: int, at: str) -> Block:
        has_experts = i >= dense
        mlp = gated_mlp(f"{at}.mlp", i, hidden_dim=dims.hidden, ffn_dim=dims.ffn)
        gate = linear(f"{at}.self_attn.gate_proj", dims.heads * dims.head_dim, dims.hidden, "attention", i)
        rows = collect(
            attention(f"{at}.self_attn", i, dims, bias=bias), gate,
            query_key_norms(f"{at}.self_attn", i, dims.head_dim),
            mixture(f"{at}.mlp", i, dims.hidden, experts) if has_experts else mlp,
            *(norm(f"{at}.{name}", dims.hidden, i) for name in NORMS),
        )  # fmt: skip
        layer = grouped_layer(i, dims, window=window[i])
        return rows, replace(layer, **feed_forward(experts if has_experts else None, dims.ffn))

    return decoder(keys, block, tied=keys.flag("tie_word_embeddings"))


NORMS = ("input_layernorm", "post_attention_layernorm", "pre_mlp_layernorm", "post_mlp_layernorm")


def mixture(prefix: str, layer: int, hidden: int, experts: Experts) -> Iterator[Row]:
    """router.gate, expert_bias (a parameter here), the shared experts as one MLP, and the stacks."""
    yield Row(name=f"{prefix}.expert_bias", shape=(experts.count,), role="router", layer=layer)
    yield from linear(f"{prefix}.router.gate", experts.count, hidden, "router", layer)
    yield from gated_mlp(
        f"{prefix}.shared_experts", layer, hidden_dim=hidden, ffn_dim=experts.shared_dim, role="shared_expert"
    )
    yield from fused_experts(
        f"{prefix}.experts", layer, experts=experts.count, hidden_dim=hidden, expert_dim=experts.dim
    )
