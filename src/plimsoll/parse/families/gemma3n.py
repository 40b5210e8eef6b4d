"""Gemma 3n: alternating streams, low-rank residuals, per-layer inputs, shared key-value caches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from plimsoll.parse.families import gemma3n_towers as towers
from plimsoll.parse.families.blocks import (
    Block,
    Dims,
    Layout,
    Row,
    collect,
    decoder,
    every,
    four_norms,
    gated_mlp,
    grouped_layer,
    layer_types,
    layers_count,
    linear,
    norm,
    read_even_dims,
    shared_sources,
    text_section,
    tied_or,
    with_rows,
)  # fmt: skip
from plimsoll.parse.families.gemma4 import input_embedding, layer_input
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Source: transformers models/gemma3n/modeling_gemma3n.py and configuration_gemma3n.py."""
    text = text_section(keys)
    if text is None:
        return decode(keys, at="model", tied=keys.flag("tie_word_embeddings", default=True))
    layout = decode(text, at="model.language_model", tied=tied_or(keys, text, default=True))
    # Transformers builds both towers whatever the config says of them.
    see, hear = (keys.section(name) or Keys({}) for name in ("vision_config", "audio_config"))
    rows = collect(towers.vision(see, layout.hidden_dim), towers.audio(hear, layout.hidden_dim))
    return with_rows(layout, rows)


def decode(keys: Keys, *, at: str, tied: bool) -> Layout:
    """The text part; layers that read another's cache have unused keys and values in the files ("other")."""
    ffn = read_widths(keys)
    dims = read_even_dims(keys, heads=8, kv_heads=2, head_dim=256, ffn=ffn[0])
    kinds, tokens = layer_types(keys, every(5)), keys.positive("sliding_window", default=512)
    sources = shared_sources(keys, kinds, keys.count("num_kv_shared_layers", default=15))
    streams, rank = keys.positive("altup_num_inputs", default=4), keys.positive("laurel_rank", default=64)
    if streams > 64:
        raise keys.bad(("altup_num_inputs",), streams, "at most 64 streams")
    input_dim = keys.positive("hidden_size_per_layer_input", default=256)

    def block(i: int, at: str) -> Block:
        rows = collect(
            attention(f"{at}.self_attn", i, dims, sources[i] is not None),
            gated_mlp(f"{at}.mlp", i, hidden_dim=dims.hidden, ffn_dim=ffn[i]),
            four_norms(at, i, dims.hidden),
            altup(f"{at}.altup", i, dims.hidden, streams),
            linear(f"{at}.laurel.linear_left", rank, dims.hidden, "ffn", i),
            linear(f"{at}.laurel.linear_right", dims.hidden, rank, "ffn", i),
            norm(f"{at}.laurel.post_laurel_norm", dims.hidden, i),
            layer_input(at, i, dims.hidden, input_dim),
        )
        layer = grouped_layer(i, dims, window=tokens if kinds[i] == "sliding_attention" else None, ffn=ffn[i])
        return rows, replace(layer, shares_kv_with=sources[i])

    layout = decoder(keys, block, at=at, tied=tied, theta=1e6, vocab=262400, context=32768)
    vocab = keys.positive("vocab_size_per_layer_input", default=262144)
    return with_rows(
        layout,
        collect(input_embedding(at, layout, vocab, input_dim), stream_projections(at, dims.hidden, streams)),
    )


def read_widths(keys: Keys) -> tuple[int, ...]:
    """intermediate_size: one number, or one for each layer."""
    count, values = layers_count(keys), keys.raw("intermediate_size", default=16384)
    if not isinstance(values, list):
        return (keys.positive("intermediate_size", default=16384),) * count
    if len(values) != count or not all(isinstance(width, int) and 0 < width < 2**32 for width in values):
        raise keys.bad(("intermediate_size",), values, f"{count} widths")
    return tuple(values)


def attention(at: str, i: int, dims: Dims, is_shared: bool) -> Iterator[Row]:
    """Projections and norms of one layer."""
    query, key = dims.heads * dims.head_dim, dims.kv_heads * dims.head_dim
    yield from linear(f"{at}.q_proj", query, dims.hidden, "attention", i)
    yield from norm(f"{at}.q_norm", dims.head_dim, i)
    yield from linear(f"{at}.o_proj", dims.hidden, query, "attention", i)
    for name in ("k_proj", "v_proj"):
        for row in linear(f"{at}.{name}", key, dims.hidden, "attention", i):
            yield replace(row, role="other") if is_shared else row
    for row in norm(f"{at}.k_norm", dims.head_dim, i):
        yield replace(row, role="other") if is_shared else row


def altup(at: str, i: int, hidden: int, streams: int) -> Iterator[Row]:
    """Prediction and correction of the streams that a layer does not compute."""
    yield Row(name=f"{at}.correct_output_scale", shape=(hidden,), role="ffn", layer=i)
    yield from linear(f"{at}.correction_coefs", streams, streams, "ffn", i)
    yield from linear(f"{at}.prediction_coefs", streams**2, streams, "ffn", i)
    yield from linear(f"{at}.modality_router", streams, hidden, "ffn", i)
    yield from norm(f"{at}.router_norm", hidden, i)


def stream_projections(at: str, hidden: int, streams: int) -> Iterator[Row]:
    """Into the further streams and out of them."""
    for name in ("altup_projections", "altup_unembed_projections"):
        for i in range(streams - 1):
            yield from linear(f"{at}.{name}.{i}", hidden, hidden, "ffn", None)
