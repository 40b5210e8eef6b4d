"""LlamaForCausalLM (Llama 1-3, Yi, and the many that share it)."""

from __future__ import annotations

from plimsoll.parse.families.blocks import (
    Block,
    Layout,
    attention,
    collect,
    decoder,
    gated_mlp,
    grouped_layer,
    read_even_dims,
    two_norms,
)  # fmt: skip
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Layers and tensors of a Llama config. Source: transformers models/llama/modeling_llama.py."""
    dims = read_even_dims(keys)
    attention_bias, mlp_bias = keys.flag("attention_bias"), keys.flag("mlp_bias")

    def block(i: int, at: str) -> Block:
        rows = collect(
            attention(f"{at}.self_attn", i, dims, bias=attention_bias),
            gated_mlp(f"{at}.mlp", i, hidden_dim=dims.hidden, ffn_dim=dims.ffn, bias=mlp_bias),
            two_norms(at, i, dims.hidden),
        )
        return rows, grouped_layer(i, dims)

    return decoder(keys, block, tied=keys.flag("tie_word_embeddings"))
