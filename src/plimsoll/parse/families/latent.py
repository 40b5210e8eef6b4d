"""Bricks of multi-head latent attention (DeepSeek's MLA) and its sparse indexer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypedDict

from plimsoll.parse.families.blocks import Row, linear, norm
from plimsoll.parse.keys import Keys


class LatentFields(TypedDict):
    """The fields of a LayerSpec that latent attention sets."""

    query_heads_count: int
    kv_heads_count: int
    key_dim: int
    value_dim: int
    latent_dim: int
    rope_dim: int
    query_latent_dim: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Latent:
    """The dimensions of latent attention. `query_latent_dim` is 0 where queries are not compressed."""

    hidden_dim: int
    heads: int
    latent_dim: int
    query_latent_dim: int
    plain_dim: int
    rope_dim: int
    value_dim: int
    has_bias: bool

    def fields(self) -> LatentFields:
        """key_dim and value_dim are those of a cache that keeps every head, as Transformers does."""
        return {
            "query_heads_count": self.heads, "kv_heads_count": self.heads,
            "key_dim": self.plain_dim + self.rope_dim, "value_dim": self.value_dim,
            "latent_dim": self.latent_dim, "rope_dim": self.rope_dim,
            "query_latent_dim": self.query_latent_dim,
        }  # fmt: skip


def read_latent(keys: Keys, hidden_dim: int) -> Latent:
    """kv_lora_rank, q_lora_rank (null: queries are not compressed) and the three head dimensions."""
    return Latent(
        hidden_dim=hidden_dim, heads=keys.positive("num_attention_heads"),
        latent_dim=keys.positive("kv_lora_rank"), query_latent_dim=keys.count("q_lora_rank", default=0),
        plain_dim=keys.count("qk_nope_head_dim"), rope_dim=keys.count("qk_rope_head_dim"),
        value_dim=keys.positive("v_head_dim"), has_bias=keys.flag("attention_bias"),
    )  # fmt: skip


def latent_attention(prefix: str, layer: int, dims: Latent) -> Iterator[Row]:
    """q_a/q_b (or q), kv_a_proj_with_mqa, kv_b and o with the two norms between them."""
    key_dim = dims.plain_dim + dims.rope_dim
    bias = dims.has_bias
    if dims.query_latent_dim:
        rank = dims.query_latent_dim
        yield from linear(f"{prefix}.q_a_proj", rank, dims.hidden_dim, "attention", layer, bias=bias)
        yield from norm(f"{prefix}.q_a_layernorm", rank, layer)
        yield from linear(f"{prefix}.q_b_proj", dims.heads * key_dim, rank, "attention", layer)
    else:
        yield from linear(f"{prefix}.q_proj", dims.heads * key_dim, dims.hidden_dim, "attention", layer)
    latent = dims.latent_dim
    yield from linear(
        f"{prefix}.kv_a_proj_with_mqa", latent + dims.rope_dim, dims.hidden_dim, "attention", layer, bias=bias
    )
    yield from norm(f"{prefix}.kv_a_layernorm", latent, layer)
    expanded = dims.heads * (dims.plain_dim + dims.value_dim)
    yield from linear(f"{prefix}.kv_b_proj", expanded, latent, "attention", layer)
    heads_dim = dims.heads * dims.value_dim
    yield from linear(f"{prefix}.o_proj", dims.hidden_dim, heads_dim, "attention", layer, bias=bias)


def indexer(
    prefix: str, layer: int, *, hidden_dim: int, query_latent_dim: int, heads: int, head_dim: int
) -> Iterator[Row]:
    """DeepSeek sparse attention: wq_b, wk, k_norm and weights_proj; it caches one key per token."""
    yield from linear(f"{prefix}.wq_b", heads * head_dim, query_latent_dim, "attention", layer)
    yield from linear(f"{prefix}.wk", head_dim, hidden_dim, "attention", layer)
    yield from norm(f"{prefix}.k_norm", head_dim, layer, bias=True)
    yield from linear(f"{prefix}.weights_proj", heads, hidden_dim, "attention", layer)
