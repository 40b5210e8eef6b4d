"""Mistral 4: latent attention, experts with a shared one."""

from __future__ import annotations

from plimsoll.domain.model import LayerSpec
from plimsoll.parse.families.blocks import Block, Layout, collect, decoder, two_norms
from plimsoll.parse.families.latent import latent_attention, read_latent
from plimsoll.parse.families.routing import read_mixture
from plimsoll.parse.keys import Keys


def build(keys: Keys, *, at: str = "model", tied: bool | None = None) -> Layout:
    """Source: transformers models/mistral4/modeling_mistral4.py."""
    keys.raw("head_dim", "num_key_value_heads")
    mixture, dims = read_mixture(keys, correction=""), read_latent(keys, keys.positive("hidden_size"))

    def block(i: int, at: str) -> Block:
        rows = collect(
            latent_attention(f"{at}.self_attn", i, dims),
            mixture.rows(f"{at}.mlp", i, dims.hidden_dim),
            two_norms(at, i, dims.hidden_dim),
        )
        return rows, LayerSpec(index=i, attention="latent", **dims.fields(), **mixture.fields(i))

    return decoder(keys, block, at=at, tied=keys.flag("tie_word_embeddings") if tied is None else tied)
