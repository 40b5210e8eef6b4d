"""The layers that Qwen3-Next and Qwen3.5 share: gated delta nets and attention with an output gate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from plimsoll.domain.model import LayerSpec, StateSpec
from plimsoll.parse.families.blocks import (
    Block,
    Dims,
    Experts,
    Layout,
    Row,
    collect,
    decoder,
    gated_mlp,
    layer_types,
    linear,
    moe,
    norm,
    query_key_norms,
    two_norms,
    with_rows,
)
from plimsoll.parse.families.mtp_fc import mtp_ends
from plimsoll.parse.families.recurrent import convolution, gated_delta_state, ssm_format, vectors
from plimsoll.parse.families.routing import FeedForwardFields, as_mtp, feed_forward
from plimsoll.parse.keys import Keys


def read_state(keys: Keys) -> StateSpec:
    """linear_conv_kernel_dim, linear_num_key_heads, linear_key_head_dim and the same of the values."""
    state = gated_delta_state(
        kernel=keys.positive("linear_conv_kernel_dim", default=4),
        key_heads=keys.positive("linear_num_key_heads"),
        key_dim=keys.positive("linear_key_head_dim"),
        value_heads=keys.positive("linear_num_value_heads"),
        value_dim=keys.positive("linear_value_head_dim"),
    )
    return replace(state, ssm_format=ssm_format(keys))


def delta_net(prefix: str, layer: int, hidden: int, state: StateSpec, *, is_fused: bool) -> Iterator[Row]:
    """A_log, dt_bias, conv1d, input projections (fused in Qwen3-Next, split in Qwen3.5), norm, out_proj."""
    heads, values = state.heads_count, state.heads_count * state.head_dim
    yield from vectors(prefix, layer, A_log=heads, dt_bias=heads)
    yield from convolution(f"{prefix}.conv1d", state.conv_channels, state.conv_kernel, layer)
    parts = {"qkvz": state.conv_channels + values, "ba": 2 * heads}
    if not is_fused:
        parts = {"qkv": state.conv_channels, "z": values, "b": heads, "a": heads}
    for name, width in parts.items():
        yield from linear(f"{prefix}.in_proj_{name}", width, hidden, "state", layer)
    yield from norm(f"{prefix}.norm", state.head_dim, layer)
    yield from linear(f"{prefix}.out_proj", hidden, values, "state", layer)


def gated_attention(prefix: str, layer: int, dims: Dims, *, bias: bool) -> Iterator[Row]:
    """Grouped attention whose q_proj also makes the output gate, with query and key norms."""
    query, key = dims.heads * dims.head_dim, dims.kv_heads * dims.head_dim
    yield from linear(f"{prefix}.q_proj", 2 * query, dims.hidden, "attention", layer, bias=bias)
    yield from linear(f"{prefix}.k_proj", key, dims.hidden, "attention", layer, bias=bias)
    yield from linear(f"{prefix}.v_proj", key, dims.hidden, "attention", layer, bias=bias)
    yield from linear(f"{prefix}.o_proj", dims.hidden, query, "attention", layer, bias=bias)
    yield from query_key_norms(prefix, layer, dims.head_dim)


Mlp = Callable[[str, int], tuple[Iterable[Row], FeedForwardFields]]
"""The MLP of one layer (prefix, layer): its tensors and what a LayerSpec says of it."""


def decode(
    keys: Keys, dims: Dims, mlp: Mlp, *, at: str, tied: bool, is_fused: bool, mtp_layers: int
) -> Layout:
    """Three gated delta nets, then one full attention, and so on; MTP blocks are full attention.

    The rule where layer_types is absent: full attention in every full_attention_interval-th layer.
    """
    state, bias = read_state(keys), keys.flag("attention_bias")
    period = keys.positive("full_attention_interval", default=4)
    kinds = layer_types(keys, lambda i: "linear_attention" if (i + 1) % period else "full_attention")

    def block(i: int, prefix: str, kind: str = "") -> Block:
        parts, fields = mlp(f"{prefix}.mlp", i)
        norms = two_norms(prefix, i, dims.hidden)
        if (kind or kinds[i]) == "linear_attention":
            net = delta_net(f"{prefix}.linear_attn", i, dims.hidden, state, is_fused=is_fused)
            return collect(net, parts, norms), LayerSpec(index=i, attention="none", state=state, **fields)
        attention = gated_attention(f"{prefix}.self_attn", i, dims, bias=bias)
        layer = LayerSpec(
            index=i, attention="full", query_heads_count=dims.heads, kv_heads_count=dims.kv_heads,
            key_dim=dims.head_dim, value_dim=dims.head_dim, **fields,
        )  # fmt: skip
        return collect(attention, parts, norms), layer

    layout = decoder(keys, block, at=at, tied=tied)
    drafts = [block(i, f"mtp.layers.{i}", "full_attention")[0] for i in range(mtp_layers)]
    return with_rows(layout, as_mtp(collect(*drafts, mtp_ends(dims.hidden) if mtp_layers else ())))


def gated_moe(keys: Keys, hidden: int) -> Mlp:
    """Routed experts and one shared expert behind its own gate (1, hidden)."""
    experts = Experts(
        count=keys.positive("num_experts"), active=keys.positive("num_experts_per_tok"),
        dim=keys.positive("moe_intermediate_size"), shared_dim=keys.count("shared_expert_intermediate_size"),
    )  # fmt: skip

    def mlp(prefix: str, layer: int) -> tuple[Iterable[Row], FeedForwardFields]:
        gate = linear(f"{prefix}.shared_expert_gate", 1, hidden, "shared_expert", layer)
        rows = collect(moe(prefix, layer, hidden, experts, shared="shared_expert"), gate)
        return rows, feed_forward(experts, 0)

    return mlp


def dense(hidden: int, ffn: int) -> Mlp:
    """A gated MLP of width `ffn` in every layer."""

    def mlp(prefix: str, layer: int) -> tuple[Iterable[Row], FeedForwardFields]:
        return gated_mlp(prefix, layer, hidden_dim=hidden, ffn_dim=ffn), feed_forward(None, ffn)

    return mlp
