"""DeepseekV4ForCausalLM (DeepSeek V4 Flash and Pro): a window plus compressed entries, hyper-connections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from plimsoll.domain.model import LayerSpec
from plimsoll.parse.families.blocks import (
    Block,
    Experts,
    Layout,
    Row,
    collect,
    decoder,
    layers_count,
    linear,
    moe,
    norm,
    two_norms,
    with_rows,
)
from plimsoll.parse.families.routing import as_mtp, feed_forward
from plimsoll.parse.keys import Keys

CACHE_NOTE = (
    "DeepSeek V4 caches a window and one compressed entry per 4 or 128 tokens; where a runtime's compressed "
    "cache is not modelled yet, the KV figure is an upper bound"
)
RATES = {"sliding_attention": 0, "compressed_sparse_attention": 4, "heavily_compressed_attention": 128}
SPARSE_RATE = 4
FLOAT32 = ("_hc.", "hc_head.", "sinks", "position_bias", "q_a_norm", "kv_norm", "layernorm", "norm.weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The dimensions of V4's attention; keys are values too, in one head of `head_dim`."""

    hidden: int
    heads: int
    head_dim: int
    rope_dim: int
    query_rank: int
    output_rank: int
    output_groups: int
    index_heads: int
    index_dim: int
    streams: int


def build(keys: Keys) -> Layout:
    """Each layer keeps a sliding window; most also one compressed entry per 4 or 128 tokens.

    The layers that compress by 4 choose among their entries with an indexer, which keeps a key per entry.
    The first num_hash_layers route by token id, from a saved table. Names of the MTP layer as in vLLM
    models/deepseek_v4/nvidia/mtp.py. Source: models/deepseek_v4/modeling_deepseek_v4.py.
    """
    sizes, rates = read_sizes(keys), read_rates(keys)
    window, vocab = keys.positive("sliding_window", default=128), keys.positive("vocab_size")
    dim = keys.positive("moe_intermediate_size")
    experts = Experts(
        count=keys.positive("n_routed_experts"), active=keys.positive("num_experts_per_tok"), dim=dim,
        shared_dim=dim * keys.count("n_shared_experts", default=1),
    )  # fmt: skip
    if experts.shared_dim != dim:
        raise keys.bad(
            ("n_shared_experts",), keys.raw("n_shared_experts"), "1, the only value Transformers builds"
        )
    hashed = keys.count("num_hash_layers", default=3)

    def block(i: int, at: str, rate: int | None = None) -> Block:
        rate = rates[i] if rate is None else rate
        shape = (vocab, experts.active) if i < hashed else (experts.count,)
        table = Row(
            name=f"{at}.mlp.gate.{'tid2eid' if i < hashed else 'e_score_correction_bias'}", shape=shape,
            role="router", layer=i, dtype="i64" if i < hashed else "f32", is_buffer=True,
        )  # fmt: skip
        rows = collect(
            attention(f"{at}.self_attn", i, sizes), compressor(f"{at}.self_attn.compressor", i, sizes, rate),
            connection(f"{at}.attn_hc", i, sizes), connection(f"{at}.ffn_hc", i, sizes),
            moe(f"{at}.mlp", i, sizes.hidden, experts), [table], two_norms(at, i, sizes.hidden),
        )  # fmt: skip
        indexes = rate == SPARSE_RATE
        layer = LayerSpec(
            index=i, attention="latent", window_tokens=window, query_heads_count=sizes.heads,
            kv_heads_count=1, key_dim=sizes.head_dim, value_dim=sizes.head_dim,
            latent_dim=sizes.head_dim - sizes.rope_dim,
            rope_dim=sizes.rope_dim, query_latent_dim=sizes.query_rank, has_sinks=True,
            compress_rate_tokens=rate, indexer_dim=sizes.index_dim if indexes else 0,
            indexer_heads_count=sizes.index_heads if indexes else 0, **feed_forward(experts, 0),
        )  # fmt: skip
        return rows, layer

    layout = decoder(keys, block, tied=keys.flag("tie_word_embeddings"))
    count = layers_count(keys)
    parts = [head_connection("model.hc_head", sizes)]
    for i in range(keys.count("num_nextn_predict_layers", default=0)):
        drafted = collect(block(count + i, f"mtp.{i}", 0)[0], mtp_ends(f"mtp.{i}", sizes))
        parts.append(as_mtp(drafted))
    layout = with_rows(layout, collect(*parts), notes=(CACHE_NOTE,))
    return replace(layout, rows=tuple(in_float32(row) for row in layout.rows))


def read_sizes(keys: Keys) -> Sizes:
    """head_dim, its rotated part, the ranks of queries and outputs, the indexer, the residual streams."""
    return Sizes(
        hidden=keys.positive("hidden_size"),
        heads=keys.positive("num_attention_heads"),
        head_dim=keys.positive("head_dim"),
        rope_dim=keys.positive("qk_rope_head_dim"),
        query_rank=keys.positive("q_lora_rank"),
        output_rank=keys.positive("o_lora_rank"),
        output_groups=keys.positive("o_groups"),
        index_heads=keys.positive("index_n_heads"),
        index_dim=keys.positive("index_head_dim"),
        streams=keys.positive("hc_mult"),
    )


def read_rates(keys: Keys) -> list[int]:
    """Tokens per compressed entry of each layer: layer_types, or compress_ratios (which may go on to MTP)."""
    count = layers_count(keys)
    kinds, ratios = keys.texts("layer_types"), keys.list("compress_ratios")
    if kinds is not None:
        rates = [RATES.get(kind, -1) for kind in kinds]
    elif ratios is not None:
        rates = [ratio if ratio in RATES.values() else -1 for ratio in ratios]
    else:
        rates = [128] * min(count, 2) + [4 if i % 2 else 128 for i in range(max(count - 2, 0))]
    if len(rates) < count or -1 in rates:
        raise keys.contradiction(
            f"compress_ratios or layer_types do not give {count} layers a rate of 0, 4 or 128"
        )
    return rates[:count]


def attention(prefix: str, layer: int, sizes: Sizes) -> Iterator[Row]:
    """Low-rank queries, one shared key-value head, sinks, and the grouped low-rank output projection."""
    width = sizes.heads * sizes.head_dim
    mixed = sizes.output_groups * sizes.output_rank
    for name, out_dim, in_dim in (
        ("q_a_proj", sizes.query_rank, sizes.hidden), ("q_b_proj", width, sizes.query_rank),
        ("kv_proj", sizes.head_dim, sizes.hidden), ("o_a_proj", mixed, width // sizes.output_groups),
        ("o_b_proj", sizes.hidden, mixed),
    ):  # fmt: skip
        yield from linear(f"{prefix}.{name}", out_dim, in_dim, "attention", layer)
    yield from norm(f"{prefix}.q_a_norm", sizes.query_rank, layer)
    yield from norm(f"{prefix}.kv_norm", sizes.head_dim, layer)
    yield Row(name=f"{prefix}.sinks", shape=(sizes.heads,), role="attention", layer=layer)


def compressor(prefix: str, layer: int, sizes: Sizes, rate: int) -> Iterator[Row]:
    """What pools `rate` tokens into one entry; at rate 4 two series overlap, and an indexer has its own."""
    if not rate:
        return
    yield from pool(prefix, layer, sizes.hidden, sizes.head_dim, rate)
    if rate == SPARSE_RATE:
        index = f"{prefix}.indexer"
        yield from pool(index, layer, sizes.hidden, sizes.index_dim, rate)
        queries = sizes.index_heads * sizes.index_dim
        yield from linear(f"{index}.q_b_proj", queries, sizes.query_rank, "attention", layer)
        yield from linear(f"{index}.scorer.weights_proj", sizes.index_heads, sizes.hidden, "attention", layer)


def pool(prefix: str, layer: int, hidden: int, dim: int, rate: int) -> Iterator[Row]:
    """kv_proj, gate_proj, a learned bias per place in the pool, and the norm of an entry."""
    width = 2 * dim if rate == SPARSE_RATE else dim
    yield from linear(f"{prefix}.kv_proj", width, hidden, "attention", layer)
    yield from linear(f"{prefix}.gate_proj", width, hidden, "attention", layer)
    yield Row(name=f"{prefix}.position_bias", shape=(rate, width), role="attention", layer=layer)
    yield from norm(f"{prefix}.kv_norm", dim, layer)


def connection(prefix: str, layer: int, sizes: Sizes) -> Iterator[Row]:
    """fn, base, scale: weights before, after and between the residual streams."""
    weights = (2 + sizes.streams) * sizes.streams
    for name, shape in (
        ("fn", (weights, sizes.streams * sizes.hidden)),
        ("base", (weights,)),
        ("scale", (3,)),
    ):
        yield Row(name=f"{prefix}.{name}", shape=shape, role="ffn", layer=layer)


def head_connection(prefix: str, sizes: Sizes) -> Iterator[Row]:
    """What folds the streams into one before the output."""
    wide = sizes.streams * sizes.hidden
    for name, shape in (("hc_fn", (sizes.streams, wide)), ("hc_base", (sizes.streams,)), ("hc_scale", (1,))):
        yield Row(name=f"{prefix}.{name}", shape=shape, role="ffn")


def mtp_ends(prefix: str, sizes: Sizes) -> Iterator[Row]:
    """Projections of embedding and hidden state, their norms, the output norm and head connection."""
    yield from linear(f"{prefix}.e_proj", sizes.hidden, sizes.hidden, "mtp", None)
    yield from linear(f"{prefix}.h_proj", sizes.hidden, sizes.hidden, "mtp", None)
    for name in ("enorm", "hnorm", "norm"):
        yield from norm(f"{prefix}.{name}", sizes.hidden)
    yield from head_connection(f"{prefix}.hc_head", sizes)


def in_float32(row: Row) -> Row:
    """The class keeps norms, sinks, hyper-connections and place biases in float32."""
    return replace(row, dtype="f32") if any(part in row.name for part in FLOAT32) else row
