"""The bricks that families are built from: named tensors with Transformers' names and shapes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from plimsoll.domain.model import LayerSpec, RopeSpec, Role
from plimsoll.parse.keys import Keys

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A tensor before its format is known. `dtype` overrides the model's dtype ('f32', 'bf16', ...)."""

    name: str
    shape: Shape
    role: Role
    layer: int | None = None
    experts_count: int = 0
    is_input_major: bool = False
    is_buffer: bool = False
    dtype: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What a family file returns."""

    layers: tuple[LayerSpec, ...]
    rows: tuple[Row, ...]
    hidden_dim: int
    vocab_size: int
    trained_context_tokens: int | None
    rope: RopeSpec | None = None
    has_tied_embeddings: bool = False
    notes: tuple[str, ...] = ()


def linear(name: str, out_dim: int, in_dim: int, role: Role, layer: int | None, *, bias: bool = False) -> Iterator[Row]:
    """`name.weight` (out, in) and, when asked, `name.bias` (out)."""
    yield Row(name=f"{name}.weight", shape=(out_dim, in_dim), role=role, layer=layer)
    if bias:
        yield Row(name=f"{name}.bias", shape=(out_dim,), role=role, layer=layer)


def norm(name: str, dim: int, layer: int | None = None, *, bias: bool = False) -> Iterator[Row]:
    """`name.weight` (dim) and, when asked, `name.bias` (dim)."""
    yield Row(name=f"{name}.weight", shape=(dim,), role="norm", layer=layer)
    if bias:
        yield Row(name=f"{name}.bias", shape=(dim,), role="norm", layer=layer)


def grouped_attention(
    prefix: str, layer: int, *, hidden_dim: int, query_heads: int, kv_heads: int, key_dim: int,
    value_dim: int | None = None, bias: bool = False, output_bias: bool | None = None,
) -> Iterator[Row]:  # fmt: skip
    """q_proj, k_proj, v_proj, o_proj of (grouped-query) attention."""
    value_dim = key_dim if value_dim is None else value_dim
    out_bias = bias if output_bias is None else output_bias
    yield from linear(f"{prefix}.q_proj", query_heads * key_dim, hidden_dim, "attention", layer, bias=bias)
    yield from linear(f"{prefix}.k_proj", kv_heads * key_dim, hidden_dim, "attention", layer, bias=bias)
    yield from linear(f"{prefix}.v_proj", kv_heads * value_dim, hidden_dim, "attention", layer, bias=bias)
    yield from linear(f"{prefix}.o_proj", hidden_dim, query_heads * value_dim, "attention", layer, bias=out_bias)


def gated_mlp(prefix: str, layer: int, *, hidden_dim: int, ffn_dim: int, role: Role = "ffn", bias: bool = False) -> Iterator[Row]:
    """gate_proj, up_proj, down_proj."""
    yield from linear(f"{prefix}.gate_proj", ffn_dim, hidden_dim, role, layer, bias=bias)
    yield from linear(f"{prefix}.up_proj", ffn_dim, hidden_dim, role, layer, bias=bias)
    yield from linear(f"{prefix}.down_proj", hidden_dim, ffn_dim, role, layer, bias=bias)


def fused_experts(prefix: str, layer: int, *, experts: int, hidden_dim: int, expert_dim: int) -> Iterator[Row]:
    """gate_up_proj (experts, 2 x expert_dim, hidden) and down_proj (experts, hidden, expert_dim)."""
    yield Row(
        name=f"{prefix}.gate_up_proj", shape=(experts, 2 * expert_dim, hidden_dim), role="expert",
        layer=layer, experts_count=experts,
    )  # fmt: skip
    yield Row(
        name=f"{prefix}.down_proj", shape=(experts, hidden_dim, expert_dim), role="expert",
        layer=layer, experts_count=experts,
    )  # fmt: skip


def embeddings(keys: Keys, hidden_dim: int, vocab: int, *, prefix: str = "model", tied: bool = False) -> Iterator[Row]:
    """embed_tokens and, unless tied, lm_head."""
    yield Row(name=f"{prefix}.embed_tokens.weight", shape=(vocab, hidden_dim), role="embedding")
    if not tied:
        yield Row(name="lm_head.weight", shape=(vocab, hidden_dim), role="output")


def read_rope(keys: Keys) -> RopeSpec:
    """rope_theta and rope_scaling (or Transformers 5's rope_parameters)."""
    scaling = keys.section("rope_parameters") or keys.section("rope_scaling")
    theta = keys.number("rope_theta", default=10000.0)
    if scaling is None:
        return RopeSpec(kind="default", theta=theta)
    return RopeSpec(
        kind=scaling.text("rope_type", "type", default="default"),
        theta=scaling.number("rope_theta", default=theta),
        factor=scaling.number("factor", default=1.0),
        original_context_tokens=scaling.optional_count("original_max_position_embeddings"),
    )


def collect(*parts: Iterable[Row]) -> tuple[Row, ...]:
    """All rows of all parts in order."""
    return tuple(row for part in parts for row in part)
