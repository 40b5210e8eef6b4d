"""Llama 3.2 Vision: Llama with layers of cross attention to the image between the others."""

from __future__ import annotations

from collections.abc import Iterator

from plimsoll.domain.model import LayerSpec
from plimsoll.parse.families.blocks import (
    Block,
    Dims,
    Layout,
    Row,
    attention,
    collect,
    decoder,
    gated_mlp,
    grouped_layer,
    layer_norm,
    layers_count,
    linear,
    query_key_norms,
    read_dims,
    required_section,
    two_norms,
    with_rows,
)  # fmt: skip
from plimsoll.parse.keys import Keys

# The embedding has rows for <|image|> and its kin that the output lacks (modeling_mllama.py).
_IMAGE_TOKENS = 8


def build(keys: Keys) -> Layout:
    """Source: transformers models/mllama/modeling_mllama.py."""
    text = required_section(keys, "text_config")
    layout = decode(text)
    vision = keys.section("vision_config")
    if vision is None:
        return layout
    out_dim = vision.positive("vision_output_dim", default=7680)
    projector = linear(
        "model.multi_modal_projector", layout.hidden_dim, out_dim, "projector", None, bias=True
    )
    return with_rows(layout, collect(tower("model.vision_model", vision), projector))


def decode(keys: Keys) -> Layout:
    """The text part. A cross-attention layer caches the image's keys and values, none of the text's."""
    dims, crossing = read_dims(keys), keys.list("cross_attention_layers") or [3, 8, 13, 18, 23, 28, 33, 38]
    if any(not isinstance(i, int) or not 0 <= i < layers_count(keys) for i in crossing):
        raise keys.contradiction("cross_attention_layers names layers that are not there")

    def block(i: int, at: str) -> Block:
        rows = collect(
            cross_attention(at, i, dims) if i in crossing else attention(f"{at}.self_attn", i, dims),
            gated_mlp(f"{at}.mlp", i, hidden_dim=dims.hidden, ffn_dim=dims.ffn),
            two_norms(at, i, dims.hidden),
        )
        if i in crossing:
            return rows, LayerSpec(index=i, attention="none", ffn_dim=dims.ffn)
        return rows, grouped_layer(i, dims)

    tied = keys.flag("tie_word_embeddings")
    return decoder(
        keys, block, at="model.language_model", tied=tied, theta=500000.0, extra_tokens=_IMAGE_TOKENS
    )


def cross_attention(at: str, i: int, dims: Dims) -> Iterator[Row]:
    """Attention to the image with two gates."""
    yield from attention(f"{at}.cross_attn", i, dims)
    yield from query_key_norms(f"{at}.cross_attn", i, dims.head_dim)
    for name in ("cross_attn_attn_gate", "cross_attn_mlp_gate"):
        yield Row(name=f"{at}.{name}", shape=(1,), role="attention", layer=i)


def tower(at: str, keys: Keys) -> Iterator[Row]:
    """Tiles of patches through local layers, then gated global ones."""
    hidden, patch = keys.positive("hidden_size", default=1280), keys.positive("patch_size", default=14)
    channels, ffn = keys.positive("num_channels", default=3), keys.positive("intermediate_size", default=5120)
    keys.raw("attention_heads", "intermediate_layers_indices", "tie_word_embeddings")
    yield Row(name=f"{at}.class_embedding", shape=(hidden,), role="vision")
    yield Row(name=f"{at}.patch_embedding.weight", shape=(hidden, channels, patch, patch), role="vision")
    yield from positions(at, keys, hidden, patch)
    for name in ("layernorm_pre", "layernorm_post"):
        yield from layer_norm(f"{at}.{name}", hidden, "vision")
    for i in range(keys.positive("num_hidden_layers", default=32)):
        yield from vision_layer(f"{at}.transformer.layers.{i}", hidden, ffn)
    for i in range(keys.count("num_global_layers", default=8)):
        block = f"{at}.global_transformer.layers.{i}"
        yield from vision_layer(block, hidden, ffn)
        for name in ("gate_attn", "gate_ffn"):
            yield Row(name=f"{block}.{name}", shape=(1,), role="vision")


def positions(at: str, keys: Keys, hidden: int, patch: int) -> Iterator[Row]:
    """Gated embeddings of the patch in its tile and of the tile among the allowed aspect ratios."""
    tiles = keys.positive("max_num_tiles", default=4)
    ratios = len(keys.list("supported_aspect_ratios") or range(8)) + 1
    patches = (keys.positive("image_size", default=448) // patch) ** 2 + 1
    gated = f"{at}.gated_positional_embedding"
    yield Row(name=f"{gated}.gate", shape=(1,), role="vision")
    yield Row(name=f"{gated}.embedding", shape=(patches, hidden), role="vision")
    yield Row(name=f"{gated}.tile_embedding.weight", shape=(ratios, tiles * patches * hidden), role="vision")
    for place in ("pre", "post"):
        tile = f"{at}.{place}_tile_positional_embedding"
        yield Row(name=f"{tile}.gate", shape=(1,), role="vision")
        yield Row(name=f"{tile}.embedding.weight", shape=(ratios, tiles * hidden), role="vision")


def vision_layer(at: str, hidden: int, ffn: int) -> Iterator[Row]:
    """Plain attention and a feed-forward with biases."""
    for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
        yield from linear(f"{at}.self_attn.{name}", hidden, hidden, "vision", None)
    yield from linear(f"{at}.mlp.fc1", ffn, hidden, "vision", None, bias=True)
    yield from linear(f"{at}.mlp.fc2", hidden, ffn, "vision", None, bias=True)
    for name in ("input_layernorm", "post_attention_layernorm"):
        yield from layer_norm(f"{at}.{name}", hidden, "vision")
