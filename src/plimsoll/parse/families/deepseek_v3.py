"""DeepseekV3ForCausalLM (DeepSeek V3, R1, V3.1; Kimi K2; GigaChat 3), whose decoder others share."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from plimsoll.domain.model import LayerSpec
from plimsoll.parse.families.blocks import (
    Block,
    Layout,
    Row,
    collect,
    decoder,
    layers_count,
    two_norms,
    with_rows,
)
from plimsoll.parse.families.latent import Latent, latent_attention, read_latent
from plimsoll.parse.families.routing import Mixture, as_mtp, next_token_ends, read_mixture
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Latent attention; dense layers, then experts. Source: models/deepseek_v3/modeling_deepseek_v3.py."""
    return latent_decoder(keys, read_mixture(keys, first=3))


def latent_decoder(
    keys: Keys, mixture: Mixture, *, at: str = "model", head: str = "lm_head",
    indexer_rows: Callable[[str, int, Latent], Iterable[Row]] | None = None,
    indexer_shape: tuple[int, int] = (0, 0), has_indexer: Callable[[int], bool] = lambda i: True,
    has_own_ends: bool = True,
) -> Layout:  # fmt: skip
    """The decoder that DeepSeek V2 to V3.2, Kimi K2, GLM-4.7-Flash and GLM-5 share.

    `indexer_rows(prefix, layer, dims)` are the tensors of a sparse indexer of `indexer_shape` (heads, dim)
    in the layers that `has_indexer`. MTP layers stand in the checkpoints as layers num_hidden_layers and on,
    with an embedding and an output of their own or without.
    """
    hidden, vocab = keys.positive("hidden_size"), keys.positive("vocab_size")
    dims = read_latent(keys, hidden)
    heads, dim = indexer_shape

    def block(i: int, prefix: str) -> Block:
        indexes = indexer_rows is not None and has_indexer(i)
        rows = collect(
            latent_attention(f"{prefix}.self_attn", i, dims),
            indexer_rows(f"{prefix}.self_attn.indexer", i, dims) if indexer_rows and indexes else (),
            mixture.rows(f"{prefix}.mlp", i, hidden), two_norms(prefix, i, hidden),
        )  # fmt: skip
        layer = LayerSpec(
            index=i, attention="latent", **dims.fields(), **mixture.fields(i),
            indexer_dim=dim if indexes else 0, indexer_heads_count=heads if indexes else 0,
        )  # fmt: skip
        return rows, layer

    layout = decoder(keys, block, at=at, tied=keys.flag("tie_word_embeddings"), head=head)
    return with_rows(layout, latent_mtp(keys, block, at, hidden, vocab, has_own_ends))


def latent_mtp(
    keys: Keys, block: Callable[[int, str], Block], at: str, hidden: int, vocab: int, has_own_ends: bool
) -> Iterable[Row]:
    """num_nextn_predict_layers more blocks, each with its own projection and norms."""
    count = layers_count(keys)
    for i in range(count, count + keys.count("num_nextn_predict_layers", default=0)):
        prefix = f"{at}.layers.{i}"
        ends = next_token_ends(prefix, hidden=hidden, vocab=vocab, has_own_ends=has_own_ends)
        yield from as_mtp(collect(block(i, prefix)[0], ends))
