"""Qwen2 and 2.5: Llama with biases on queries, keys and values."""

from __future__ import annotations

from plimsoll.parse.families.blocks import (
    Block,
    Layout,
    always_full,
    attention,
    collect,
    decoder,
    gated_mlp,
    grouped_layer,
    read_dims,
    two_norms,
    windows,
)  # fmt: skip
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Source: transformers models/qwen2/modeling_qwen2.py and configuration_qwen2.py (layer_types)."""
    dims = read_dims(keys)
    window = windows_above(keys)

    def block(i: int, at: str) -> Block:
        rows = collect(
            attention(f"{at}.self_attn", i, dims, bias=True, output_bias=False),
            gated_mlp(f"{at}.mlp", i, hidden_dim=dims.hidden, ffn_dim=dims.ffn),
            two_norms(at, i, dims.hidden),
        )
        return rows, grouped_layer(i, dims, window=window[i])

    return decoder(keys, block, tied=keys.flag("tie_word_embeddings"))


def windows_above(keys: Keys) -> tuple[int | None, ...]:
    """Layers from max_window_layers on slide, when use_sliding_window is set and sliding_window not null."""
    slides, first = keys.flag("use_sliding_window"), keys.count("max_window_layers", default=28)
    if not slides or ("sliding_window" in keys.values and not keys.has("sliding_window")):
        keys.raw("sliding_window")
        return windows(keys, always_full)
    return windows(keys, lambda i: "sliding_attention" if i >= first else "full_attention", window=4096)
