"""The vision tower of Qwen3.5: a plain transformer over patches, and a merger into the text width."""

from __future__ import annotations

from collections.abc import Iterator

from plimsoll.parse.families.blocks import Row, layer_norm, linear
from plimsoll.parse.keys import Keys


def tower(at: str, keys: Keys) -> Iterator[Row]:
    """Patches of (temporal x patch x patch), `depth` blocks, a merger of merge x merge patches.

    Source: models/qwen3_5/modeling_qwen3_5.py (Qwen3_5VisionModel).
    """
    hidden, ffn = keys.positive("hidden_size"), keys.positive("intermediate_size")
    patch, frames = keys.positive("patch_size", default=16), keys.positive("temporal_patch_size", default=2)
    kernel = (hidden, keys.positive("in_channels", default=3), frames, patch, patch)
    yield Row(name=f"{at}.patch_embed.proj.weight", shape=kernel, role="vision")
    yield Row(name=f"{at}.patch_embed.proj.bias", shape=(hidden,), role="vision")
    positions = keys.positive("num_position_embeddings", default=2304)
    yield Row(name=f"{at}.pos_embed.weight", shape=(positions, hidden), role="vision")
    for i in range(keys.positive("depth")):
        block = f"{at}.blocks.{i}"
        yield from linear(f"{block}.attn.qkv", 3 * hidden, hidden, "vision", None, bias=True)
        yield from linear(f"{block}.attn.proj", hidden, hidden, "vision", None, bias=True)
        yield from linear(f"{block}.mlp.linear_fc1", ffn, hidden, "vision", None, bias=True)
        yield from linear(f"{block}.mlp.linear_fc2", hidden, ffn, "vision", None, bias=True)
        yield from layer_norm(f"{block}.norm1", hidden, "vision")
        yield from layer_norm(f"{block}.norm2", hidden, "vision")
    merged = hidden * keys.positive("spatial_merge_size", default=2) ** 2
    yield from layer_norm(f"{at}.merger.norm", hidden, "projector")
    yield from linear(f"{at}.merger.linear_fc1", merged, merged, "projector", None, bias=True)
    width = keys.positive("out_hidden_size")
    yield from linear(f"{at}.merger.linear_fc2", width, merged, "projector", None, bias=True)
