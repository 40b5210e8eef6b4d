"""Bricks of the newest mixtures of experts: correction biases, mixed dense and sparse layers, MTP layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypedDict

from plimsoll.parse.families.blocks import Experts, Row, gated_mlp, layers_count, linear, moe, norm
from plimsoll.parse.keys import Keys


class FeedForwardFields(TypedDict):
    """The fields of a LayerSpec that the feed-forward part sets."""

    ffn_dim: int
    experts_count: int
    active_experts_count: int
    expert_dim: int
    shared_expert_dim: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """Layers of which some are a dense MLP of `ffn` and the others experts.

    `correction` names the router's correction bias under the MLP ("" where there is none), `dtype` its type.
    """

    experts: Experts
    ffn: int
    is_sparse: tuple[bool, ...]
    correction: str = "gate.e_score_correction_bias"
    dtype: str = "f32"
    shared: str = "shared_experts"

    def rows(self, prefix: str, layer: int, hidden: int) -> Iterator[Row]:
        """The MLP of one layer; layers past the last (MTP) are sparse."""
        if not self.sparse_at(layer):
            yield from gated_mlp(prefix, layer, hidden_dim=hidden, ffn_dim=self.ffn)
            return
        yield from moe(prefix, layer, hidden, self.experts, shared=self.shared)
        if self.correction:
            yield Row(
                name=f"{prefix}.{self.correction}", shape=(self.experts.count,), role="router", layer=layer,
                dtype=self.dtype, is_buffer=True,
            )  # fmt: skip

    def sparse_at(self, layer: int) -> bool:
        """Whether a layer has experts."""
        return self.is_sparse[layer] if layer < len(self.is_sparse) else True

    def fields(self, layer: int) -> FeedForwardFields:
        """What a LayerSpec says about this layer's MLP."""
        return feed_forward(self.experts if self.sparse_at(layer) else None, self.ffn)


def feed_forward(experts: Experts | None, ffn: int) -> FeedForwardFields:
    """A dense feed-forward of width `ffn`, or routed experts."""
    return {
        "ffn_dim": 0 if experts else ffn,
        "experts_count": experts.count if experts else 0,
        "active_experts_count": experts.active if experts else 0,
        "expert_dim": experts.dim if experts else 0,
        "shared_expert_dim": experts.shared_dim if experts else 0,
    }


def read_mixture(
    keys: Keys, *, correction: str = "gate.e_score_correction_bias", dtype: str = "f32", first: int = 0
) -> Mixture:
    """n_routed_experts and companions, as DeepSeek named them; shared experts are one MLP of n_shared x dim.

    Sparse are the layers that mlp_layer_types calls so, or all from first_k_dense_replace (`first`) on.
    """
    dim = keys.positive("moe_intermediate_size")
    experts = Experts(
        count=keys.positive("n_routed_experts", "num_local_experts", "num_experts"),
        active=keys.positive("num_experts_per_tok", "num_experts_per_token"), dim=dim,
        shared_dim=dim * keys.count("n_shared_experts", "num_shared_experts", default=0),
    )  # fmt: skip
    return Mixture(
        experts=experts, ffn=keys.positive("intermediate_size"), is_sparse=sparse_layers(keys, first),
        correction=correction, dtype=dtype,
    )  # fmt: skip


def sparse_layers(keys: Keys, first: int = 0) -> tuple[bool, ...]:
    """Which layers have experts: mlp_layer_types, moe_layer_freq per layer, or first_k_dense_replace.

    `first` is the class's default of first_k_dense_replace.
    """
    count = layers_count(keys)
    first = keys.count("first_k_dense_replace", default=first)
    kinds = keys.texts("mlp_layer_types")
    frequencies = keys.raw("moe_layer_freq", default=1)
    if kinds is not None:
        flags = tuple(kind == "sparse" for kind in kinds)
    elif isinstance(frequencies, list):
        flags = tuple(bool(frequency) for frequency in frequencies)
    elif frequencies == 1:
        flags = tuple(i >= first for i in range(count))
    else:
        raise keys.bad(("moe_layer_freq",), frequencies, "1 or a list with one entry per layer")
    if len(flags) != count:
        raise keys.contradiction(f"{len(flags)} kinds of MLP for {count} layers")
    return flags


def as_mtp(rows: Iterable[Row]) -> Iterator[Row]:
    """The same rows as part of a multi-token-prediction layer, which is none of the model's own layers."""
    for row in rows:
        yield replace(row, role="mtp", layer=None)


def next_token_ends(prefix: str, *, hidden: int, vocab: int, has_own_ends: bool = True) -> Iterator[Row]:
    """What a DeepSeek-style MTP layer adds to a decoder layer: enorm, hnorm, eh_proj, shared_head.norm.

    Most checkpoints repeat the embedding and the output there.
    """
    yield from norm(f"{prefix}.enorm", hidden)
    yield from norm(f"{prefix}.hnorm", hidden)
    yield from linear(f"{prefix}.eh_proj", hidden, 2 * hidden, "mtp", None)
    yield from norm(f"{prefix}.shared_head.norm", hidden)
    if has_own_ends:
        yield from linear(f"{prefix}.embed_tokens", vocab, hidden, "mtp", None)
        yield from linear(f"{prefix}.shared_head.head", vocab, hidden, "mtp", None)
