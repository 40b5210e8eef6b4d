"""Bricks of layers with a recurrent state: mixers with Transformers' names and shapes, and their states.

Every state is a count of values per sequence, whatever the context: (kernel - 1) x channels of the
rolling convolution and heads x head_dim x state_dim of the recurrence. Sources: llama.cpp
src/llama-hparams.cpp (n_embd_r, n_embd_s), vLLM model_executor/layers/mamba/mamba_utils.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from plimsoll.domain.model import StateSpec
from plimsoll.parse.families.blocks import Layout, Row, linear
from plimsoll.parse.keys import Keys


def gated_delta_state(
    *, kernel: int, key_heads: int, key_dim: int, value_heads: int, value_dim: int
) -> StateSpec:
    """Gated delta net: channels = 2 x key_heads x key_dim + value_heads x value_dim."""
    channels = 2 * key_heads * key_dim + value_heads * value_dim
    return StateSpec(
        kind="gated_delta", conv_values_count=(kernel - 1) * channels,
        ssm_values_count=value_heads * value_dim * key_dim, conv_kernel=kernel, conv_channels=channels,
        heads_count=value_heads, head_dim=value_dim, state_dim=key_dim, groups_count=key_heads,
    )  # fmt: skip


def mamba2_state(*, kernel: int, heads: int, head_dim: int, state_dim: int, groups: int) -> StateSpec:
    """Mamba-2: channels = heads x head_dim + 2 x groups x state_dim."""
    channels = heads * head_dim + 2 * groups * state_dim
    return StateSpec(
        kind="mamba2", conv_values_count=(kernel - 1) * channels,
        ssm_values_count=heads * head_dim * state_dim, conv_kernel=kernel, conv_channels=channels,
        heads_count=heads, head_dim=head_dim, state_dim=state_dim, groups_count=groups,
    )  # fmt: skip


def kda_state(*, kernel: int, heads: int, head_dim: int) -> StateSpec:
    """Kimi delta attention: channels = 3 x heads x head_dim (query, key and value)."""
    channels = 3 * heads * head_dim
    return StateSpec(
        kind="kda", conv_values_count=(kernel - 1) * channels, ssm_values_count=heads * head_dim * head_dim,
        conv_kernel=kernel, conv_channels=channels, heads_count=heads, head_dim=head_dim,
        state_dim=head_dim, groups_count=heads,
    )  # fmt: skip


def lightning_state(*, heads: int, head_dim: int) -> StateSpec:
    """Lightning attention: one head_dim x head_dim matrix per head, no convolution."""
    return StateSpec(
        kind="lightning", conv_values_count=0, ssm_values_count=heads * head_dim * head_dim,
        heads_count=heads, head_dim=head_dim, state_dim=head_dim, groups_count=heads,
    )  # fmt: skip


def short_conv_state(*, kernel: int, channels: int) -> StateSpec:
    """A gated short convolution: only the rolling input."""
    return StateSpec(
        kind="short_conv", conv_values_count=(kernel - 1) * channels, ssm_values_count=0,
        conv_kernel=kernel, conv_channels=channels,
    )  # fmt: skip


def ssm_format(keys: Keys) -> str:
    """The type that mamba_ssm_dtype or mamba_ssm_cache_dtype asks for, in our words."""
    return {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}.get(
        keys.text("mamba_ssm_dtype", "mamba_ssm_cache_dtype"), ""
    )


def convolution(
    name: str, channels: int, kernel: int, layer: int, *, bias: bool = False, dtype: str = ""
) -> Iterator[Row]:
    """A depthwise convolution: weight (channels, 1, kernel) and, when asked, bias (channels)."""
    yield Row(
        name=f"{name}.weight", shape=(channels, 1, kernel), role="state", layer=layer, dtype=dtype,
    )  # fmt: skip
    if bias:
        yield Row(name=f"{name}.bias", shape=(channels,), role="state", layer=layer, dtype=dtype)


def vectors(prefix: str, layer: int, dtype: str = "", **lengths: int) -> Iterator[Row]:
    """Plain parameter vectors of a recurrence (A_log, D, dt_bias ...)."""
    for name, length in lengths.items():
        yield Row(name=f"{prefix}.{name}", shape=(length,), role="state", layer=layer, dtype=dtype)


def mamba2_mixer(
    prefix: str, layer: int, state: StateSpec, *, hidden_dim: int, conv_bias: bool, bias: bool,
    has_norm: bool = True,
) -> Iterator[Row]:  # fmt: skip
    """in_proj (z, x, B, C, dt), conv1d, A_log, D, dt_bias, the gated norm and out_proj of Mamba-2."""
    inner = state.heads_count * state.head_dim
    width = inner + state.conv_channels + state.heads_count
    yield from vectors(
        prefix, layer, A_log=state.heads_count, D=state.heads_count, dt_bias=state.heads_count,
    )  # fmt: skip
    yield from convolution(f"{prefix}.conv1d", state.conv_channels, state.conv_kernel, layer, bias=conv_bias)
    yield from linear(f"{prefix}.in_proj", width, hidden_dim, "state", layer, bias=bias)
    yield from linear(f"{prefix}.out_proj", hidden_dim, inner, "state", layer, bias=bias)
    if has_norm:
        yield Row(name=f"{prefix}.norm.weight", shape=(inner,), role="norm", layer=layer)


def renamed(layout: Layout, names: Mapping[str, str]) -> Layout:
    """The layout with some tensors under the names that their class gives them."""
    rows = tuple(replace(row, name=names.get(row.name, row.name)) for row in layout.rows)
    return replace(layout, rows=rows)
