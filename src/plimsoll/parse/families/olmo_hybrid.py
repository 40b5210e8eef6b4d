"""OLMo Hybrid: three gated-delta layers, then one of full attention."""

from __future__ import annotations

from collections.abc import Iterator

from plimsoll.domain.model import LayerSpec, StateSpec
from plimsoll.parse.families.blocks import (
    Block,
    Layout,
    Row,
    attention,
    collect,
    decoder,
    gated_mlp,
    grouped_layer,
    layer_types,
    linear,
    norm,
    read_dims,
    two_norms,
)  # fmt: skip
from plimsoll.parse.families.recurrent import convolution, gated_delta_state, vectors
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Source: transformers models/olmo_hybrid/modeling_olmo_hybrid.py and its configuration."""
    dims, bias, state = read_dims(keys), keys.flag("attention_bias"), read_state(keys)
    kinds = layer_types(keys, lambda i: "full_attention" if i % 4 == 3 else "linear_attention")
    if set(kinds) != {"full_attention", "linear_attention"}:
        raise keys.contradiction(
            "layer_types lacks full_attention or linear_attention, which Transformers refuses"
        )

    def block(i: int, at: str) -> Block:
        mlp = gated_mlp(f"{at}.mlp", i, hidden_dim=dims.hidden, ffn_dim=dims.ffn)
        if kinds[i] == "full_attention":
            rows = collect(
                attention(f"{at}.self_attn", i, dims, bias=bias),
                norm(f"{at}.self_attn.q_norm", dims.heads * dims.head_dim, i),
                norm(f"{at}.self_attn.k_norm", dims.kv_heads * dims.head_dim, i),
                mlp,
                norm(f"{at}.post_attention_layernorm", dims.hidden, i),
                norm(f"{at}.post_feedforward_layernorm", dims.hidden, i),
            )
            return rows, grouped_layer(i, dims)
        rows = collect(
            delta_net(f"{at}.linear_attn", i, dims.hidden, state), mlp, two_norms(at, i, dims.hidden)
        )
        return rows, LayerSpec(index=i, attention="none", state=state, ffn_dim=dims.ffn)

    return decoder(keys, block, tied=keys.flag("tie_word_embeddings"))


def read_state(keys: Keys) -> StateSpec:
    """linear_* keys; by default as many heads as attention, keys of 3/4 hidden / heads, values twice that."""
    heads = keys.positive("num_attention_heads")
    key_heads = keys.positive("linear_num_key_heads", default=heads)
    key_dim = keys.positive(
        "linear_key_head_dim", default=keys.positive("hidden_size") * 3 // (4 * key_heads)
    )
    return gated_delta_state(
        kernel=keys.positive("linear_conv_kernel_dim", default=4), key_heads=key_heads, key_dim=key_dim,
        value_heads=keys.positive("linear_num_value_heads", default=heads),
        value_dim=keys.positive("linear_value_head_dim", default=2 * key_dim),
    )  # fmt: skip


def delta_net(at: str, i: int, hidden: int, state: StateSpec) -> Iterator[Row]:
    """The tensors of one gated-delta mixer, every projection by itself."""
    keys_dim, values_dim = state.groups_count * state.state_dim, state.heads_count * state.head_dim
    yield from vectors(at, i, "f32", A_log=state.heads_count)
    yield from vectors(at, i, dt_bias=state.heads_count)
    yield from convolution(f"{at}.conv1d", state.conv_channels, state.conv_kernel, i)
    widths = {"q": keys_dim, "k": keys_dim, "v": values_dim, "a": state.heads_count, "b": state.heads_count}
    for name, width in {**widths, "g": values_dim}.items():
        yield from linear(f"{at}.{name}_proj", width, hidden, "state", i)
    yield from linear(f"{at}.o_proj", hidden, values_dim, "state", i)
    yield from norm(f"{at}.o_norm", state.head_dim, i)
