"""Lfm2ForCausalLM and Lfm2MoeForCausalLM (LFM2): gated short convolutions and some attention."""

from __future__ import annotations

from collections.abc import Iterator

from plimsoll.domain.model import LayerSpec, StateSpec
from plimsoll.parse.families.blocks import (
    Block,
    Dims,
    Experts,
    Layout,
    Row,
    collect,
    decoder,
    fused_experts,
    layer_types,
    linear,
    norm,
)
from plimsoll.parse.families.recurrent import convolution, renamed, short_conv_state
from plimsoll.parse.families.routing import FeedForwardFields, feed_forward
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Convolutions of conv_L_cache taps; the first num_dense_layers of the MoE variant are dense.

    Sources: models/lfm2/modeling_lfm2.py, models/lfm2_moe/modeling_lfm2_moe.py.
    """
    hidden, heads = keys.positive("hidden_size"), keys.positive("num_attention_heads")
    experts = read_experts(keys)
    dims = Dims(
        hidden=hidden, heads=heads, kv_heads=keys.positive("num_key_value_heads", default=8),
        head_dim=hidden // heads,
        ffn=ffn_dim(keys) if experts is None else keys.positive("intermediate_size"),
    )  # fmt: skip
    dense_count = keys.count("num_dense_layers", default=2)
    has_correction = keys.flag("use_expert_bias", default=True)
    full = keys.list("full_attn_idxs")
    kinds = layer_types(keys, lambda i: "conv" if full is not None and i not in full else "full_attention")
    state = short_conv_state(kernel=keys.positive("conv_L_cache", default=3), channels=hidden)
    bias = keys.flag("conv_bias")

    def block(i: int, at: str) -> Block:
        sparse = experts if i >= dense_count else None
        mlp = sparse_mlp(at, i, hidden, sparse, has_correction) if sparse else dense_mlp(at, i, dims)
        norms = collect(norm(f"{at}.operator_norm", hidden, i), norm(f"{at}.ffn_norm", hidden, i))
        fields = feed_forward(sparse, dims.ffn)
        if kinds[i] == "full_attention":
            return collect(mixer(f"{at}.self_attn", i, dims), mlp, norms), attending(i, dims, fields)
        layer = LayerSpec(index=i, attention="none", state=state, **fields)
        return collect(short_conv(f"{at}.conv", i, state, bias=bias), mlp, norms), layer

    tied = keys.flag("tie_embedding", "tie_word_embeddings", default=True)
    layout = decoder(keys, block, tied=tied, theta=1000000.0)
    return renamed(layout, {"model.norm.weight": "model.embedding_norm.weight"})


def read_experts(keys: Keys) -> Experts | None:
    """The routed experts, or None in a dense LFM2."""
    if not keys.has("moe_intermediate_size"):
        return None
    return Experts(
        count=keys.positive("num_experts"), active=keys.positive("num_experts_per_tok"),
        dim=keys.positive("moe_intermediate_size"),
    )  # fmt: skip


def ffn_dim(keys: Keys) -> int:
    """block_ff_dim, cut to two thirds and rounded up to block_multiple_of as Lfm2MLP does."""
    width = keys.positive("block_ff_dim", "intermediate_size")
    multiple = keys.positive("block_multiple_of", default=256)
    factor = keys.number("block_ffn_dim_multiplier", default=1.0)
    if not keys.flag("block_auto_adjust_ff_dim", default=True):
        return width
    width = int(factor * int(2 * width / 3))
    return multiple * ((width + multiple - 1) // multiple)


def mixer(prefix: str, layer: int, dims: Dims) -> Iterator[Row]:
    """Grouped attention with LFM2's names: out_proj, q_layernorm, k_layernorm."""
    query, key = dims.heads * dims.head_dim, dims.kv_heads * dims.head_dim
    yield from linear(f"{prefix}.q_proj", query, dims.hidden, "attention", layer)
    yield from linear(f"{prefix}.k_proj", key, dims.hidden, "attention", layer)
    yield from linear(f"{prefix}.v_proj", key, dims.hidden, "attention", layer)
    yield from linear(f"{prefix}.out_proj", dims.hidden, query, "attention", layer)
    yield from norm(f"{prefix}.q_layernorm", dims.head_dim, layer)
    yield from norm(f"{prefix}.k_layernorm", dims.head_dim, layer)


def short_conv(prefix: str, layer: int, state: StateSpec, *, bias: bool) -> Iterator[Row]:
    """in_proj (B, C, x), the depthwise convolution and out_proj."""
    hidden = state.conv_channels
    yield from convolution(f"{prefix}.conv", hidden, state.conv_kernel, layer, bias=bias)
    yield from linear(f"{prefix}.in_proj", 3 * hidden, hidden, "state", layer, bias=bias)
    yield from linear(f"{prefix}.out_proj", hidden, hidden, "state", layer, bias=bias)


def dense_mlp(at: str, layer: int, dims: Dims) -> Iterator[Row]:
    """w1 (gate), w3 (up), w2 (down)."""
    yield from linear(f"{at}.feed_forward.w1", dims.ffn, dims.hidden, "ffn", layer)
    yield from linear(f"{at}.feed_forward.w3", dims.ffn, dims.hidden, "ffn", layer)
    yield from linear(f"{at}.feed_forward.w2", dims.hidden, dims.ffn, "ffn", layer)


def sparse_mlp(at: str, layer: int, hidden: int, experts: Experts, has_correction: bool) -> Iterator[Row]:
    """gate, stacked experts and the float32 expert_bias."""
    prefix = f"{at}.feed_forward"
    yield from linear(f"{prefix}.gate", experts.count, hidden, "router", layer)
    yield from fused_experts(
        f"{prefix}.experts", layer, experts=experts.count, hidden_dim=hidden, expert_dim=experts.dim
    )
    if has_correction:
        yield Row(
            name=f"{prefix}.expert_bias", shape=(experts.count,), role="router", layer=layer, dtype="f32",
            is_buffer=True,
        )  # fmt: skip


def attending(index: int, dims: Dims, fields: FeedForwardFields) -> LayerSpec:
    """A layer of full attention."""
    return LayerSpec(
        index=index, attention="full", query_heads_count=dims.heads, kv_heads_count=dims.kv_heads,
        key_dim=dims.head_dim, value_dim=dims.head_dim, **fields,
    )  # fmt: skip
