"""Mistral Small 3.1 to Mistral Small 4 and Ministral 3: a Pixtral tower before a Mistral text model."""

from __future__ import annotations

from collections.abc import Iterator

from plimsoll.errors import UnsupportedArchitecture
from plimsoll.parse.families import mistral, mistral4
from plimsoll.parse.families.blocks import Layout, Row, collect, linear, required_section, tied_or, with_rows
from plimsoll.parse.keys import Keys

_TEXT = {"mistral": mistral.build, "ministral3": mistral.build, "mistral4": mistral4.build}


def build(keys: Keys) -> Layout:
    """Source: transformers models/mistral3/modeling_mistral3.py, models/pixtral/modeling_pixtral.py."""
    text = required_section(keys, "text_config")
    kind = text.text("model_type", default="mistral")
    if kind not in _TEXT:
        raise UnsupportedArchitecture(f"a text_config of model_type {kind!r} is not known", where=keys.where)
    layout = _TEXT[kind](text, at="model.language_model", tied=tied_or(keys, text, default=False))
    vision = keys.section("vision_config")
    if vision is None:
        return layout
    rows = collect(pixtral("model.vision_tower", vision), projector(keys, vision, layout.hidden_dim))
    return with_rows(layout, rows)


def pixtral(at: str, keys: Keys) -> Iterator[Row]:
    """Patches and gated layers with rotary positions."""
    hidden, ffn = keys.positive("hidden_size", default=1024), keys.positive("intermediate_size", default=4096)
    patch, channels = keys.positive("patch_size", default=16), keys.positive("num_channels", default=3)
    keys.raw("head_dim", "image_size", "num_attention_heads", "rope_parameters", "rope_theta")
    yield Row(name=f"{at}.patch_conv.weight", shape=(hidden, channels, patch, patch), role="vision")
    yield Row(name=f"{at}.ln_pre.weight", shape=(hidden,), role="vision")
    for i in range(keys.positive("num_hidden_layers", default=24)):
        block = f"{at}.transformer.layers.{i}"
        for name in ("attention_norm", "ffn_norm"):
            yield Row(name=f"{block}.{name}.weight", shape=(hidden,), role="vision")
        for name in ("k_proj", "v_proj", "q_proj", "o_proj"):
            yield from linear(f"{block}.attention.{name}", hidden, hidden, "vision", None)
        yield from linear(f"{block}.feed_forward.gate_proj", ffn, hidden, "vision", None)
        yield from linear(f"{block}.feed_forward.up_proj", ffn, hidden, "vision", None)
        yield from linear(f"{block}.feed_forward.down_proj", hidden, ffn, "vision", None)


def projector(keys: Keys, vision: Keys, text_dim: int) -> Iterator[Row]:
    """Merges spatial_merge_size^2 patches, then two matrices."""
    at, hidden = "model.multi_modal_projector", vision.positive("hidden_size", default=1024)
    bias, merge = keys.flag("multimodal_projector_bias"), keys.positive("spatial_merge_size", default=2)
    layers = keys.raw("vision_feature_layer", default=-1)
    inputs = hidden * (len(layers) if isinstance(layers, list) else 1)
    yield Row(name=f"{at}.norm.weight", shape=(hidden,), role="projector")
    yield from linear(f"{at}.patch_merger.merging_layer", hidden, hidden * merge**2, "projector", None)
    yield from linear(f"{at}.linear_1", text_dim, inputs, "projector", None, bias=bias)
    yield from linear(f"{at}.linear_2", text_dim, text_dim, "projector", None, bias=bias)
