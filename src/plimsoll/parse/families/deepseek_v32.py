"""DeepseekV32ForCausalLM (DeepSeek V3.2): V3 with a sparse indexer in every layer."""

from __future__ import annotations

from collections.abc import Iterable

from plimsoll.parse.families.blocks import Layout, Row
from plimsoll.parse.families.deepseek_v3 import latent_decoder
from plimsoll.parse.families.latent import Latent, indexer
from plimsoll.parse.families.routing import read_mixture
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Every layer keeps an indexer key. Source: models/deepseek_v32/modeling_deepseek_v32.py."""
    heads, dim = keys.positive("index_n_heads", default=64), keys.positive("index_head_dim", default=128)

    def rows(prefix: str, layer: int, dims: Latent) -> Iterable[Row]:
        return indexer(
            prefix, layer, hidden_dim=dims.hidden_dim, query_latent_dim=dims.query_latent_dim, heads=heads,
            head_dim=dim,
        )  # fmt: skip

    return latent_decoder(keys, read_mixture(keys, first=3), indexer_rows=rows, indexer_shape=(heads, dim))
