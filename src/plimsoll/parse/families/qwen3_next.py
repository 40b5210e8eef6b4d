"""Qwen3NextForCausalLM (Qwen3-Next, Qwen3-Coder-Next)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from plimsoll.parse.families.blocks import Dims, Layout, Row
from plimsoll.parse.families.gated_delta import decode, dense, gated_moe
from plimsoll.parse.families.routing import FeedForwardFields
from plimsoll.parse.keys import Keys

MTP_NOTE = (
    "the published Qwen3-Next-80B checkpoints hold an MTP layer that config.json does not mention; "
    "it is not counted"
)


def build(keys: Keys) -> Layout:
    """Gated delta nets and gated attention 3:1, experts. Source: models/qwen3_next/modeling_qwen3_next.py."""
    heads = keys.positive("num_attention_heads")
    dims = Dims(
        hidden=keys.positive("hidden_size"),
        heads=heads,
        kv_heads=keys.positive("num_key_value_heads"),
        head_dim=keys.positive("head_dim"),
        ffn=keys.count("intermediate_size", default=5632),
    )
    sparse, plain = gated_moe(keys, dims.hidden), dense(dims.hidden, dims.ffn)
    step, only = keys.positive("decoder_sparse_step", default=1), keys.list("mlp_only_layers") or []

    def mlp(prefix: str, layer: int) -> tuple[Iterable[Row], FeedForwardFields]:
        is_sparse = layer not in only and (layer + 1) % step == 0
        return (sparse if is_sparse else plain)(prefix, layer)

    mtp = keys.optional_count("num_nextn_predict_layers")
    layout = decode(
        keys, dims, mlp, at="model", tied=keys.flag("tie_word_embeddings"), is_fused=True, mtp_layers=mtp or 0
    )
    return layout if mtp is not None else replace(layout, notes=(*layout.notes, MTP_NOTE))
