"""Command R and Aya: one norm per block (attention and feed-forward side by side), tied embeddings."""

from __future__ import annotations

from collections.abc import Iterator

from plimsoll.parse.families.blocks import (
    Block,
    Dims,
    Layout,
    Row,
    attention,
    collect,
    decoder,
    gated_mlp,
    grouped_layer,
    norm,
    read_dims,
)  # fmt: skip
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Source: transformers models/cohere/modeling_cohere.py."""
    dims = read_dims(keys)
    bias, has_norms = keys.flag("attention_bias"), keys.flag("use_qk_norm")

    def block(i: int, at: str) -> Block:
        rows = collect(
            attention(f"{at}.self_attn", i, dims, bias=bias),
            head_norms(f"{at}.self_attn", i, dims) if has_norms else (),
            gated_mlp(f"{at}.mlp", i, hidden_dim=dims.hidden, ffn_dim=dims.ffn),
            norm(f"{at}.input_layernorm", dims.hidden, i),
        )
        return rows, grouped_layer(i, dims)

    return decoder(keys, block, tied=keys.flag("tie_word_embeddings", default=True), theta=500000.0)


def head_norms(prefix: str, layer: int, dims: Dims) -> Iterator[Row]:
    """q_norm and k_norm with a weight of their own for each head."""
    for name, heads in (("q_norm", dims.heads), ("k_norm", dims.kv_heads)):
        yield Row(name=f"{prefix}.{name}.weight", shape=(heads, dims.head_dim), role="norm", layer=layer)
