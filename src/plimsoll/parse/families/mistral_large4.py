"""MistralLarge4ForConditionalGeneration (Mistral Large 4): indexed latent attention, a Pixtral tower."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from plimsoll.domain.model import LayerSpec
from plimsoll.parse.families.blocks import (
    Block,
    Layout,
    Row,
    collect,
    decoder,
    layers_count,
    linear,
    norm,
    two_norms,
    with_rows,
)
from plimsoll.parse.families.glm_moe_dsa import indexer_kinds
from plimsoll.parse.families.latent import latent_attention, read_latent
from plimsoll.parse.families.mistral3 import pixtral, projector
from plimsoll.parse.families.routing import read_mixture
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Every fourth layer has no rotated part. Source: models/mistral_large4/modeling_mistral_large4.py."""
    text, vision = keys.section("text_config"), keys.section("vision_config")
    if text is None:
        return decode(keys, "model", tied=keys.flag("tie_word_embeddings"))
    layout = decode(text, "model.language_model", tied=keys.flag("tie_word_embeddings"))
    if vision is None:
        return layout
    rows = collect(pixtral("model.vision_tower", vision), projector(keys, vision, layout.hidden_dim))
    return with_rows(layout, rows)


def decode(keys: Keys, root: str, *, tied: bool) -> Layout:
    """The text model; layers that share another's cache are refused, as none is published."""
    hidden = keys.positive("hidden_size")
    dims = read_latent(keys, hidden)
    mixture = read_mixture(keys, first=1, correction="")
    heads, dim = keys.positive("index_n_heads", default=32), keys.positive("index_head_dim", default=128)
    indexers, period = indexer_kinds(keys), keys.positive("no_rope_layer_interval", default=4)
    ropes = keys.list("no_rope_layers") or [int((i + 1) % period != 0) for i in range(layers_count(keys))]
    sources = keys.list("kv_source_layers") or list(range(layers_count(keys)))
    if len(ropes) != layers_count(keys) or sources != list(range(layers_count(keys))):
        raise keys.contradiction("no_rope_layers must name every layer, and kv_source_layers share nothing")

    def block(i: int, at: str) -> Block:
        plain = replace(dims, plain_dim=dims.plain_dim + dims.rope_dim, rope_dim=0)
        own, attn, full = dims if ropes[i] else plain, f"{at}.self_attn", indexers[i] == "full"
        rows = collect(
            latent_attention(attn, i, own), scaling(f"{attn}.softmax_scaling", i, dims.heads),
            indexer(f"{attn}.indexer", i, hidden, heads, dim) if full else (),
            (
                replace(row, dtype="f32") if row.role == "router" else row
                for row in mixture.rows(f"{at}.mlp", i, hidden)
            ),
            two_norms(at, i, hidden),
        )  # fmt: skip
        layer = LayerSpec(
            index=i, attention="latent", **own.fields(), **mixture.fields(i), indexer_dim=dim if full else 0,
            indexer_heads_count=heads if full else 0,
        )  # fmt: skip
        return rows, layer

    layout = decoder(keys, block, at=root, tied=tied)
    alpha = Row(
        name=f"{root}.rotary_emb.alpha",
        shape=(dims.rope_dim // 2,),
        role="attention",
        dtype="f32",
        is_buffer=True,
    )
    return with_rows(layout, [alpha])


def scaling(prefix: str, layer: int, heads: int) -> Iterator[Row]:
    """A learned scale and bias of the softmax per head."""
    for name in ("scale", "bias"):
        yield Row(name=f"{prefix}.{name}", shape=(heads,), role="attention", layer=layer)


def indexer(prefix: str, layer: int, hidden: int, heads: int, dim: int) -> Iterator[Row]:
    """Queries from the normed hidden state, one key, weights per head, and their softmax scaling."""
    yield from norm(f"{prefix}.q_input_norm", hidden, layer, bias=True)
    yield from linear(f"{prefix}.wq_b", heads * dim, hidden, "attention", layer)
    yield from linear(f"{prefix}.wk", dim, hidden, "attention", layer)
    yield from norm(f"{prefix}.k_norm", dim, layer, bias=True)
    yield from linear(f"{prefix}.weights_proj", heads, hidden, "attention", layer)
    yield from scaling(f"{prefix}.softmax_scaling", layer, heads)
