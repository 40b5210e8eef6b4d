"""Mistral, and Ministral 3: Llama's tensors; every layer slides when the config has a window."""

from __future__ import annotations

from plimsoll.parse.families.blocks import (
    Block,
    Layout,
    attention,
    collect,
    decoder,
    gated_mlp,
    grouped_layer,
    read_dims,
    two_norms,
    window_everywhere,
)  # fmt: skip
from plimsoll.parse.keys import Keys

# Class defaults, applied by Transformers where the key is absent (an explicit null means no window).
_WINDOW = {"mistral": 4096, "ministral3": None}


def build(keys: Keys, *, at: str = "model", tied: bool | None = None) -> Layout:
    """Source: transformers models/mistral/modeling_mistral.py, models/ministral3/modeling_ministral3.py."""
    dims = read_dims(keys, kv_heads=8)
    window = window_everywhere(keys, _WINDOW[keys.text("model_type", default="mistral")])

    def block(i: int, at: str) -> Block:
        rows = collect(
            attention(f"{at}.self_attn", i, dims),
            gated_mlp(f"{at}.mlp", i, hidden_dim=dims.hidden, ffn_dim=dims.ffn),
            two_norms(at, i, dims.hidden),
        )
        return rows, grouped_layer(i, dims, window=window)

    return decoder(keys, block, at=at, tied=keys.flag("tie_word_embeddings") if tied is None else tied)
