"""KimiLinearForCausalLM (Kimi Linear): Kimi delta attention, latent attention without rope in between."""

from __future__ import annotations

from collections.abc import Iterator

from plimsoll.domain.model import LayerSpec, StateSpec
from plimsoll.errors import UnsupportedArchitecture
from plimsoll.parse.families.blocks import (
    Block,
    Layout,
    Row,
    collect,
    decoder,
    layer_types,
    layers_count,
    linear,
    norm,
    two_norms,
)
from plimsoll.parse.families.latent import latent_attention, read_latent
from plimsoll.parse.families.recurrent import convolution, kda_state, vectors
from plimsoll.parse.families.routing import read_mixture
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """linear_attn_config says which layers are which. Source: models/kimi_linear/modeling_kimi_linear.py."""
    for name in ("attn_res_block_size", "routed_expert_hidden_size", "mla_use_output_gate"):
        if keys.raw(name):
            raise UnsupportedArchitecture(f"Kimi K3's {name} is not known", where=keys.where)
    hidden = keys.positive("hidden_size")
    dims, mixture = read_latent(keys, hidden), read_mixture(keys, first=1, dtype="")
    linears = keys.section("linear_attn_config") or keys
    state = kda_state(
        kernel=linears.positive("short_conv_kernel_size", "linear_conv_kernel_dim", default=4),
        heads=linears.positive("num_heads", "linear_num_heads", default=32),
        head_dim=linears.positive("head_dim" if linears is not keys else "linear_head_dim", default=128),
    )
    kinds = read_kinds(keys, linears)

    def block(i: int, at: str) -> Block:
        parts = collect(mixture.rows(f"{at}.mlp", i, hidden), two_norms(at, i, hidden))
        if kinds[i] == "linear_attention":
            rows = delta_attention(f"{at}.self_attn", i, hidden, state)
            return collect(rows, parts), LayerSpec(
                index=i, attention="none", state=state, **mixture.fields(i)
            )
        layer = LayerSpec(index=i, attention="latent", **dims.fields(), **mixture.fields(i))
        return collect(latent_attention(f"{at}.self_attn", i, dims), parts), layer

    return decoder(keys, block, tied=keys.flag("tie_word_embeddings"))


def read_kinds(keys: Keys, linears: Keys) -> tuple[str, ...]:
    """layer_types, or full_attn_layers and kda_layers counted from one, or every fourth layer full."""
    full, deltas = linears.list("full_attn_layers"), linears.list("kda_layers")
    if full is None or deltas is None:
        return layer_types(keys, lambda i: "full_attention" if i and i % 4 == 0 else "linear_attention")
    named = [place for place in (*full, *deltas) if isinstance(place, int)]
    if sorted(named) != list(range(1, layers_count(keys) + 1)):
        raise keys.contradiction("full_attn_layers and kda_layers do not name every layer once")
    return layer_types(keys, lambda i: "full_attention" if i + 1 in full else "linear_attention")


def delta_attention(
    prefix: str, layer: int, hidden: int, state: StateSpec, *, dtype: str = ""
) -> Iterator[Row]:
    """q, k, v, their convolution, the low-rank forget and output gates, beta, the norm and o_proj.

    `dtype` is that of the convolution and the decay: GLM-5.3 keeps them in float32, and A_log flat.
    """
    heads, head_dim = state.heads_count, state.head_dim
    width = heads * head_dim
    for name in ("q_proj", "k_proj", "v_proj"):
        yield from linear(f"{prefix}.{name}", width, hidden, "state", layer)
    yield from convolution(f"{prefix}.conv1d", state.conv_channels, state.conv_kernel, layer, dtype=dtype)
    yield from vectors(f"{prefix}.forget_gate", layer, dtype=dtype, dt_bias=width)
    decay = (heads,) if dtype else (1, 1, heads, 1)
    yield Row(name=f"{prefix}.forget_gate.A_log", shape=decay, role="state", layer=layer, dtype=dtype)
    yield from linear(f"{prefix}.forget_gate.f_a_proj", head_dim, hidden, "state", layer)
    yield from linear(f"{prefix}.forget_gate.f_b_proj", width, head_dim, "state", layer)
    yield from linear(f"{prefix}.b_proj", heads, hidden, "state", layer)
    yield from linear(f"{prefix}.g_a_proj", head_dim, hidden, "state", layer)
    yield from linear(f"{prefix}.g_b_proj", width, head_dim, "state", layer)
    yield from norm(f"{prefix}.o_norm", head_dim, layer)
    yield from linear(f"{prefix}.o_proj", hidden, width, "state", layer)
