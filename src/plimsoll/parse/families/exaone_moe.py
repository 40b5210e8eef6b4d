"""ExaoneMoeForCausalLM (K-EXAONE)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from plimsoll.parse.families.blocks import (
    Block,
    Layout,
    Row,
    attention,
    collect,
    decoder,
    every,
    gated_mlp,
    grouped_layer,
    query_key_norms,
    read_dims,
    two_norms,
    windows,
    with_rows,
)
from plimsoll.parse.families.mtp_fc import mtp_ends
from plimsoll.parse.families.routing import as_mtp, read_mixture
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Sliding and full attention 3:1, one dense layer, then experts; the MTP block is dense.

    Sources: models/exaone_moe/modeling_exaone_moe.py, vLLM models/exaone_moe_mtp.py.
    """
    dims, mixture = read_dims(keys), read_mixture(keys, first=1)
    period = keys.count("sliding_window_pattern", default=4) if keys.has("sliding_window") else 0
    window = windows(keys, every(period) if period else lambda i: "full_attention", window=4096)
    keys.texts("layer_types")

    def attending(i: int, at: str) -> tuple[Row, ...]:
        return collect(
            attention(f"{at}.self_attn", i, dims), query_key_norms(f"{at}.self_attn", i, dims.head_dim),
            two_norms(at, i, dims.hidden),
        )  # fmt: skip

    def block(i: int, at: str) -> Block:
        layer = replace(grouped_layer(i, dims, window=window[i]), **mixture.fields(i))
        return collect(attending(i, at), mixture.rows(f"{at}.mlp", i, dims.hidden)), layer

    def drafts() -> Iterator[Row]:
        steps = keys.count("num_nextn_predict_layers", default=0)
        for i in range(steps):
            at = f"mtp.layers.{i}"
            mlp = gated_mlp(f"{at}.mlp", i, hidden_dim=dims.hidden, ffn_dim=dims.ffn)
            yield from as_mtp(collect(attending(i, at), mlp))
        if steps:
            yield from as_mtp(mtp_ends(dims.hidden))

    return with_rows(decoder(keys, block, tied=keys.flag("tie_word_embeddings")), drafts())
