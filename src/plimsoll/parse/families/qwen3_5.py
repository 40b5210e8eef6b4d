"""Qwen3_5ForConditionalGeneration and its text model (Qwen3.5, 3.6, 3.8), dense and mixture of experts."""

from __future__ import annotations

from plimsoll.parse.families.blocks import Dims, Layout, with_rows
from plimsoll.parse.families.gated_delta import decode, dense, gated_moe
from plimsoll.parse.families.qwen_vision import tower
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Gated delta nets and gated attention 3:1, and Qwen's vision tower where there is a text_config.

    Sources: models/qwen3_5/modeling_qwen3_5.py, models/qwen3_5_moe/modeling_qwen3_5_moe.py.
    """
    text = keys.section("text_config")
    part = text or keys
    has_experts = part.has("num_experts")
    dims = Dims(
        hidden=part.positive("hidden_size"), heads=part.positive("num_attention_heads"),
        kv_heads=part.positive("num_key_value_heads"),
        head_dim=part.positive("head_dim"),
        ffn=0 if has_experts else part.positive("intermediate_size"),
    )  # fmt: skip
    mlp = gated_moe(part, dims.hidden) if has_experts else dense(dims.hidden, dims.ffn)
    tied = keys.flag("tie_word_embeddings", default=part.flag("tie_word_embeddings"))
    layout = decode(
        part, dims, mlp, at="model.language_model" if text else "model", tied=tied, is_fused=False,
        mtp_layers=part.count("mtp_num_hidden_layers", default=0),
    )  # fmt: skip
    vision = keys.section("vision_config")
    return with_rows(layout, tower("model.visual", vision)) if text and vision else layout
