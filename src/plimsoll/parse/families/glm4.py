"""GLM-4-0414 dense: gate and up in one matrix, a norm before and after each half of a block."""

from __future__ import annotations

from dataclasses import replace

from plimsoll.parse.families.blocks import (
    Block,
    Layout,
    attention,
    collect,
    decoder,
    grouped_layer,
    linear,
    norm,
    read_dims,
    read_rope,
    two_norms,
)  # fmt: skip
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Source: transformers models/glm4/modeling_glm4.py."""
    dims = read_dims(keys, kv_heads=2, head_dim=128)
    bias = keys.flag("attention_bias", default=True)

    def block(i: int, at: str) -> Block:
        rows = collect(
            attention(f"{at}.self_attn", i, dims, bias=bias, output_bias=False),
            linear(f"{at}.mlp.gate_up_proj", 2 * dims.ffn, dims.hidden, "ffn", i),
            linear(f"{at}.mlp.down_proj", dims.hidden, dims.ffn, "ffn", i),
            two_norms(at, i, dims.hidden),
            norm(f"{at}.post_self_attn_layernorm", dims.hidden, i),
            norm(f"{at}.post_mlp_layernorm", dims.hidden, i),
        )
        return rows, grouped_layer(i, dims)

    layout = decoder(keys, block, tied=keys.flag("tie_word_embeddings"))
    return replace(layout, rope=read_rope(keys, share=0.5))
