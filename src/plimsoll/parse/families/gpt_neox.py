"""GPT-NeoX and Pythia: one matrix for queries, keys and values; biases everywhere; no grouped heads."""

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
)  # fmt: skip
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Source: transformers models/gpt_neox/modeling_gpt_neox.py."""
    hidden, heads = keys.positive("hidden_size"), keys.positive("num_attention_heads")
    if hidden % heads:
        raise keys.contradiction(f"hidden_size {hidden} does not divide into {heads} num_attention_heads")
    dims = Dims(
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head_dim=hidden // heads,
        ffn=keys.positive("intermediate_size"),
    )
    vocab, tied = keys.positive("vocab_size"), keys.flag("tie_word_embeddings")
    bias, count = keys.flag("attention_bias", default=True), layers_count(keys)
    rows = [Row(name="gpt_neox.embed_in.weight", shape=(vocab, hidden), role="embedding")]
    for i in range(count):
        rows += block_rows(f"gpt_neox.layers.{i}", i, dims, bias)
    rows += norm("gpt_neox.final_layer_norm", hidden, bias=True)
    if not tied:
        rows += linear("lm_head", vocab, hidden, "output", None)
    return Layout(
        layers=tuple(grouped_layer(i, dims) for i in range(count)), rows=tuple(rows), hidden_dim=hidden,
        vocab_size=vocab, trained_context_tokens=keys.optional_count("max_position_embeddings"),
        rope=read_rope(keys, share=0.25), has_tied_embeddings=tied,
    )  # fmt: skip


def block_rows(at: str, i: int, dims: Dims, bias: bool) -> tuple[Row, ...]:
    """The tensors of one layer."""
    return collect(
        norm(f"{at}.input_layernorm", dims.hidden, i, bias=True),
        norm(f"{at}.post_attention_layernorm", dims.hidden, i, bias=True),
        linear(f"{at}.attention.query_key_value", 3 * dims.hidden, dims.hidden, "attention", i, bias=bias),
        linear(f"{at}.attention.dense", dims.hidden, dims.hidden, "attention", i, bias=bias),
        linear(f"{at}.mlp.dense_h_to_4h", dims.ffn, dims.hidden, "ffn", i, bias=True),
        linear(f"{at}.mlp.dense_4h_to_h", dims.hidden, dims.ffn, "ffn", i, bias=True),
    )
