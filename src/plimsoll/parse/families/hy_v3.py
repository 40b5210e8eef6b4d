"""Hunyuan 3 (Hy3): a dense first layer, experts with a shared one, layers for drafting at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from plimsoll.parse.families.blocks import (
    Block,
    Experts,
    Layout,
    Row,
    attention,
    collect,
    decoder,
    gated_mlp,
    grouped_layer,
    layers_count,
    linear,
    norm,
    query_key_norms,
    read_dims,
    two_norms,
    with_rows,
)  # fmt: skip
from plimsoll.parse.families.routing import Mixture, as_mtp, sparse_layers
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Source: transformers models/hy_v3/modeling_hy_v3.py; the drafting layers, which Transformers skips:
    vLLM model_executor/models/hy_v3_mtp.py."""
    dims = read_dims(keys, kv_heads=8, head_dim=128)
    bias, mlp_bias, mixture = keys.flag("attention_bias"), keys.flag("mlp_bias"), read_mixture(keys)

    def block(i: int, at: str) -> Block:
        is_sparse = mixture.sparse_at(i)
        rows = collect(
            attention(f"{at}.self_attn", i, dims, bias=bias),
            query_key_norms(f"{at}.self_attn", i, dims.head_dim),
            mixture.rows(f"{at}.mlp", i, dims.hidden)
            if is_sparse
            else gated_mlp(f"{at}.mlp", i, hidden_dim=dims.hidden, ffn_dim=dims.ffn, bias=mlp_bias),
            two_norms(at, i, dims.hidden),
        )
        return rows, grouped_layer(i, dims, experts=mixture.experts if is_sparse else None)

    def drafts() -> Iterator[Row]:
        count = layers_count(keys)
        for i in range(count, count + keys.count("num_nextn_predict_layers", default=0)):
            at = f"model.layers.{i}"
            yield from as_mtp(collect(block(i, at)[0], draft_ends(at, dims.hidden)))

    layout = decoder(keys, block, tied=keys.flag("tie_word_embeddings"), theta=11158840.0)
    return with_rows(layout, drafts())


def read_mixture(keys: Keys) -> Mixture:
    """num_experts and companions; the first layer is dense unless mlp_layer_types says otherwise."""
    dim = keys.positive("moe_intermediate_size")
    experts = Experts(
        count=keys.positive("num_experts", "num_local_experts"), active=keys.positive("num_experts_per_tok"),
        dim=dim, shared_dim=dim * keys.positive("num_shared_experts", default=1),
    )  # fmt: skip
    return Mixture(
        experts=experts, ffn=keys.positive("intermediate_size"), is_sparse=sparse_layers(keys, first=1),
        correction="e_score_correction_bias",
    )  # fmt: skip


def draft_ends(at: str, hidden: int) -> Iterable[Row]:
    """What a drafting layer adds: it takes the embedding and the output of the model itself."""
    return collect(
        norm(f"{at}.enorm", hidden),
        norm(f"{at}.hnorm", hidden),
        linear(f"{at}.eh_proj", hidden, 2 * hidden, "mtp", None),
        norm(f"{at}.final_layernorm", hidden),
    )
