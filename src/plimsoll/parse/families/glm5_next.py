"""Glm5NextForConditionalGeneration (GLM-5.3-Flash): Kimi delta attention and indexed latent attention."""

from __future__ import annotations

from collections.abc import Iterator

from plimsoll.domain.model import LayerSpec
from plimsoll.parse.families.blocks import (
    Block,
    Layout,
    Row,
    collect,
    decoder,
    layer_norm,
    layer_types,
    linear,
    two_norms,
    with_rows,
)
from plimsoll.parse.families.glm4v_moe import merger
from plimsoll.parse.families.glm_moe_dsa import indexer_kinds
from plimsoll.parse.families.kimi_linear import delta_attention
from plimsoll.parse.families.latent import Latent, indexer, latent_attention, read_latent
from plimsoll.parse.families.recurrent import kda_state
from plimsoll.parse.families.routing import read_mixture
from plimsoll.parse.keys import Keys

MTP_NOTE = "the MTP layer of the published checkpoint is not counted: its layout could not be verified"


def build(keys: Keys) -> Layout:
    """Every fourth layer attends; the rest keep a state. Source: models/glm5_next/modeling_glm5_next.py."""
    text, vision = keys.section("text_config"), keys.section("vision_config")
    if text is None:
        return decode(keys, "model", tied=keys.flag("tie_word_embeddings"))
    layout = decode(text, "model.language_model", tied=keys.flag("tie_word_embeddings"))
    return with_rows(layout, tower("model.visual", vision)) if vision else layout


def decode(keys: Keys, at: str, *, tied: bool) -> Layout:
    """Residual streams mixed by hyper-connections around delta or latent attention and experts."""
    hidden, streams = keys.positive("hidden_size"), keys.positive("hc_mult", default=4)
    dims, mixture = read_latent(keys, hidden), read_mixture(keys, first=3)
    linears = keys.section("linear_attn_config")
    state = kda_state(
        kernel=(linears or keys).positive("short_conv_kernel_size", "linear_conv_kernel_dim", default=4),
        heads=(linears or keys).positive("num_heads", "linear_num_heads", default=64),
        head_dim=linears.positive("head_dim", default=128)
        if linears
        else keys.positive("linear_head_dim", default=128),
    )
    kinds = layer_types(keys, lambda i: "indexed_attention" if i % 4 == 3 else "linear_attention")
    indexers = indexer_kinds(keys)
    heads, dim = keys.positive("index_n_heads", default=32), keys.positive("index_head_dim", default=128)
    pool = keys.positive("index_kpool", default=16)

    def block(i: int, prefix: str) -> Block:
        attn = f"{prefix}.self_attn"
        around = collect(
            connection(f"{prefix}.attn_hc", i, hidden, streams),
            connection(f"{prefix}.ffn_hc", i, hidden, streams),
            mixture.rows(f"{prefix}.mlp", i, hidden), two_norms(prefix, i, hidden),
        )  # fmt: skip
        if kinds[i] == "linear_attention":
            rows = delta_attention(attn, i, hidden, state, dtype="f32")
            layer = LayerSpec(index=i, attention="none", state=state, **mixture.fields(i))
            return collect(rows, around), layer
        full = indexers[i] == "full"
        index = pooled_indexer(f"{attn}.indexer", i, dims, heads, dim, pool) if full else ()
        layer = LayerSpec(
            index=i, attention="latent", **dims.fields(), **mixture.fields(i),
            indexer_dim=dim if full else 0, indexer_heads_count=heads if full else 0,
        )  # fmt: skip
        return collect(latent_attention(attn, i, dims), index, around), layer

    layout = decoder(keys, block, at=at, tied=tied)
    notes = (MTP_NOTE,) if keys.count("num_nextn_predict_layers", default=0) else ()
    return with_rows(layout, (), notes=notes)


def pooled_indexer(prefix: str, layer: int, dims: Latent, heads: int, dim: int, pool: int) -> Iterator[Row]:
    """An indexer with what pools its keys by `pool` tokens."""
    yield from indexer(
        prefix, layer, hidden_dim=dims.hidden_dim, query_latent_dim=dims.query_latent_dim, heads=heads,
        head_dim=dim,
    )  # fmt: skip
    for name, shape in (("ape", (pool, dim)), ("gate", (dim, dims.hidden_dim))):
        yield Row(name=f"{prefix}.index_kpool_compress_{name}", shape=shape, role="attention", layer=layer)


def connection(prefix: str, layer: int, hidden: int, streams: int) -> Iterator[Row]:
    """fn, and base and scale in float32: weights before, after and between the residual streams."""
    weights = (2 + streams) * streams
    for name, shape, dtype in (
        ("fn", (weights, streams * hidden), ""), ("base", (weights,), "f32"), ("scale", (3,), "f32"),
    ):  # fmt: skip
        yield Row(name=f"{prefix}.{name}", shape=shape, role="ffn", layer=layer, dtype=dtype)


def tower(at: str, keys: Keys) -> Iterator[Row]:
    """Patches, blocks with biases and normed heads, a strided convolution and a gated merger."""
    hidden, out_dim = (
        keys.positive("hidden_size", default=1024),
        keys.positive("out_hidden_size", default=1536),
    )
    ffn, patch = keys.positive("intermediate_size", default=4096), keys.positive("patch_size", default=14)
    frames, merge = (
        keys.positive("temporal_patch_size", default=2),
        keys.positive("spatial_merge_size", default=2),
    )
    kernel = (hidden, keys.positive("in_channels", default=3), frames, patch, patch)
    yield Row(name=f"{at}.patch_embed.proj.weight", shape=kernel, role="vision")
    yield Row(name=f"{at}.patch_embed.proj.bias", shape=(hidden,), role="vision")
    bias = keys.flag("attention_bias", default=True)
    head_dim = hidden // keys.positive("num_heads", default=16)
    for i in range(keys.positive("depth", default=24)):
        block = f"{at}.blocks.{i}"
        for name, width, depth in (
            ("attn.qkv", 3 * hidden, hidden), ("attn.proj", hidden, hidden), ("mlp.gate_proj", ffn, hidden),
            ("mlp.up_proj", ffn, hidden), ("mlp.down_proj", hidden, ffn),
        ):  # fmt: skip
            yield from linear(f"{block}.{name}", width, depth, "vision", None, bias=bias)
        for name, width in (
            ("attn.q_norm", head_dim),
            ("attn.k_norm", head_dim),
            ("norm1", hidden),
            ("norm2", hidden),
        ):
            yield from layer_norm(f"{block}.{name}", width, "vision", bias=False)
    yield from layer_norm(f"{at}.post_layernorm", hidden, "vision", bias=False)
    yield Row(name=f"{at}.downsample.weight", shape=(out_dim, hidden, merge, merge), role="projector")
    yield Row(name=f"{at}.downsample.bias", shape=(out_dim,), role="projector")
    yield from merger(f"{at}.merger", out_dim, keys.positive("projection_intermediate_size", default=10240))
