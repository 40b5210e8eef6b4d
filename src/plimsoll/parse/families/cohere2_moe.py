"""Command with experts (North Mini): Cohere 2's block, dense first layers, experts in the others."""

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
    norm,
    read_dims,
    windows,
)  # fmt: skip
from plimsoll.parse.families.routing import sparse_layers
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Source: transformers models/cohere2_moe/modeling_cohere2_moe.py and configuration_cohere2_moe.py."""
    dims = read_dims(keys, head_dim=128)
    bias, is_sparse, window = keys.flag("attention_bias"), sparse_layers(keys), read_windows(keys)
    dense = keys.positive("prefix_dense_intermediate_size", default=dims.ffn)
    experts = Experts(
        count=keys.positive("num_experts", default=8), active=keys.positive("num_experts_per_tok", default=2),
        dim=dims.ffn, shared_dim=dims.ffn * keys.count("num_shared_experts", default=0),
    )  # fmt: skip

    def block(i: int, at: str) -> Block:
        rows = collect(
            attention(f"{at}.self_attn", i, dims, bias=bias),
            moe(f"{at}.mlp", i, dims.hidden, experts)
            if is_sparse[i]
            else gated_mlp(f"{at}.mlp", i, hidden_dim=dims.hidden, ffn_dim=dense),
            norm(f"{at}.input_layernorm", dims.hidden, i),
        )
        return rows, grouped_layer(
            i, dims, window=window[i], experts=experts if is_sparse[i] else None, ffn=dense
        )

    return decoder(keys, block, tied=keys.flag("tie_word_embeddings", default=True))


def read_windows(keys: Keys) -> tuple[int | None, ...]:
    """layer_types, or a pattern of its own for the dense first layers and another from there on."""
    first = keys.count("first_k_dense_replace", default=0)
    prefix = keys.positive("prefix_dense_sliding_window_pattern", default=1)
    pattern = keys.positive("sliding_window_pattern", default=4)

    def rule(i: int) -> str:
        is_full = (i + 1) % prefix == 0 if i < first else (i - first + 1) % pattern == 0
        return "full_attention" if is_full else "sliding_attention"

    return windows(keys, rule, window=4096)
