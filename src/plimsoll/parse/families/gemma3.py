"""Gemma 3: five sliding layers, then a full one; four norms around a block; SigLIP in the larger ones."""

from __future__ import annotations

from collections.abc import Iterator

from plimsoll.parse.families.blocks import (
    Block,
    Layout,
    Row,
    attention,
    collect,
    decoder,
    every,
    four_norms,
    gated_mlp,
    grouped_layer,
    layer_norm,
    linear,
    query_key_norms,
    read_even_dims,
    text_section,
    tied_or,
    windows,
    with_rows,
)  # fmt: skip
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Source: transformers models/gemma3/modeling_gemma3.py and configuration_gemma3.py."""
    text = text_section(keys)
    if text is None:
        return decode(keys, at="model", tied=keys.flag("tie_word_embeddings", default=True))
    layout = decode(text, at="model.language_model", tied=tied_or(keys, text, default=True))
    vision = keys.section("vision_config")
    if vision is None:
        return layout
    return with_rows(
        layout, collect(siglip("model.vision_tower", vision), projector(vision, layout.hidden_dim))
    )


def decode(keys: Keys, *, at: str, tied: bool) -> Layout:
    """The text part. Published configs leave out what equals the class defaults given here."""
    dims = read_even_dims(keys, heads=8, kv_heads=4, head_dim=256)
    bias, window = keys.flag("attention_bias"), read_windows(keys)

    def block(i: int, at: str) -> Block:
        rows = collect(
            attention(f"{at}.self_attn", i, dims, bias=bias),
            query_key_norms(f"{at}.self_attn", i, dims.head_dim),
            gated_mlp(f"{at}.mlp", i, hidden_dim=dims.hidden, ffn_dim=dims.ffn),
            four_norms(at, i, dims.hidden),
        )
        return rows, grouped_layer(i, dims, window=window[i])

    return decoder(keys, block, at=at, tied=tied, theta=1e6, vocab=262208, context=131072)


def read_windows(keys: Keys) -> tuple[int | None, ...]:
    """Every sliding_window_pattern-th layer is full; a bidirectional encoder looks half a window each way."""
    window = windows(keys, every(keys.positive("sliding_window_pattern", default=6)), window=4096)
    if not keys.flag("use_bidirectional_attention"):
        return window
    return tuple(None if tokens is None else tokens // 2 + 1 for tokens in window)


def siglip(at: str, keys: Keys) -> Iterator[Row]:
    """The SigLIP tower. Source: transformers models/siglip/modeling_siglip.py."""
    hidden, ffn = keys.positive("hidden_size", default=768), keys.positive("intermediate_size", default=3072)
    patch, image = keys.positive("patch_size", default=16), keys.positive("image_size", default=224)
    channels = keys.positive("num_channels", default=3)
    keys.raw("num_attention_heads")
    if keys.flag("vision_use_head", default=True):
        raise keys.contradiction("a SigLIP tower with a pooling head is not known in Gemma 3")
    embeddings = f"{at}.embeddings"
    yield Row(
        name=f"{embeddings}.patch_embedding.weight", shape=(hidden, channels, patch, patch), role="vision"
    )
    yield Row(name=f"{embeddings}.patch_embedding.bias", shape=(hidden,), role="vision")
    positions = (image // patch) ** 2
    yield Row(name=f"{embeddings}.position_embedding.weight", shape=(positions, hidden), role="vision")
    for i in range(keys.positive("num_hidden_layers", default=12)):
        block = f"{at}.encoder.layers.{i}"
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            yield from linear(f"{block}.self_attn.{name}", hidden, hidden, "vision", None, bias=True)
        yield from linear(f"{block}.mlp.fc1", ffn, hidden, "vision", None, bias=True)
        yield from linear(f"{block}.mlp.fc2", hidden, ffn, "vision", None, bias=True)
        yield from layer_norm(f"{block}.layer_norm1", hidden, "vision")
        yield from layer_norm(f"{block}.layer_norm2", hidden, "vision")
    yield from layer_norm(f"{at}.post_layernorm", hidden, "vision")


def projector(vision: Keys, text_dim: int) -> Iterator[Row]:
    """One matrix, stored input first, and the norm before it."""
    hidden, at = vision.positive("hidden_size", default=768), "model.multi_modal_projector"
    yield Row(
        name=f"{at}.mm_input_projection_weight",
        shape=(hidden, text_dim),
        role="projector",
        is_input_major=True,
    )
    yield Row(name=f"{at}.mm_soft_emb_norm.weight", shape=(hidden,), role="projector")
