"""The bricks that families are built from: named tensors with Transformers' names and shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from plimsoll.domain.model import LayerSpec, Role, RopeSpec
from plimsoll.errors import MissingConfigKey
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


Block = tuple[Iterable[Row], LayerSpec]
"""The tensors of one layer, and what it is."""


def linear(
    name: str, out_dim: int, in_dim: int, role: Role, layer: int | None, *, bias: bool = False
) -> Iterator[Row]:
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
    yield from linear(
        f"{prefix}.o_proj", hidden_dim, query_heads * value_dim, "attention", layer, bias=out_bias
    )


def gated_mlp(
    prefix: str, layer: int, *, hidden_dim: int, ffn_dim: int, role: Role = "ffn", bias: bool = False
) -> Iterator[Row]:
    """gate_proj, up_proj, down_proj."""
    yield from linear(f"{prefix}.gate_proj", ffn_dim, hidden_dim, role, layer, bias=bias)
    yield from linear(f"{prefix}.up_proj", ffn_dim, hidden_dim, role, layer, bias=bias)
    yield from linear(f"{prefix}.down_proj", hidden_dim, ffn_dim, role, layer, bias=bias)


def fused_experts(
    prefix: str, layer: int, *, experts: int, hidden_dim: int, expert_dim: int
) -> Iterator[Row]:
    """gate_up_proj (experts, 2 x expert_dim, hidden) and down_proj (experts, hidden, expert_dim)."""
    yield Row(
        name=f"{prefix}.gate_up_proj", shape=(experts, 2 * expert_dim, hidden_dim), role="expert",
        layer=layer, experts_count=experts,
    )  # fmt: skip
    yield Row(
        name=f"{prefix}.down_proj", shape=(experts, hidden_dim, expert_dim), role="expert",
        layer=layer, experts_count=experts,
    )  # fmt: skip


def embeddings(
    keys: Keys, hidden_dim: int, vocab: int, *, prefix: str = "model", tied: bool = False
) -> Iterator[Row]:
    """embed_tokens and, unless tied, lm_head."""
    yield Row(name=f"{prefix}.embed_tokens.weight", shape=(vocab, hidden_dim), role="embedding")
    if not tied:
        yield Row(name="lm_head.weight", shape=(vocab, hidden_dim), role="output")


def read_rope(keys: Keys, *, theta: float = 10000.0, share: float = 1.0) -> RopeSpec:
    """rope_theta and rope_scaling, or Transformers 5's rope_parameters; the full-attention entry where
    each kind of layer has its own. `theta` and `share` (of a head that is rotated) are class defaults."""
    scaling = keys.section("rope_parameters") or keys.section("rope_scaling")
    keys.raw("rope_scaling")
    theta = keys.number("rope_theta", "rotary_emb_base", default=theta)
    share = keys.number("partial_rotary_factor", "rotary_pct", default=share)
    if scaling is not None:
        scaling = scaling.section("full_attention") or scaling
    if scaling is None:
        return RopeSpec(kind="default", theta=theta, rotated_share=share)
    return RopeSpec(
        kind=scaling.text("rope_type", "type", default="default"),
        theta=scaling.number("rope_theta", default=theta),
        factor=scaling.number("factor", default=1.0),
        original_context_tokens=scaling.optional_count("original_max_position_embeddings")
        or keys.optional_count("original_max_position_embeddings"),
        rotated_share=scaling.number("partial_rotary_factor", default=share),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dims:
    """The sizes that most decoders share; head_dim serves keys and values."""

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int


def read_dims(
    keys: Keys,
    *,
    heads: int | None = None,
    kv_heads: int | None = None,
    head_dim: int | None = None,
    ffn: int | None = None,
) -> Dims:
    """hidden_size, num_attention_heads, num_key_value_heads, head_dim, intermediate_size.

    The arguments are the defaults of the family's Transformers class (`ffn` replaces intermediate_size);
    without one, kv_heads falls back to the query heads and head_dim to hidden / heads.
    Raises MalformedConfig when that does not divide.
    """
    hidden = keys.positive("hidden_size")
    heads = keys.positive("num_attention_heads", default=heads)
    if not keys.has("head_dim") and head_dim is None and hidden % heads:
        raise keys.contradiction(f"hidden_size {hidden} does not divide into {heads} num_attention_heads")
    return Dims(
        hidden=hidden,
        heads=heads,
        kv_heads=keys.positive("num_key_value_heads", default=kv_heads or heads),
        head_dim=keys.positive("head_dim", default=head_dim or hidden // heads),
        ffn=ffn or keys.positive("intermediate_size"),
    )


def read_even_dims(
    keys: Keys, *, heads: int | None = None, kv_heads: int | None = None, head_dim: int | None = None,
    ffn: int | None = None,
) -> Dims:  # fmt: skip
    """read_dims for classes that refuse a hidden_size not divided by the heads, whatever head_dim says."""
    dims = read_dims(keys, heads=heads, kv_heads=kv_heads, head_dim=head_dim, ffn=ffn)
    if dims.hidden % dims.heads:
        raise keys.contradiction(f"hidden_size {dims.hidden} does not divide into {dims.heads} heads")
    return dims


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """The routed experts of a layer: how many, how many serve one token, and their widths."""

    count: int
    active: int
    dim: int
    shared_dim: int = 0


def grouped_layer(
    index: int,
    dims: Dims,
    *,
    window: int | None = None,
    experts: Experts | None = None,
    ffn: int | None = None,
) -> LayerSpec:
    """A layer of (grouped-query) attention: sliding when it has a window; dense, or with routed experts.

    `ffn` overrides dims.ffn as the width of a dense feed-forward; a layer of experts has none.
    """
    return LayerSpec(
        index=index, attention="full" if window is None else "sliding", window_tokens=window,
        query_heads_count=dims.heads, kv_heads_count=dims.kv_heads,
        key_dim=dims.head_dim, value_dim=dims.head_dim,
        ffn_dim=0 if experts else dims.ffn if ffn is None else ffn,
        experts_count=experts.count if experts else 0,
        active_experts_count=experts.active if experts else 0,
        expert_dim=experts.dim if experts else 0,
        shared_expert_dim=experts.shared_dim if experts else 0,
    )  # fmt: skip


def attention(
    prefix: str, layer: int, dims: Dims, *, bias: bool = False, output_bias: bool | None = None
) -> Iterator[Row]:
    """q_proj, k_proj, v_proj and o_proj of `dims`."""
    return grouped_attention(
        prefix, layer, hidden_dim=dims.hidden, query_heads=dims.heads, kv_heads=dims.kv_heads,
        key_dim=dims.head_dim, bias=bias, output_bias=output_bias,
    )  # fmt: skip


def two_norms(prefix: str, layer: int, hidden_dim: int) -> Iterator[Row]:
    """input_layernorm and post_attention_layernorm."""
    yield from norm(f"{prefix}.input_layernorm", hidden_dim, layer)
    yield from norm(f"{prefix}.post_attention_layernorm", hidden_dim, layer)


def four_norms(prefix: str, layer: int, hidden_dim: int) -> Iterator[Row]:
    """Norms before and after attention, before and after the feed-forward."""
    yield from two_norms(prefix, layer, hidden_dim)
    yield from norm(f"{prefix}.pre_feedforward_layernorm", hidden_dim, layer)
    yield from norm(f"{prefix}.post_feedforward_layernorm", hidden_dim, layer)


def query_key_norms(prefix: str, layer: int, head_dim: int) -> Iterator[Row]:
    """q_norm and k_norm over one head's dimension."""
    yield from norm(f"{prefix}.q_norm", head_dim, layer)
    yield from norm(f"{prefix}.k_norm", head_dim, layer)


def moe(
    prefix: str, layer: int, hidden_dim: int, experts: Experts, *, shared: str = "shared_experts"
) -> Iterator[Row]:
    """A router `gate`, stacked experts, and the shared expert where there is one."""
    yield from linear(f"{prefix}.gate", experts.count, hidden_dim, "router", layer)
    yield from fused_experts(
        f"{prefix}.experts", layer, experts=experts.count, hidden_dim=hidden_dim, expert_dim=experts.dim
    )
    if experts.shared_dim:
        yield from gated_mlp(
            f"{prefix}.{shared}",
            layer,
            hidden_dim=hidden_dim,
            ffn_dim=experts.shared_dim,
            role="shared_expert",
        )


def layers_count(keys: Keys, *names: str) -> int:
    """num_hidden_layers (or `names`), at least 1."""
    return keys.positive(*(names or ("num_hidden_layers",)))


def layer_types(keys: Keys, default: Callable[[int], str]) -> tuple[str, ...]:
    """`layer_types`, one per layer, or the family's own rule for layer i.

    Raises MalformedConfig when the list has another length, as Transformers does.
    """
    count = layers_count(keys)
    kinds = keys.texts("layer_types")
    if kinds is None:
        return tuple(default(i) for i in range(count))
    if len(kinds) != count:
        raise keys.contradiction(f"layer_types has {len(kinds)} entries for {count} layers")
    return kinds


def windows(
    keys: Keys, default: Callable[[int], str], *, window: int | None = None
) -> tuple[int | None, ...]:
    """The window of each layer in tokens, None for full attention.

    `default` is the family's rule where layer_types is absent; `window` the default of sliding_window.
    """
    kinds = layer_types(keys, default)
    if "sliding_attention" not in kinds:
        return (None,) * len(kinds)
    tokens = keys.positive("sliding_window", default=window)
    return tuple(tokens if kind == "sliding_attention" else None for kind in kinds)


def window_everywhere(keys: Keys, default: int | None) -> int | None:
    """One window for all layers: sliding_window, None where it is null, `default` where it is absent."""
    if "sliding_window" not in keys.values:
        return default
    return keys.positive("sliding_window") if keys.has("sliding_window") else None


def every(period: int) -> Callable[[int], str]:
    """Sliding attention, with full attention in every `period`-th layer."""
    return lambda i: "full_attention" if (i + 1) % period == 0 else "sliding_attention"


def always_full(_: int) -> str:
    """Full attention in every layer."""
    return "full_attention"


def decoder(
    keys: Keys,
    block: Callable[[int, str], Block],
    *,
    at: str = "model",
    tied: bool = False,
    head_bias: bool = False,
    norm_bias: bool = False,
    theta: float = 10000.0,
    head: str = "lm_head",
    vocab: int | None = None,
    context: int | None = None,
    extra_tokens: int = 0,
) -> Layout:
    """The usual decoder: embed_tokens, `block(i, prefix)` for each layer, norm, and lm_head unless tied.

    `at` is where the decoder hangs: "model", or "model.language_model" in a multimodal model. `theta`,
    `vocab` and `context` are the class's defaults; `extra_tokens` are rows that only the embedding has.
    """
    blocks = [block(i, f"{at}.layers.{i}") for i in range(layers_count(keys))]
    hidden, vocab = keys.positive("hidden_size"), keys.positive("vocab_size", default=vocab)
    rows = [Row(name=f"{at}.embed_tokens.weight", shape=(vocab + extra_tokens, hidden), role="embedding")]
    for parts, _ in blocks:
        rows.extend(parts)
    rows.extend(norm(f"{at}.norm", hidden, bias=norm_bias))
    if not tied:
        rows.extend(linear(head, vocab, hidden, "output", None, bias=head_bias))
    return Layout(
        layers=tuple(layer for _, layer in blocks), rows=tuple(rows), hidden_dim=hidden, vocab_size=vocab,
        trained_context_tokens=keys.optional_count("max_position_embeddings") or context,
        rope=read_rope(keys, theta=theta), has_tied_embeddings=tied,
    )  # fmt: skip


def text_section(keys: Keys) -> Keys | None:
    """The text part of a multimodal config, None where the config is the text model's own."""
    return keys.section("text_config")


def required_section(keys: Keys, name: str) -> Keys:
    """A nested object that the family cannot do without."""
    section = keys.section(name)
    if section is None:
        raise MissingConfigKey(name, where=keys.where)
    return section


def tied_or(keys: Keys, text: Keys, *, default: bool) -> bool:
    """tie_word_embeddings of a multimodal config; where it is silent, that of its text part.

    The class default of some wrappers is true while their published files hold an output of their own.
    """
    return keys.flag("tie_word_embeddings", default=text.flag("tie_word_embeddings", default=default))


def shared_sources(keys: Keys, kinds: tuple[str, ...], shared: int) -> tuple[int | None, ...]:
    """For each layer, the layer whose cache it reads: of the last `shared` layers, each reads that of the
    last layer of its kind before them. Source: kv_sharing_modes of transformers' Gemma configurations."""
    first = len(kinds) - shared
    if shared and (first < 1 or set(kinds[first:]) - set(kinds[:first])):
        raise keys.contradiction(f"num_kv_shared_layers {shared} leaves no layer to share with")
    last = {kind: i for i, kind in enumerate(kinds[:first])}
    return tuple(None if i < first else last[kind] for i, kind in enumerate(kinds))


def layer_norm(name: str, dim: int, role: Role, *, bias: bool = True) -> Iterator[Row]:
    """A LayerNorm of a tower, outside the decoder's layers."""
    yield Row(name=f"{name}.weight", shape=(dim,), role=role)
    if bias:
        yield Row(name=f"{name}.bias", shape=(dim,), role=role)


def with_rows(layout: Layout, rows: Iterable[Row], *, notes: tuple[str, ...] = ()) -> Layout:
    """The layout with more tensors: a vision tower, a projector, layers for drafting."""
    return replace(layout, rows=layout.rows + tuple(rows), notes=layout.notes + notes)


def collect(*parts: Iterable[Row]) -> tuple[Row, ...]:
    """All rows of all parts in order."""
    return tuple(row for part in parts for row in part)
