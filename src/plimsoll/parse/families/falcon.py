"""Falcon 7B, 40B and 180B: one matrix for queries, keys and values; one key-value head, or groups."""

from __future__ import annotations

from plimsoll.parse.families.blocks import (
    Dims,
    Layout,
    Row,
    collect,
    grouped_layer,
    layers_count,
    linear,
    norm,
    read_rope,
)
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Source: transformers models/falcon/modeling_falcon.py and configuration_falcon.py."""
    dims, vocab, count = (
        read(keys),
        keys.positive("vocab_size"),
        layers_count(keys, "num_hidden_layers", "n_layer"),
    )
    tied, bias, norms = keys.flag("tie_word_embeddings", default=True), keys.flag("bias"), norm_names(keys)
    has_alibi = keys.flag("alibi")
    rows = [Row(name="transformer.word_embeddings.weight", shape=(vocab, dims.hidden), role="embedding")]
    for i in range(count):
        at = f"transformer.h.{i}"
        qkv = (dims.heads + 2 * dims.kv_heads) * dims.head_dim
        rows += collect(
            linear(f"{at}.self_attention.query_key_value", qkv, dims.hidden, "attention", i, bias=bias),
            linear(f"{at}.self_attention.dense", dims.hidden, dims.hidden, "attention", i, bias=bias),
            linear(f"{at}.mlp.dense_h_to_4h", dims.ffn, dims.hidden, "ffn", i, bias=bias),
            linear(f"{at}.mlp.dense_4h_to_h", dims.hidden, dims.ffn, "ffn", i, bias=bias),
            *(norm(f"{at}.{name}", dims.hidden, i, bias=True) for name in norms),
        )
    rows += norm("transformer.ln_f", dims.hidden, bias=True)
    if not tied:
        rows += linear("lm_head", vocab, dims.hidden, "output", None)
    return Layout(
        layers=tuple(grouped_layer(i, dims) for i in range(count)), rows=tuple(rows), hidden_dim=dims.hidden,
        vocab_size=vocab, trained_context_tokens=keys.optional_count("max_position_embeddings"),
        rope=None if has_alibi else read_rope(keys), has_tied_embeddings=tied,
    )  # fmt: skip


def read(keys: Keys) -> Dims:
    """Sizes; key-value heads: num_kv_heads in the new architecture, 1 with multi_query, else all."""
    hidden, heads = keys.positive("hidden_size", "n_embed"), keys.positive("num_attention_heads", "n_head")
    if hidden % heads:
        raise keys.contradiction(f"hidden_size {hidden} does not divide into {heads} num_attention_heads")
    is_new, is_multi_query = keys.flag("new_decoder_architecture"), keys.flag("multi_query", default=True)
    kv_heads = keys.positive("num_kv_heads", "n_head_kv", default=heads)
    return Dims(
        hidden=hidden, heads=heads, kv_heads=kv_heads if is_new else 1 if is_multi_query else heads,
        head_dim=hidden // heads, ffn=keys.positive("ffn_hidden_size", default=4 * hidden),
    )  # fmt: skip


def norm_names(keys: Keys) -> tuple[str, ...]:
    """Which LayerNorms a block has: one before both halves, one for each, or one after attention."""
    is_new = keys.flag("new_decoder_architecture")
    count = keys.count("num_ln_in_parallel_attn", default=2 if is_new else 1)
    if not keys.flag("parallel_attn", default=True):
        return ("post_attention_layernorm", "input_layernorm")
    return ("ln_attn", "ln_mlp") if count == 2 else ("input_layernorm",)
