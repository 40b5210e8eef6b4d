"""LlamaForCausalLM (Llama 1-3, Yi, and the many that share it)."""

from __future__ import annotations

from plimsoll.domain.model import LayerSpec
from plimsoll.parse.families.blocks import (
    Layout, collect, embeddings, gated_mlp, grouped_attention, norm, read_rope,
)  # fmt: skip
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Layers and tensors of a Llama config. Source: transformers models/llama/modeling_llama.py."""
    hidden = keys.count("hidden_size")
    heads = keys.count("num_attention_heads")
    kv_heads = keys.count("num_key_value_heads", default=heads)
    head_dim = keys.count("head_dim", default=hidden // max(heads, 1))
    ffn = keys.count("intermediate_size")
    vocab = keys.count("vocab_size")
    tied = keys.flag("tie_word_embeddings")
    attention_bias, mlp_bias = keys.flag("attention_bias"), keys.flag("mlp_bias")
    rows, layers = [], []
    for i in range(keys.count("num_hidden_layers")):
        at = f"model.layers.{i}"
        rows += grouped_attention(
            f"{at}.self_attn", i, hidden_dim=hidden, query_heads=heads, kv_heads=kv_heads, key_dim=head_dim,
            bias=attention_bias,
        )  # fmt: skip
        rows += gated_mlp(f"{at}.mlp", i, hidden_dim=hidden, ffn_dim=ffn, bias=mlp_bias)
        rows += collect(norm(f"{at}.input_layernorm", hidden, i), norm(f"{at}.post_attention_layernorm", hidden, i))
        layers.append(
            LayerSpec(
                index=i, attention="full", query_heads_count=heads, kv_heads_count=kv_heads,
                key_dim=head_dim, value_dim=head_dim, ffn_dim=ffn,
            )  # fmt: skip
        )
    rows += collect(embeddings(keys, hidden, vocab, tied=tied), norm("model.norm", hidden))
    return Layout(
        layers=tuple(layers), rows=tuple(rows), hidden_dim=hidden, vocab_size=vocab,
        trained_context_tokens=keys.optional_count("max_position_embeddings"), rope=read_rope(keys),
        has_tied_embeddings=tied,
    )  # fmt: skip
