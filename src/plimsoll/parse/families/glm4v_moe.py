"""Glm4vMoeForConditionalGeneration (GLM-4.5V): GLM-4.5-Air's decoder with a vision tower."""

from __future__ import annotations

from collections.abc import Iterator

from plimsoll.parse.families.blocks import Layout, Row, layer_norm, linear, with_rows
from plimsoll.parse.families.glm4_moe import decode
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """The text model under text_config, the tower under vision_config.

    Source: models/glm4v_moe/modeling_glm4v_moe.py.
    """
    text, vision = keys.section("text_config"), keys.section("vision_config")
    if text is None:
        return decode(keys, at="model")
    layout = decode(text, at="model.language_model")
    return with_rows(layout, tower("model.visual", vision)) if vision else layout


def tower(at: str, keys: Keys) -> Iterator[Row]:
    """Patches, learned positions, blocks without biases of width out_hidden_size, a strided convolution and
    a gated merger of width intermediate_size."""
    hidden, out_dim = keys.positive("hidden_size"), keys.positive("out_hidden_size")
    patch, size = keys.positive("patch_size", default=14), keys.positive("image_size", default=336)
    frames, merge = (
        keys.positive("temporal_patch_size", default=2),
        keys.positive("spatial_merge_size", default=2),
    )
    kernel = (hidden, keys.positive("in_channels", default=3), frames, patch, patch)
    yield Row(name=f"{at}.patch_embed.proj.weight", shape=kernel, role="vision")
    yield Row(name=f"{at}.patch_embed.proj.bias", shape=(hidden,), role="vision")
    places = (size // patch) ** 2
    yield Row(name=f"{at}.embeddings.position_embedding.weight", shape=(places, hidden), role="vision")
    for i in range(keys.positive("depth")):
        block = f"{at}.blocks.{i}"
        for name, width, depth in (
            ("attn.qkv", 3 * hidden, hidden), ("attn.proj", hidden, hidden),
            ("mlp.gate_proj", out_dim, hidden),
            ("mlp.up_proj", out_dim, hidden), ("mlp.down_proj", hidden, out_dim),
        ):  # fmt: skip
            yield from linear(f"{block}.{name}", width, depth, "vision", None)
        yield from layer_norm(f"{block}.norm1", hidden, "vision", bias=False)
        yield from layer_norm(f"{block}.norm2", hidden, "vision", bias=False)
    yield from layer_norm(f"{at}.post_conv_layernorm", hidden, "vision", bias=False)
    yield from layer_norm(f"{at}.post_layernorm", hidden, "vision", bias=False)
    yield Row(name=f"{at}.downsample.weight", shape=(out_dim, hidden, merge, merge), role="projector")
    yield Row(name=f"{at}.downsample.bias", shape=(out_dim,), role="projector")
    yield from merger(f"{at}.merger", out_dim, keys.positive("intermediate_size"))


def merger(at: str, dim: int, ffn: int) -> Iterator[Row]:
    """proj, a norm, and a gated MLP."""
    yield from linear(f"{at}.proj", dim, dim, "projector", None)
    yield from layer_norm(f"{at}.post_projection_norm", dim, "projector")
    yield from linear(f"{at}.gate_proj", ffn, dim, "projector", None)
    yield from linear(f"{at}.up_proj", ffn, dim, "projector", None)
    yield from linear(f"{at}.down_proj", dim, ffn, "projector", None)
