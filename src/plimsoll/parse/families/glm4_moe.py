"""Glm4MoeForCausalLM (GLM-4.5, 4.5-Air, 4.6, 4.7)."""

from __future__ import annotations

from collections.abc import Iterator

from plimsoll.domain.model import LayerSpec
from plimsoll.parse.families.blocks import (
    Block,
    Layout,
    Row,
    attention,
    collect,
    decoder,
    layers_count,
    query_key_norms,
    read_dims,
    two_norms,
    with_rows,
)
from plimsoll.parse.families.routing import as_mtp, next_token_ends, read_mixture
from plimsoll.parse.keys import Keys

MTP_NOTE = (
    "GLM-4.6 leaves the embedding and output of its MTP layer out of the checkpoint, GLM-4.5 and 4.7 repeat "
    "them; config.json does not tell which, they are counted here"
)


def build(keys: Keys) -> Layout:
    """Grouped attention, leading dense layers, then experts. Source: models/glm4_moe/modeling_glm4_moe.py."""
    return decode(keys, at="model")


def decode(keys: Keys, *, at: str) -> Layout:
    """The decoder hanging at `at`, which GLM-4.5V shares."""
    dims, mixture = read_dims(keys, head_dim=128), read_mixture(keys, first=1)
    bias, normed = keys.flag("attention_bias"), keys.flag("use_qk_norm")

    def block(i: int, prefix: str) -> Block:
        rows = collect(
            attention(f"{prefix}.self_attn", i, dims, bias=bias, output_bias=False),
            query_key_norms(f"{prefix}.self_attn", i, dims.head_dim) if normed else (),
            mixture.rows(f"{prefix}.mlp", i, dims.hidden), two_norms(prefix, i, dims.hidden),
        )  # fmt: skip
        layer = LayerSpec(
            index=i, attention="full", query_heads_count=dims.heads, kv_heads_count=dims.kv_heads,
            key_dim=dims.head_dim, value_dim=dims.head_dim, **mixture.fields(i),
        )  # fmt: skip
        return rows, layer

    def drafts() -> Iterator[Row]:
        count, vocab = layers_count(keys), keys.positive("vocab_size")
        for i in range(count, count + keys.count("num_nextn_predict_layers", default=0)):
            prefix = f"{at}.layers.{i}"
            yield from as_mtp(
                collect(block(i, prefix)[0], next_token_ends(prefix, hidden=dims.hidden, vocab=vocab))
            )

    layout = decoder(keys, block, at=at, tied=keys.flag("tie_word_embeddings"))
    mtp = tuple(drafts())
    return with_rows(layout, mtp, notes=(MTP_NOTE,) if mtp else ())
