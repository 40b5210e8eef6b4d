"""InternLM 3: Llama's tensors; one flag for the biases of q, k and v, another for all others."""

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
    """Source: transformers models/internlm3/configuration_internlm3.py (built as LlamaForCausalLM)."""
    dims = read_even_dims(keys, kv_heads=2, head_dim=128)
    qkv_bias, bias = keys.flag("qkv_bias", "attention_bias"), keys.flag("bias", "mlp_bias")
    if qkv_bias != bias:
        raise keys.contradiction("qkv_bias and bias differ, which Transformers refuses")

    def block(i: int, at: str) -> Block:
        rows = collect(
            attention(f"{at}.self_attn", i, dims, bias=bias),
            gated_mlp(f"{at}.mlp", i, hidden_dim=dims.hidden, ffn_dim=dims.ffn, bias=bias),
            two_norms(at, i, dims.hidden),
        )
        return rows, grouped_layer(i, dims)

    return decoder(keys, block, tied=keys.flag("tie_word_embeddings"))
