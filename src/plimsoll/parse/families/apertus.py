"""Apertus: no gate in the feed-forward; its activation has two learned values and two fixed ones."""

from __future__ import annotations

from plimsoll.parse.families.blocks import (
    Block,
    Layout,
    Row,
    attention,
    collect,
    decoder,
    grouped_layer,
    linear,
    norm,
    query_key_norms,
    read_dims,
)  # fmt: skip
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Source: transformers models/apertus/modeling_apertus.py, activations.py (XIELUActivation)."""
    dims, bias = read_dims(keys), keys.flag("attention_bias")
    has_xielu = keys.text("hidden_act", default="xielu") == "xielu"

    def block(i: int, at: str) -> Block:
        rows = collect(
            attention(f"{at}.self_attn", i, dims, bias=bias),
            query_key_norms(f"{at}.self_attn", i, dims.head_dim),
            linear(f"{at}.mlp.up_proj", dims.ffn, dims.hidden, "ffn", i),
            linear(f"{at}.mlp.down_proj", dims.hidden, dims.ffn, "ffn", i),
            xielu(f"{at}.mlp.act_fn", i) if has_xielu else (),
            norm(f"{at}.attention_layernorm", dims.hidden, i),
            norm(f"{at}.feedforward_layernorm", dims.hidden, i),
        )
        return rows, grouped_layer(i, dims)

    return decoder(keys, block, tied=keys.flag("tie_word_embeddings"), theta=12e6)


def xielu(at: str, layer: int) -> tuple[Row, ...]:
    """alpha_p and alpha_n are learned, beta and eps are saved buffers."""
    return (
        Row(name=f"{at}.alpha_p", shape=(1,), role="ffn", layer=layer),
        Row(name=f"{at}.alpha_n", shape=(1,), role="ffn", layer=layer),
        Row(name=f"{at}.beta", shape=(), role="ffn", layer=layer, is_buffer=True),
        Row(name=f"{at}.eps", shape=(), role="ffn", layer=layer, is_buffer=True),
    )
