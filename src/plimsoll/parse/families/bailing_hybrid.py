"""BailingHybridForCausalLM (Ling 3.0): Kimi delta attention with full-rank gates, gated latent attention."""

from __future__ import annotations

from collections.abc import Iterator

from plimsoll.domain.model import LayerSpec, StateSpec
from plimsoll.parse.families.blocks import (
    Block,
    Layout,
    Row,
    collect,
    decoder,
    layer_types,
    linear,
    norm,
    two_norms,
    with_rows,
)
from plimsoll.parse.families.latent import latent_attention, read_latent
from plimsoll.parse.families.recurrent import convolution, kda_state, vectors
from plimsoll.parse.families.routing import as_mtp, read_mixture
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Latent attention in every layer_group_size-th layer; queries are not compressed.

    Sources: models/bailing_hybrid/modeling_bailing_hybrid.py, vLLM models/bailing_moe_v3_mtp.py.
    """
    hidden = keys.positive("hidden_size")
    dims, mixture = read_latent(keys, hidden), read_mixture(keys, first=2)
    if dims.query_latent_dim:
        raise keys.bad(("q_lora_rank",), dims.query_latent_dim, "null, the only value Transformers builds")
    state = kda_state(
        kernel=keys.positive("short_conv_kernel_size", default=4), heads=dims.heads,
        head_dim=keys.positive("head_dim"),
    )  # fmt: skip
    period = keys.positive("layer_group_size", default=6)
    kinds = layer_types(keys, lambda i: "linear_attention" if (i + 1) % period else "full_attention")

    def block(i: int, at: str) -> Block:
        parts = collect(mixture.rows(f"{at}.mlp", i, hidden), two_norms(at, i, hidden))
        if i < len(kinds) and kinds[i] == "linear_attention":
            rows = delta_attention(f"{at}.self_attn", i, hidden, state)
            layer = LayerSpec(index=i, attention="none", state=state, **mixture.fields(i))
            return collect(rows, parts), layer
        gate = linear(f"{at}.self_attn.g_proj", dims.heads, hidden, "attention", i)
        layer = LayerSpec(index=i, attention="latent", **dims.fields(), **mixture.fields(i))
        return collect(latent_attention(f"{at}.self_attn", i, dims), gate, parts), layer

    layout = decoder(keys, block, tied=keys.flag("tie_word_embeddings"), theta=6000000.0)
    drafts = keys.count("num_nextn_predict_layers", "num_mtp_layers", default=0)
    places = [(i, f"model.layers.{i}") for i in range(len(kinds), len(kinds) + drafts)]
    return with_rows(
        layout, as_mtp(collect(*(collect(block(i, at)[0], mtp_ends(at, hidden)) for i, at in places)))
    )


def mtp_ends(at: str, hidden: int) -> Iterator[Row]:
    """enorm, hnorm and eh_proj before an MTP block, final_layernorm after it."""
    for name in ("enorm", "hnorm", "final_layernorm"):
        yield from norm(f"{at}.{name}", hidden)
    yield from linear(f"{at}.eh_proj", hidden, 2 * hidden, "mtp", None)


def delta_attention(prefix: str, layer: int, hidden: int, state: StateSpec) -> Iterator[Row]:
    """q, k, v, their convolution, the full-rank forget and output gates, beta, the norm and o_proj."""
    heads, head_dim = state.heads_count, state.head_dim
    width = heads * head_dim
    for name in ("q_proj", "k_proj", "v_proj", "g_proj", "forget_gate.f_proj"):
        yield from linear(f"{prefix}.{name}", width, hidden, "state", layer)
    yield from convolution(f"{prefix}.conv1d", state.conv_channels, state.conv_kernel, layer, dtype="f32")
    yield from vectors(f"{prefix}.forget_gate", layer, dtype="f32", A_log=heads, dt_bias=width)
    yield from linear(f"{prefix}.b_proj", heads, hidden, "state", layer)
    yield from norm(f"{prefix}.o_norm", head_dim, layer)
    yield from linear(f"{prefix}.o_proj", hidden, width, "state", layer)
