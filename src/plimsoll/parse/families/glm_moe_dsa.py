"""GlmMoeDsaForCausalLM (GLM-5, 5.1, 5.2): latent attention with an indexer that layers may share."""

from __future__ import annotations

from collections.abc import Iterable

from plimsoll.parse.families.blocks import Layout, Row, layers_count
from plimsoll.parse.families.deepseek_v3 import latent_decoder
from plimsoll.parse.families.latent import Latent, indexer
from plimsoll.parse.families.routing import read_mixture
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """`full` layers run and cache an indexer, `shared` ones reuse its choice.

    MTP layers always have one (vLLM models/deepseek_v2.py), and use the model's embedding and output
    (published totals of GLM-5 and 5.2). Source: models/glm_moe_dsa/modeling_glm_moe_dsa.py.
    """
    heads, dim = keys.positive("index_n_heads", default=32), keys.positive("index_head_dim", default=128)
    kinds = indexer_kinds(keys)

    def rows(prefix: str, layer: int, dims: Latent) -> Iterable[Row]:
        return indexer(
            prefix, layer, hidden_dim=dims.hidden_dim, query_latent_dim=dims.query_latent_dim, heads=heads,
            head_dim=dim,
        )  # fmt: skip

    return latent_decoder(
        keys, read_mixture(keys, first=3), indexer_rows=rows, indexer_shape=(heads, dim),
        has_indexer=lambda i: i >= len(kinds) or kinds[i] == "full", has_own_ends=False,
    )  # fmt: skip


def indexer_kinds(keys: Keys) -> list[str]:
    """indexer_types, or index_topk_pattern (F or S per layer), or one full of every index_topk_freq."""
    count = layers_count(keys)
    kinds = list(keys.texts("indexer_types") or ())
    pattern = keys.raw("index_topk_pattern")
    frequency = max(keys.count("index_topk_freq", default=1), 1)
    offset = keys.count("index_skip_topk_offset", default=2)
    if not kinds and isinstance(pattern, str):
        kinds = ["full" if letter == "F" else "shared" for letter in pattern]
    if not kinds:
        kinds = ["full" if max(i - offset + 1, 0) % frequency == 0 else "shared" for i in range(count)]
    if len(kinds) != count:
        raise keys.contradiction(f"{len(kinds)} kinds of indexer for {count} layers")
    return kinds
