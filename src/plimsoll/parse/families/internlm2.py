"""InternLM 2 and 2.5: queries, keys and values packed per group in `wqkv`, and names of its own.

Transformers has no class for it: names follow modeling_internlm2.py in the published repositories.
"""

from __future__ import annotations

from plimsoll.parse.families.blocks import (
    Layout,
    Row,
    collect,
    grouped_layer,
    layers_count,
    linear,
    norm,
    read_dims,
    read_rope,
)  # fmt: skip
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Source: https://huggingface.co/internlm/internlm2_5-7b-chat/blob/main/modeling_internlm2.py."""
    dims, bias = read_dims(keys), keys.flag("bias")
    vocab, tied, count = keys.positive("vocab_size"), keys.flag("tie_word_embeddings"), layers_count(keys)
    qkv = (dims.heads + 2 * dims.kv_heads) * dims.head_dim
    rows = [Row(name="model.tok_embeddings.weight", shape=(vocab, dims.hidden), role="embedding")]
    for i in range(count):
        at = f"model.layers.{i}"
        rows += collect(
            linear(f"{at}.attention.wqkv", qkv, dims.hidden, "attention", i, bias=bias),
            linear(f"{at}.attention.wo", dims.hidden, dims.heads * dims.head_dim, "attention", i, bias=bias),
            linear(f"{at}.feed_forward.w1", dims.ffn, dims.hidden, "ffn", i),
            linear(f"{at}.feed_forward.w3", dims.ffn, dims.hidden, "ffn", i),
            linear(f"{at}.feed_forward.w2", dims.hidden, dims.ffn, "ffn", i),
            norm(f"{at}.attention_norm", dims.hidden, i),
            norm(f"{at}.ffn_norm", dims.hidden, i),
        )
    rows += norm("model.norm", dims.hidden)
    if not tied:
        rows += linear("output", vocab, dims.hidden, "output", None)
    return Layout(
        layers=tuple(grouped_layer(i, dims) for i in range(count)), rows=tuple(rows), hidden_dim=dims.hidden,
        vocab_size=vocab, trained_context_tokens=keys.optional_count("max_position_embeddings"),
        rope=read_rope(keys), has_tied_embeddings=tied,
    )  # fmt: skip
