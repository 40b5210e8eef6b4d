"""OLMo 2 and 3: norms after attention and feed-forward, query and key norms over all heads at once.

OLMo 3 also slides in three of four layers.
"""

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
    read_dims,
    windows,
)  # fmt: skip
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Source: transformers models/olmo2/modeling_olmo2.py, models/olmo3/configuration_olmo3.py."""
    dims = read_dims(keys)
    is_olmo3 = keys.text("model_type") == "olmo3"
    bias = keys.flag("attention_bias")
    window = windows(keys, every(4) if is_olmo3 else always_full, window=4096)

    def block(i: int, at: str) -> Block:
        rows = collect(
            attention(f"{at}.self_attn", i, dims, bias=bias),
            norm(f"{at}.self_attn.q_norm", dims.heads * dims.head_dim, i),
            norm(f"{at}.self_attn.k_norm", dims.kv_heads * dims.head_dim, i),
            gated_mlp(f"{at}.mlp", i, hidden_dim=dims.hidden, ffn_dim=dims.ffn),
            norm(f"{at}.post_attention_layernorm", dims.hidden, i),
            norm(f"{at}.post_feedforward_layernorm", dims.hidden, i),
        )
        return rows, grouped_layer(i, dims, window=window[i])

    theta = 500000.0 if is_olmo3 else 10000.0
    return decoder(keys, block, tied=keys.flag("tie_word_embeddings"), theta=theta)
