"""Kimi_K25ForConditionalGeneration (Kimi K2.5, K2.6, K2.7): DeepSeek V3's decoder with a MoonViT tower."""

from __future__ import annotations

from collections.abc import Iterator

from plimsoll.parse.families.blocks import Layout, Row, layer_norm, linear, with_rows
from plimsoll.parse.families.deepseek_v3 import latent_decoder
from plimsoll.parse.families.routing import read_mixture
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """The text model under text_config, the tower under vision_config with the vt_ names of the published
    config. Source: models/kimi_k25/modeling_kimi_k25.py."""
    text = keys.section("text_config") or keys
    layout = latent_decoder(text, read_mixture(text), at="model.language_model")
    vision = keys.section("vision_config") or Keys({}, keys.where, "vision_config.")
    return with_rows(layout, tower(vision, layout.hidden_dim))


def tower(keys: Keys, text_dim: int) -> Iterator[Row]:
    """Patches with learned positions, blocks with biases, and a projector over merged patches."""
    at = "model.vision_tower"
    hidden = keys.positive("hidden_size", "vt_hidden_size", default=1152)
    ffn = keys.positive("intermediate_size", "vt_intermediate_size", default=4304)
    patch = keys.positive("patch_size", default=14)
    grid = (
        keys.positive("pos_emb_height", "init_pos_emb_height", default=64),
        keys.positive("pos_emb_width", "init_pos_emb_width", default=64),
    )
    yield Row(name=f"{at}.patch_embed.pos_emb.position_embeddings", shape=(*grid, hidden), role="vision")
    yield Row(name=f"{at}.patch_embed.proj.weight", shape=(hidden, 3, patch, patch), role="vision")
    yield Row(name=f"{at}.patch_embed.proj.bias", shape=(hidden,), role="vision")
    for i in range(keys.positive("num_hidden_layers", "vt_num_hidden_layers", default=27)):
        block = f"{at}.layers.{i}"
        for name in ("q_proj", "k_proj", "v_proj", "proj"):
            yield from linear(f"{block}.attn.{name}", hidden, hidden, "vision", None, bias=True)
        yield from linear(f"{block}.mlp.fc1", ffn, hidden, "vision", None, bias=True)
        yield from linear(f"{block}.mlp.fc2", hidden, ffn, "vision", None, bias=True)
        yield from layer_norm(f"{block}.norm1", hidden, "vision")
        yield from layer_norm(f"{block}.norm2", hidden, "vision")
    yield from layer_norm(f"{at}.final_layernorm", hidden, "vision")
    yield from projector(keys, hidden, text_dim)


def projector(keys: Keys, hidden: int, text_dim: int) -> Iterator[Row]:
    """pre_norm, in_proj and out_proj over merge_kernel_size patches side by side."""
    merge = keys.list("merge_kernel_size") or [2, 2]
    if len(merge) != 2 or not all(isinstance(side, int) for side in merge):
        raise keys.bad(("merge_kernel_size",), merge, "two whole numbers")
    merged = hidden * merge[0] * merge[1]
    yield from layer_norm("model.mm_projector.pre_norm", hidden, "projector")
    yield from linear("model.mm_projector.in_proj", merged, merged, "projector", None, bias=True)
    yield from linear("model.mm_projector.out_proj", text_dim, merged, "projector", None, bias=True)
