"""ERNIE 4.5 MoE: dense first layers, then experts with a shared one and a corrected router."""

from __future__ import annotations

from collections.abc import Iterator

from plimsoll.parse.families.blocks import (
    Block,
    Dims,
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
    linear,
    norm,
    read_dims,
    two_norms,
    with_rows,
)  # fmt: skip
from plimsoll.parse.families.routing import as_mtp
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Source: transformers models/ernie4_5_moe/modeling_ernie4_5_moe.py."""
    dims, bias = read_dims(keys, kv_heads=4), keys.flag("use_bias")
    dim = keys.positive("moe_intermediate_size")
    experts = Experts(
        count=keys.positive("moe_num_experts", "num_experts"),
        active=keys.positive("moe_k", "num_experts_per_tok"),
        dim=dim,
        shared_dim=dim * keys.count("moe_num_shared_experts", default=2),
    )
    first, interval = (
        keys.count("moe_layer_start_index", default=1),
        keys.positive("moe_layer_interval", default=1),
    )
    last = keys.raw("moe_layer_end_index", default=-1)
    last = layers_count(keys) - 1 if last == -1 else keys.count("moe_layer_end_index")

    def block(i: int, at: str) -> Block:
        is_sparse = (i + 1) % interval == 0 and first <= i <= last
        ffn = (
            moe_rows(f"{at}.mlp", i, dims.hidden, experts, bias)
            if is_sparse
            else gated_mlp(f"{at}.mlp", i, hidden_dim=dims.hidden, ffn_dim=dims.ffn, bias=bias)
        )
        rows = collect(attention(f"{at}.self_attn", i, dims, bias=bias), ffn, two_norms(at, i, dims.hidden))
        return rows, grouped_layer(i, dims, experts=experts if is_sparse else None)

    layout = decoder(
        keys, block, tied=keys.flag("tie_word_embeddings", default=True), head_bias=bias, theta=500000.0
    )
    return with_rows(layout, drafts(dims, keys.count("num_nextn_predict_layers", default=0), bias))


def drafts(dims: Dims, count: int, bias: bool) -> Iterator[Row]:
    """Dense layers for drafting, which Transformers skips. Source: vLLM models/ernie_mtp.py."""
    for i in range(count):
        at = f"model.mtp_block.{i}"
        rows = collect(
            attention(f"{at}.self_attn", i, dims, bias=bias),
            gated_mlp(f"{at}.mlp", i, hidden_dim=dims.hidden, ffn_dim=dims.ffn, bias=bias),
            two_norms(at, i, dims.hidden),
            norm(f"model.mtp_emb_norm.{i}", dims.hidden),
            norm(f"model.mtp_hidden_norm.{i}", dims.hidden),
            linear(f"model.mtp_linear_proj.{i}", dims.hidden, 2 * dims.hidden, "mtp", None, bias=bias),
        )
        yield from as_mtp(rows)


def moe_rows(at: str, i: int, hidden: int, experts: Experts, bias: bool) -> Iterator[Row]:
    """Router and its correction in f32, the experts, the shared expert."""
    correction = f"{at}.gate.moe_statics.e_score_correction_bias"
    yield Row(name=f"{at}.gate.weight", shape=(experts.count, hidden), role="router", layer=i, dtype="f32")
    yield Row(name=correction, shape=(1, experts.count), role="router", layer=i, dtype="f32")
    yield from fused_experts(
        f"{at}.experts", i, experts=experts.count, hidden_dim=hidden, expert_dim=experts.dim
    )
    if experts.shared_dim:
        yield from gated_mlp(
            f"{at}.shared_experts", i, hidden_dim=hidden, ffn_dim=experts.shared_dim, role="shared_expert",
            bias=bias,
        )  # fmt: skip
