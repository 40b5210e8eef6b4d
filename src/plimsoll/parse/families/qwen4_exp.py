"""Qwen4ExpForConditionalGeneration (Qwen3.8-Flash-Next): Qwen3.5 plus residual streams, indexer, n-grams."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from plimsoll.domain.model import LayerSpec
from plimsoll.parse.families.blocks import (
    Block,
    Dims,
    Layout,
    Row,
    collect,
    decoder,
    layer_types,
    linear,
    norm,
    with_rows,
)
from plimsoll.parse.families.gated_delta import delta_net, gated_attention, gated_moe, read_state
from plimsoll.parse.families.qwen_vision import tower
from plimsoll.parse.families.recurrent import convolution
from plimsoll.parse.families.routing import as_mtp
from plimsoll.parse.keys import Keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """`count` residual streams of `hidden`, mixed through a rank of `rank`."""

    count: int
    hidden: int
    rank: int

    @property
    def width(self) -> int:
        """All streams side by side."""
        return self.count * self.hidden


def build(keys: Keys) -> Layout:
    """Gated delta nets and indexed attention 3:1; hashed n-gram embeddings enter at the ple_layer_ids.

    The indexer keeps one key per token beside the keys and values. Sources:
    models/qwen4_exp/modeling_qwen4_exp.py, vLLM models/qwen4_exp for the MTP block.
    """
    text = keys.section("text_config")
    part = text or keys
    dims = Dims(
        hidden=part.positive("hidden_size"), heads=part.positive("num_attention_heads"),
        kv_heads=part.positive("num_key_value_heads"),
        head_dim=part.positive("head_dim"), ffn=0,
    )  # fmt: skip
    streams = Streams(
        count=part.positive("hc_count"), hidden=dims.hidden,
        rank=part.positive("hc_lowrank"),
    )  # fmt: skip
    at = "model.language_model" if text else "model"
    layout = decode(part, dims, streams, at, tied=keys.flag("tie_word_embeddings"))
    vision = keys.section("vision_config")
    return with_rows(layout, tower("model.visual", vision)) if text and vision else layout


def decode(keys: Keys, dims: Dims, streams: Streams, at: str, *, tied: bool) -> Layout:
    """The text model; instead of a final norm it ends with a mixer that folds the streams into one."""
    state, mlp, bias = read_state(keys), gated_moe(keys, dims.hidden), keys.flag("attention_bias")
    period = keys.positive("full_attention_interval", default=4)
    kinds = layer_types(keys, lambda i: "linear_attention" if (i + 1) % period else "indexed_attention")
    index_heads, index_dim = (
        keys.count("indexer_n_heads", default=0),
        keys.count("indexer_head_dim", default=0),
    )
    ngrams = [place - 1 for place in keys.list("ple_layer_ids") or [] if isinstance(place, int)]

    def block(i: int, prefix: str) -> Block:
        parts, fields = mlp(f"{prefix}.mlp", i)
        around = collect(
            parts, residual(f"{prefix}.attn_hyper_connection", i, streams),
            residual(f"{prefix}.mlp_hyper_connection", i, streams),
            ngram_layer(f"{prefix}.ple", i, keys, streams, ngrams.index(i)) if i in ngrams else (),
        )  # fmt: skip
        if i < len(kinds) and kinds[i] == "linear_attention":
            net = delta_net(f"{prefix}.linear_attn", i, dims.hidden, state, is_fused=False)
            return collect(net, around), LayerSpec(index=i, attention="none", state=state, **fields)
        attention = gated_attention(f"{prefix}.self_attn", i, dims, bias=bias)
        index = indexer(f"{prefix}.self_attn.indexer", i, dims.hidden, index_heads, index_dim)
        layer = LayerSpec(
            index=i, attention="full", query_heads_count=dims.heads, kv_heads_count=dims.kv_heads,
            key_dim=dims.head_dim, value_dim=dims.head_dim, indexer_dim=index_dim,
            indexer_heads_count=index_heads, **fields,
        )  # fmt: skip
        return collect(attention, index if index_heads else (), around), layer

    layout = decoder(keys, block, at=at, tied=tied)
    rows = tuple(row for row in layout.rows if row.name != f"{at}.norm.weight")
    layout = Layout(
        layers=layout.layers, rows=(*rows, *mixer(f"{at}.hyper_connection_mixer", streams)),
        hidden_dim=layout.hidden_dim, vocab_size=layout.vocab_size,
        trained_context_tokens=layout.trained_context_tokens, rope=layout.rope, has_tied_embeddings=tied,
    )  # fmt: skip
    drafts = keys.count("mtp_num_hidden_layers", default=0)
    blocks = [block(len(kinds) + i, f"mtp.layers.{i}")[0] for i in range(drafts)]
    return with_rows(layout, as_mtp(collect(*blocks, mtp_ends(streams) if drafts else ())))


def residual(prefix: str, layer: int, streams: Streams) -> Iterator[Row]:
    """hc_norm, the low-rank mix of the streams, and the weights with which a block's output enters each."""
    yield from mixer(prefix, streams, layer)
    yield from linear(f"{prefix}.block_inject_weight", streams.count, streams.width, "ffn", layer)


def mixer(prefix: str, streams: Streams, layer: int | None = None) -> Iterator[Row]:
    """hc_norm and the low-rank mix alone."""
    yield from norm(f"{prefix}.hc_norm", streams.width, layer)
    yield from linear(f"{prefix}.input_mix_weight_down", streams.rank, streams.width, "ffn", layer)
    yield from linear(f"{prefix}.input_mix_weight_up", streams.width, streams.rank, "ffn", layer)


def indexer(prefix: str, layer: int, hidden: int, heads: int, dim: int) -> Iterator[Row]:
    """The queries of `heads` heads and one key in one matrix, and their norms."""
    yield from linear(f"{prefix}.index_qk_proj", (heads + 1) * dim, hidden, "attention", layer)
    yield from norm(f"{prefix}.q_layernorm", dim, layer)
    yield from norm(f"{prefix}.k_layernorm", dim, layer)


def ngram_layer(prefix: str, layer: int, keys: Keys, streams: Streams, place: int) -> Iterator[Row]:
    """The hashed n-gram table, its projections to a value and a key per stream, norms and a convolution."""
    dim = keys.positive("ple_embed_dim", default=streams.hidden)
    size = keys.positive("ngram_size", default=3)
    heads = (size - 1) * keys.positive("heads_per_ngram", default=8)
    base = keys.positive("ngram_vocab_size_base", default=20_000_000)
    multiple = keys.positive("make_ngram_vocab_size_divisible_by", default=128)
    if not heads or dim % heads or base > 10**9:
        raise keys.contradiction("ple_embed_dim, ngram_size and heads_per_ngram make no table")
    entries = sum(primes_from(base, place * heads + heads)[place * heads :])
    table = (-(-entries // multiple) * multiple, dim // heads)
    yield Row(
        name=f"{prefix}.ple_embedding.ngram_embedding.weight", shape=table, role="embedding", layer=layer
    )
    for name, length in (
        ("layer_multipliers", size), ("ngram_heads_vocab_sizes", heads), ("ngram_heads_offsets", heads),
    ):  # fmt: skip
        yield Row(
            name=f"{prefix}.ple_embedding.{name}", shape=(length,), role="embedding", layer=layer,
            dtype="i64", is_buffer=True,
        )  # fmt: skip
    yield from linear(f"{prefix}.key_proj", streams.width, dim, "ffn", layer)
    yield from linear(f"{prefix}.value_proj", streams.hidden, dim, "ffn", layer)
    for name in ("norm_key", "norm_query", "norm_conv"):
        yield from norm(f"{prefix}.{name}", streams.width, layer)
    yield from convolution(
        f"{prefix}.conv1d", streams.width, keys.positive("ple_conv_kernel_size", default=4), layer
    )


def primes_from(start: int, count: int) -> list[int]:
    """The first `count` primes not below `start`: the sizes of the hash tables."""
    found: list[int] = []
    value = start
    while len(found) < count:
        if value > 1 and all(value % divisor for divisor in range(2, math.isqrt(value) + 1)):
            found.append(value)
        value += 1
    return found


def mtp_ends(streams: Streams) -> Iterator[Row]:
    """Projections of embedding and streams, the norms before them, and the mixer at the end."""
    yield from linear("mtp.fc_embedding", streams.hidden, streams.hidden, "mtp", None)
    yield from linear("mtp.fc_hidden", streams.hidden, streams.hidden, "mtp", None)
    yield from norm("mtp.pre_fc_norm_embedding", streams.hidden)
    yield from norm("mtp.pre_fc_norm_hidden", streams.width)
    yield from mixer("mtp.hyper_connection_mixer", streams)
