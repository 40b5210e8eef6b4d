"""DeepseekForCausalLM (DeepSeek-MoE 16B, GigaChat 20B): grouped attention and shared plus routed experts.

Remote code only: Transformers has no class. Names follow vLLM models/deepseek_v2.py, experts stacked as
Transformers 5 stacks them; the proof is the published total.
"""

from __future__ import annotations

from dataclasses import replace

from plimsoll.parse.families.blocks import (
    Block,
    Layout,
    attention,
    collect,
    decoder,
    grouped_layer,
    read_dims,
    two_norms,
)
from plimsoll.parse.families.routing import read_mixture
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """As DeepSeek V2, with plain grouped attention instead of latent attention."""
    dims, mixture = read_dims(keys), read_mixture(keys, correction="")
    bias = keys.flag("attention_bias")

    def block(i: int, at: str) -> Block:
        rows = collect(
            attention(f"{at}.self_attn", i, dims, bias=bias), mixture.rows(f"{at}.mlp", i, dims.hidden),
            two_norms(at, i, dims.hidden),
        )  # fmt: skip
        return rows, replace(grouped_layer(i, dims), **mixture.fields(i))

    return decoder(keys, block, tied=keys.flag("tie_word_embeddings"))
