"""HYV4ForCausalLM (Hy4): latent attention with sinks and a gate, shared indexers, hyper-connections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
    two_norms,
    with_rows,
)
from plimsoll.parse.families.latent import indexer, latent_attention, read_latent
from plimsoll.parse.families.routing import read_mixture
from plimsoll.parse.keys import Keys

FLOAT32 = ("lm_head", "weights_proj", "k_norm", "sinks", "_hc.", "hc_head.")


def build(keys: Keys) -> Layout:
    """Residual streams mixed by small float32 matrices. Source: models/hy_v4/modeling_hy_v4.py."""
    hidden, streams = keys.positive("hidden_size"), keys.positive("hc_mult", default=4)
    dims, mixture = read_latent(keys, hidden), read_mixture(keys, first=1)
    heads, dim = keys.positive("index_n_heads", default=16), keys.positive("index_head_dim", default=128)
    kinds = keys.texts("indexer_types") or tuple(
        "full" if i == 0 or (i - 1) % 4 == 0 else "shared" for i in range(layers_count(keys))
    )
    if len(kinds) != layers_count(keys):
        raise keys.contradiction(f"indexer_types has {len(kinds)} entries for {layers_count(keys)} layers")

    def block(i: int, at: str) -> Block:
        full, attn = kinds[i] == "full", f"{at}.self_attn"
        index = indexer(
            f"{attn}.indexer", i, hidden_dim=hidden, query_latent_dim=dims.query_latent_dim, heads=heads,
            head_dim=dim,
        )  # fmt: skip
        rows = collect(
            latent_attention(attn, i, dims), index if full else (),
            linear(f"{attn}.gate_proj", dims.heads * dims.value_dim, hidden, "attention", i),
            [Row(name=f"{attn}.sinks", shape=(dims.heads,), role="attention", layer=i)],
            connection(f"{at}.attn_hc", i, hidden, streams), connection(f"{at}.ffn_hc", i, hidden, streams),
            mixture.rows(f"{at}.mlp", i, hidden), two_norms(at, i, hidden),
        )  # fmt: skip
        layer = LayerSpec(
            index=i, attention="latent", **dims.fields(), **mixture.fields(i), has_sinks=True,
            indexer_dim=dim if full else 0, indexer_heads_count=heads if full else 0,
        )  # fmt: skip
        return in_float32(rows), layer

    layout = decoder(keys, block, tied=keys.flag("tie_word_embeddings"))
    layout = with_rows(layout, head_connection("model.hc_head", hidden, streams))
    return replace(layout, rows=tuple(in_float32(layout.rows)))


def connection(prefix: str, layer: int, hidden: int, streams: int) -> Iterator[Row]:
    """fn, base and scale of a hyper-connection with a weight before and after for each stream."""
    for name, shape in (("fn", (2 * streams, streams * hidden)), ("base", (2 * streams,)), ("scale", (2,))):
        yield Row(name=f"{prefix}.{name}", shape=shape, role="ffn", layer=layer)


def head_connection(prefix: str, hidden: int, streams: int) -> Iterator[Row]:
    """What folds the streams into one before the output."""
    for name, shape in (("hc_fn", (streams, streams * hidden)), ("hc_base", (streams,)), ("hc_scale", (1,))):
        yield Row(name=f"{prefix}.{name}", shape=shape, role="ffn", dtype="f32")


def in_float32(rows: Iterable[Row]) -> Iterator[Row]:
    """The tensors that the class keeps in float32."""
    for row in rows:
        yield replace(row, dtype="f32") if any(part in row.name for part in FLOAT32) else row
