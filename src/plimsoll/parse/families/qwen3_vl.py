"""Qwen3-VL, dense and with experts: Qwen3 behind a tower whose deeper layers also feed the text model."""

from __future__ import annotations

from collections.abc import Iterator

from plimsoll.parse.families import qwen3, qwen3_moe
from plimsoll.parse.families.blocks import (
    Layout,
    Row,
    collect,
    layer_norm,
    linear,
    text_section,
    tied_or,
    with_rows,
)  # fmt: skip
from plimsoll.parse.families.qwen_vision import tower
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Source: transformers models/qwen3_vl/modeling_qwen3_vl.py, models/qwen3_vl_moe/."""
    text = text_section(keys) or keys
    build_text = qwen3_moe.build if "moe" in keys.text("model_type") else qwen3.build
    layout = build_text(text, at="model.language_model", tied=tied_or(keys, text, default=False))
    vision = keys.section("vision_config")
    if vision is None:
        return layout
    return with_rows(layout, collect(tower("model.visual", vision), deepstack("model.visual", vision)))


def deepstack(at: str, keys: Keys) -> Iterator[Row]:
    """One more merger for each of deepstack_visual_indexes."""
    keys.raw("num_heads")
    merged = keys.positive("hidden_size") * keys.positive("spatial_merge_size", default=2) ** 2
    for i in range(len(keys.list("deepstack_visual_indexes") or ())):
        block = f"{at}.deepstack_merger_list.{i}"
        yield from layer_norm(f"{block}.norm", merged, "projector")
        yield from linear(f"{block}.linear_fc1", merged, merged, "projector", None, bias=True)
        yield from linear(
            f"{block}.linear_fc2", keys.positive("out_hidden_size"), merged, "projector", None, bias=True
        )
