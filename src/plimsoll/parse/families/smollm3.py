"""SmolLM3: Llama's tensors; every fourth layer goes without rotary positions (and could slide)."""

from __future__ import annotations

from plimsoll.parse.families.blocks import (
    Block,
    Layout,
    attention,
    collect,
    decoder,
    gated_mlp,
    grouped_layer,
    layers_count,
    read_dims,
    two_norms,
    windows,
)  # fmt: skip
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Source: transformers models/smollm3/modeling_smollm3.py and configuration_smollm3.py (layer_types)."""
    dims = read_dims(keys, kv_heads=4)
    attention_bias, mlp_bias, window = keys.flag("attention_bias"), keys.flag("mlp_bias"), read_windows(keys)

    def block(i: int, at: str) -> Block:
        rows = collect(
            attention(f"{at}.self_attn", i, dims, bias=attention_bias),
            gated_mlp(f"{at}.mlp", i, hidden_dim=dims.hidden, ffn_dim=dims.ffn, bias=mlp_bias),
            two_norms(at, i, dims.hidden),
        )
        return rows, grouped_layer(i, dims, window=window[i])

    return decoder(keys, block, tied=keys.flag("tie_word_embeddings", default=True))


def read_windows(keys: Keys) -> tuple[int | None, ...]:
    """Layers without rotary positions slide, when use_sliding_window is set and there is a window."""
    slides = keys.flag("use_sliding_window") and keys.has("sliding_window")
    interval, rotary = keys.positive("no_rope_layer_interval", default=4), keys.list("no_rope_layers")
    if rotary is None:
        rotary = [int((i + 1) % interval != 0) for i in range(layers_count(keys))]
    if len(rotary) != layers_count(keys):
        raise keys.contradiction(f"no_rope_layers has {len(rotary)} entries for {layers_count(keys)} layers")
    return windows(keys, lambda i: "sliding_attention" if slides and not rotary[i] else "full_attention")
