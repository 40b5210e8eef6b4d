"""Qwen1.5-MoE and Qwen2-MoE: routed experts beside a gated shared one."""

from __future__ import annotations

from collections.abc import Callable

from plimsoll.parse.families.blocks import (
    Block,
    Experts,
    Layout,
    attention,
    collect,
    decoder,
    gated_mlp,
    grouped_layer,
    linear,
    moe,
    read_dims,
    two_norms,
    windows,
)  # fmt: skip
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Source: transformers models/qwen2_moe/modeling_qwen2_moe.py and configuration_qwen2_moe.py."""
    dims = read_dims(keys)
    experts = Experts(
        count=keys.positive("num_experts", "num_local_experts"),
        active=keys.positive("num_experts_per_tok"),
        dim=keys.positive("moe_intermediate_size"),
        shared_dim=keys.positive("shared_expert_intermediate_size"),
    )
    is_sparse, window, bias = stepped_experts(keys), read_windows(keys), keys.flag("qkv_bias", default=True)

    def block(i: int, at: str) -> Block:
        ffn = (
            collect(
                moe(f"{at}.mlp", i, dims.hidden, experts, shared="shared_expert"),
                linear(f"{at}.mlp.shared_expert_gate", 1, dims.hidden, "router", i),
            )
            if is_sparse(i)
            else gated_mlp(f"{at}.mlp", i, hidden_dim=dims.hidden, ffn_dim=dims.ffn)
        )
        rows = collect(
            attention(f"{at}.self_attn", i, dims, bias=bias, output_bias=False),
            ffn,
            two_norms(at, i, dims.hidden),
        )
        return rows, grouped_layer(i, dims, window=window[i], experts=experts if is_sparse(i) else None)

    return decoder(keys, block, tied=keys.flag("tie_word_embeddings"))


def stepped_experts(keys: Keys) -> Callable[[int], bool]:
    """Every decoder_sparse_step-th layer has experts, but none of mlp_only_layers."""
    step, dense = keys.positive("decoder_sparse_step", default=1), keys.list("mlp_only_layers") or []
    return lambda i: i not in dense and (i + 1) % step == 0


def read_windows(keys: Keys) -> tuple[int | None, ...]:
    """Every other of the first max_window_layers slides when use_sliding_window is set."""
    slides, below = keys.flag("use_sliding_window"), keys.count("max_window_layers", default=28)
    keys.raw("sliding_window")
    return windows(
        keys,
        lambda i: "sliding_attention" if slides and i % 2 == 0 and i < below else "full_attention",
        window=4096,
    )
