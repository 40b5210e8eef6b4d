"""Gemma 4: sliding and full layers of different head dims, shared caches, per-layer inputs, experts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from plimsoll.parse.families import gemma4_towers as towers
from plimsoll.parse.families.blocks import (
    Block,
    Dims,
    Experts,
    Layout,
    Row,
    collect,
    decoder,
    every,
    four_norms,
    fused_experts,
    gated_mlp,
    grouped_layer,
    layer_types,
    linear,
    norm,
    read_dims,
    shared_sources,
    text_section,
    tied_or,
    with_rows,
)  # fmt: skip
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Source: transformers models/gemma4/ and models/gemma4_unified/, modeling and configuration."""
    text = text_section(keys)
    if text is None:
        return decode(keys, at="model", tied=keys.flag("tie_word_embeddings", default=True))
    layout = decode(text, at="model.language_model", tied=tied_or(keys, text, default=True))
    vision, audio = keys.section("vision_config"), keys.section("audio_config")
    is_unified = keys.text("model_type") == "gemma4_unified"
    see = towers.unified_vision if is_unified else towers.vision
    hear = towers.unified_audio if is_unified else towers.audio
    return with_rows(
        layout,
        collect(
            see(vision, layout.hidden_dim) if vision else (),
            hear(audio, layout.hidden_dim) if audio else (),
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What the layers need: sizes per layer, windows, which cache each reads, experts, per-layer inputs."""

    dims: tuple[Dims, ...]
    windows: tuple[int | None, ...]
    sources: tuple[int | None, ...]
    has_bias: bool
    has_values_of_keys: bool
    has_double_width: bool
    experts: Experts | None
    input_dim: int

    def ffn(self, i: int) -> int:
        """Layers that share a cache may have a feed-forward of twice the width."""
        return self.dims[i].ffn * (2 if self.has_double_width and self.sources[i] is not None else 1)

    def has_values(self, i: int) -> bool:
        """With attention_k_eq_v the full layers have no v_proj: values are the keys before their norm."""
        return not (self.has_values_of_keys and self.windows[i] is None)


def decode(keys: Keys, *, at: str, tied: bool) -> Layout:
    """The text part, and beside its layers the embedding of the per-layer inputs."""
    text = read(keys)

    def block(i: int, at: str) -> Block:
        dims = text.dims[i]
        layer = grouped_layer(i, dims, window=text.windows[i], experts=text.experts)
        layer = replace(layer, ffn_dim=text.ffn(i), shares_kv_with=text.sources[i])
        scalar = Row(name=f"{at}.layer_scalar", shape=(1,), role="norm", layer=i, is_buffer=True)
        rows = collect(
            attention(f"{at}.self_attn", i, text),
            gated_mlp(f"{at}.mlp", i, hidden_dim=dims.hidden, ffn_dim=text.ffn(i)),
            four_norms(at, i, dims.hidden),
            experts_rows(at, i, dims.hidden, text.experts) if text.experts else (),
            layer_input(at, i, dims.hidden, text.input_dim) if text.input_dim else (),
            (scalar,),
        )
        return rows, layer

    layout = decoder(keys, block, at=at, tied=tied, theta=1e6, vocab=262144, context=131072)
    vocab = keys.positive("vocab_size_per_layer_input", default=262144)
    if not text.input_dim:
        return layout
    return with_rows(layout, input_embedding(at, layout, vocab, text.input_dim))


def read(keys: Keys) -> Text:
    """The keys of the text part. Defaults are those of the Transformers class."""
    kinds, has_k_eq_v = read_kinds(keys), keys.flag("attention_k_eq_v")
    is_unified = keys.text("model_type", default="") == "gemma4_unified_text"
    tokens = keys.positive("sliding_window", default=1024 if is_unified else 512)
    if keys.text("use_bidirectional_attention") == "all":
        tokens = tokens // 2 + 1
    experts = None
    if keys.flag("enable_moe_block"):
        experts = Experts(
            count=keys.positive("num_experts"), active=keys.positive("top_k_experts"),
            dim=keys.positive("moe_intermediate_size"),
        )  # fmt: skip
    default_input = 0 if is_unified else 256
    return Text(
        dims=read_layer_dims(keys, kinds, has_k_eq_v),
        windows=tuple(tokens if kind == "sliding_attention" else None for kind in kinds),
        sources=shared_sources(keys, kinds, keys.count("num_kv_shared_layers", default=0)),
        has_bias=keys.flag("attention_bias"), has_values_of_keys=has_k_eq_v,
        has_double_width=keys.flag("use_double_wide_mlp"), experts=experts,
        input_dim=keys.count("hidden_size_per_layer_input", default=default_input),
    )  # fmt: skip


def read_kinds(keys: Keys) -> tuple[str, ...]:
    """layer_types or one full layer in six; the last layer is always full."""
    return (*layer_types(keys, every(6))[:-1], "full_attention")


def read_layer_dims(keys: Keys, kinds: tuple[str, ...], has_k_eq_v: bool) -> tuple[Dims, ...]:
    """Full layers take global_head_dim and, with attention_k_eq_v, num_global_key_value_heads; where
    per_layer_config lists layers, it alone decides."""
    dims = read_dims(keys, heads=8, kv_heads=4, head_dim=256)
    wide = replace(dims, head_dim=keys.positive("global_head_dim", default=512))
    global_heads = keys.optional_count("num_global_key_value_heads")
    if has_k_eq_v and global_heads:
        wide = replace(wide, kv_heads=global_heads)
    overrides = keys.section("per_layer_config")
    if overrides is None:
        return tuple(wide if kind == "full_attention" else dims for kind in kinds)
    found = [dims] * len(kinds)
    for name in overrides.values:
        section = overrides.section(name)
        if section is None or not name.isdecimal() or int(name) >= len(kinds):
            raise keys.contradiction(f"per_layer_config names a layer {name!r} of {len(kinds)}")
        found[int(name)] = replace(
            dims,
            head_dim=section.positive("head_dim", default=dims.head_dim),
            kv_heads=section.positive("num_key_value_heads", default=dims.kv_heads),
        )
    return tuple(found)


def attention(at: str, i: int, text: Text) -> Iterator[Row]:
    """Projections and norms. A layer that reads another's cache still has keys and values in the published
    files, which Transformers drops and llama.cpp loads: their role is "other"."""
    dims, bias = text.dims[i], text.has_bias
    query, key = dims.heads * dims.head_dim, dims.kv_heads * dims.head_dim
    yield from linear(f"{at}.q_proj", query, dims.hidden, "attention", i, bias=bias)
    yield from norm(f"{at}.q_norm", dims.head_dim, i)
    yield from linear(f"{at}.o_proj", dims.hidden, query, "attention", i, bias=bias)
    kept = collect(
        linear(f"{at}.k_proj", key, dims.hidden, "attention", i, bias=bias),
        linear(f"{at}.v_proj", key, dims.hidden, "attention", i, bias=bias) if text.has_values(i) else (),
        norm(f"{at}.k_norm", dims.head_dim, i),
    )
    for row in kept:
        yield row if text.sources[i] is None else replace(row, role="other")


def experts_rows(at: str, i: int, hidden: int, experts: Experts) -> Iterator[Row]:
    """The router with its scales, the experts, and three more norms."""
    yield Row(name=f"{at}.router.scale", shape=(hidden,), role="router", layer=i)
    yield Row(name=f"{at}.router.per_expert_scale", shape=(experts.count,), role="router", layer=i)
    yield from linear(f"{at}.router.proj", experts.count, hidden, "router", i)
    yield from fused_experts(
        f"{at}.experts", i, experts=experts.count, hidden_dim=hidden, expert_dim=experts.dim
    )
    for name in (
        "post_feedforward_layernorm_1",
        "post_feedforward_layernorm_2",
        "pre_feedforward_layernorm_2",
    ):
        yield from norm(f"{at}.{name}", hidden, i)


def layer_input(at: str, i: int, hidden: int, input_dim: int) -> Iterator[Row]:
    """How a layer takes in its own embedding of the token."""
    yield from linear(f"{at}.per_layer_input_gate", input_dim, hidden, "ffn", i)
    yield from linear(f"{at}.per_layer_projection", hidden, input_dim, "ffn", i)
    yield from norm(f"{at}.post_per_layer_input_norm", hidden, i)


def input_embedding(at: str, layout: Layout, vocab: int, input_dim: int) -> Iterator[Row]:
    """One embedding of input_dim values per layer for every token, and a projection of the usual one."""
    width = len(layout.layers) * input_dim
    yield Row(name=f"{at}.embed_tokens_per_layer.weight", shape=(vocab, width), role="embedding")
    yield from linear(f"{at}.per_layer_model_projection", width, layout.hidden_dim, "ffn", None)
    yield from norm(f"{at}.per_layer_projection_norm", input_dim)
