"""GraniteMoeHybridForCausalLM (Granite 4.0: micro, tiny, small and their h variants)."""

from __future__ import annotations

from collections.abc import Iterator

from plimsoll.domain.model import LayerSpec
from plimsoll.parse.families.blocks import (
    Block,
    Experts,
    Layout,
    Row,
    attention,
    collect,
    decoder,
    fused_experts,
    layers_count,
    linear,
    read_dims,
    two_norms,
)
from plimsoll.parse.families.recurrent import mamba2_mixer, mamba2_state
from plimsoll.parse.families.routing import feed_forward
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Mamba-2 and attention layers, each with a shared MLP and, unless num_local_experts is 0, experts.

    Source: models/granitemoehybrid/modeling_granitemoehybrid.py.
    """
    dims = read_dims(keys)
    shared = keys.positive("shared_intermediate_size")
    experts = Experts(
        count=keys.count("num_local_experts"), active=keys.count("num_experts_per_tok"), dim=dims.ffn,
        shared_dim=shared,
    )  # fmt: skip
    kinds = keys.texts("layer_types", "layers_block_type") or ("mamba",) * layers_count(keys)
    if len(kinds) != layers_count(keys):
        raise keys.contradiction(f"layer_types has {len(kinds)} entries for {layers_count(keys)} layers")
    heads = keys.positive("mamba_n_heads")
    inner = keys.positive("mamba_expand", default=2) * dims.hidden
    state = mamba2_state(
        kernel=keys.positive("mamba_d_conv", default=4), heads=heads, head_dim=inner // heads,
        state_dim=keys.positive("mamba_d_state"),
        groups=keys.positive("mamba_n_groups", default=1),
    )  # fmt: skip
    if keys.raw("mamba_d_head", default="auto") not in ("auto", inner // heads):
        raise keys.contradiction(f"mamba_d_head is not mamba_expand x hidden_size / {heads} mamba_n_heads")
    conv_bias, mamba_bias = keys.flag("mamba_conv_bias", default=True), keys.flag("mamba_proj_bias")
    bias = keys.flag("attention_bias")

    def block(i: int, at: str) -> Block:
        fields = feed_forward(experts if experts.count else None, shared)
        parts = collect(mlp(at, i, dims.hidden, experts), two_norms(at, i, dims.hidden))
        if kinds[i] in ("mamba", "linear_attention"):
            mixer = mamba2_mixer(
                f"{at}.mamba", i, state, hidden_dim=dims.hidden, conv_bias=conv_bias, bias=mamba_bias
            )
            return collect(mixer, parts), LayerSpec(index=i, attention="none", state=state, **fields)
        layer = LayerSpec(
            index=i, attention="full", query_heads_count=dims.heads, kv_heads_count=dims.kv_heads,
            key_dim=dims.head_dim, value_dim=dims.head_dim, **fields,
        )  # fmt: skip
        return collect(attention(f"{at}.self_attn", i, dims, bias=bias), parts), layer

    return decoder(keys, block, tied=keys.flag("tie_word_embeddings"))


def mlp(at: str, layer: int, hidden: int, experts: Experts) -> Iterator[Row]:
    """shared_mlp (gate and up in one matrix) and, when there are experts, their router and stacks."""
    yield from linear(f"{at}.shared_mlp.input_linear", 2 * experts.shared_dim, hidden, "shared_expert", layer)
    yield from linear(f"{at}.shared_mlp.output_linear", hidden, experts.shared_dim, "shared_expert", layer)
    if experts.count:
        yield from linear(f"{at}.block_sparse_moe.router", experts.count, hidden, "router", layer)
        yield from fused_experts(
            f"{at}.block_sparse_moe.experts", layer, experts=experts.count, hidden_dim=hidden,
            expert_dim=experts.dim,
        )  # fmt: skip
