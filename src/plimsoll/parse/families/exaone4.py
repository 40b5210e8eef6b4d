"""EXAONE 4: norms after attention and feed-forward only; in the larger models three of four layers slide."""

from __future__ import annotations

from plimsoll.parse.families.blocks import (
    Block,
    Layout,
    always_full,
    attention,
    collect,
    decoder,
    every,
    gated_mlp,
    grouped_layer,
    norm,
    query_key_norms,
    read_dims,
    windows,
)  # fmt: skip
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Source: transformers models/exaone4/modeling_exaone4.py and configuration_exaone4.py (layer_types)."""
    dims, window = read_dims(keys), read_windows(keys)

    def block(i: int, at: str) -> Block:
        rows = collect(
            attention(f"{at}.self_attn", i, dims),
            query_key_norms(f"{at}.self_attn", i, dims.head_dim),
            gated_mlp(f"{at}.mlp", i, hidden_dim=dims.hidden, ffn_dim=dims.ffn),
            norm(f"{at}.post_attention_layernorm", dims.hidden, i),
            norm(f"{at}.post_feedforward_layernorm", dims.hidden, i),
        )
        return rows, grouped_layer(i, dims, window=window[i])

    return decoder(keys, block, tied=keys.flag("tie_word_embeddings"))


def read_windows(keys: Keys) -> tuple[int | None, ...]:
    """layer_types, or one full layer after every (pattern - 1) sliding ones; "LLLG" counts as 4."""
    if "sliding_window" in keys.values and not keys.has("sliding_window"):
        return windows(keys, always_full)
    pattern = keys.raw("sliding_window_pattern", default=4)
    period = len(pattern) if isinstance(pattern, str) else keys.positive("sliding_window_pattern", default=4)
    return windows(keys, every(period), window=4096)
