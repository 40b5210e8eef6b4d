"""LagunaForCausalLM (Poolside Laguna): the number of query heads differs from layer to layer."""

from __future__ import annotations

from dataclasses import replace

from plimsoll.parse.families.blocks import (
    Block,
    Experts,
    Layout,
    Row,
    always_full,
    attention,
    collect,
    decoder,
    grouped_layer,
    layers_count,
    linear,
    query_key_norms,
    read_dims,
    two_norms,
    windows,
)
from plimsoll.parse.families.routing import Mixture, sparse_layers
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Gated attention and experts with one shared expert. Source: models/laguna/modeling_laguna.py."""
    dims = read_dims(keys, kv_heads=8, head_dim=128)
    experts = Experts(
        count=keys.positive("num_experts"), active=keys.positive("num_experts_per_tok"),
        dim=keys.positive("moe_intermediate_size"),
        shared_dim=keys.positive("shared_expert_intermediate_size"),
    )  # fmt: skip
    mixture = Mixture(experts=experts, ffn=dims.ffn, is_sparse=sparse_layers(keys, 1), correction="")
    heads = keys.list("num_attention_heads_per_layer") or [dims.heads] * layers_count(keys)
    if len(heads) != layers_count(keys) or not all(isinstance(h, int) and h > 0 for h in heads):
        raise keys.contradiction("num_attention_heads_per_layer does not give one number of heads per layer")
    window = windows(keys, always_full, window=512)
    bias, gating = keys.flag("attention_bias"), keys.raw("gating", default=True)

    def block(i: int, at: str) -> Block:
        own = replace(dims, heads=heads[i])
        width = own.heads if gating in (True, "per-head") else own.heads * own.head_dim
        rows = [
            *attention(f"{at}.self_attn", i, own, bias=bias),
            *linear(f"{at}.self_attn.g_proj", width, own.hidden, "attention", i),
            *query_key_norms(f"{at}.self_attn", i, own.head_dim),
            *mixture.rows(f"{at}.mlp", i, own.hidden), *two_norms(at, i, own.hidden),
        ]  # fmt: skip
        if mixture.sparse_at(i):
            bias_name = f"{at}.mlp.gate.e_score_correction_bias"
            rows.append(Row(name=bias_name, shape=(experts.count,), role="router", layer=i))
        return collect(rows), replace(grouped_layer(i, own, window=window[i]), **mixture.fields(i))

    return decoder(keys, block, tied=keys.flag("tie_word_embeddings"), theta=500000.0)
