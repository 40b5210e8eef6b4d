"""BailingMoeV2ForCausalLM (Ling 2.0, Ring 1T): grouped attention in one matrix, dense layers, then experts.

Remote code only: Transformers has no class. Names follow vLLM models/bailing_moe.py, experts stacked as
Transformers 5 stacks them; the proof is the published total.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from plimsoll.parse.families.blocks import (
    Block,
    Dims,
    Layout,
    Row,
    collect,
    decoder,
    grouped_layer,
    linear,
    norm,
    read_dims,
    two_norms,
)
from plimsoll.parse.families.recurrent import renamed
from plimsoll.parse.families.routing import read_mixture
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """query_key_value and dense instead of four projections; a correction bias where the config asks."""
    dims = read_dims(keys)
    has_bias = keys.flag("moe_router_enable_expert_bias")
    mixture = read_mixture(keys, correction="gate.expert_bias" if has_bias else "")
    normed, bias = keys.flag("use_qk_norm"), keys.flag("use_qkv_bias") or keys.flag("use_bias")
    if keys.count("num_nextn_predict_layers", default=0):
        raise keys.bad(
            ("num_nextn_predict_layers",), keys.raw("num_nextn_predict_layers"), "0, the only known value"
        )

    def block(i: int, at: str) -> Block:
        rows = collect(
            attention(f"{at}.attention", i, dims, bias=bias, normed=normed),
            mixture.rows(f"{at}.mlp", i, dims.hidden), two_norms(at, i, dims.hidden),
        )  # fmt: skip
        return rows, replace(grouped_layer(i, dims), **mixture.fields(i))

    layout = decoder(keys, block, tied=keys.flag("tie_word_embeddings"), theta=600000.0)
    return renamed(layout, {"model.embed_tokens.weight": "model.word_embeddings.weight"})


def attention(prefix: str, layer: int, dims: Dims, *, bias: bool, normed: bool) -> Iterator[Row]:
    """Queries, keys and values in one matrix, dense, and two norms of a head."""
    width = (dims.heads + 2 * dims.kv_heads) * dims.head_dim
    yield from linear(f"{prefix}.query_key_value", width, dims.hidden, "attention", layer, bias=bias)
    yield from linear(f"{prefix}.dense", dims.hidden, dims.heads * dims.head_dim, "attention", layer)
    if normed:
        yield from norm(f"{prefix}.query_layernorm", dims.head_dim, layer)
        yield from norm(f"{prefix}.key_layernorm", dims.head_dim, layer)
