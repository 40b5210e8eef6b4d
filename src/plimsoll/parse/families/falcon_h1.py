"""FalconH1ForCausalLM (Falcon-H1): attention and Mamba-2 side by side in every layer."""

from __future__ import annotations

from plimsoll.domain.model import LayerSpec
from plimsoll.parse.families.blocks import (
    Block,
    Layout,
    attention,
    collect,
    decoder,
    gated_mlp,
    norm,
    read_dims,
)
from plimsoll.parse.families.recurrent import mamba2_mixer, mamba2_state, renamed
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Both mixers read the same normed input. Source: models/falcon_h1/modeling_falcon_h1.py."""
    dims = read_dims(keys)
    heads = keys.positive("mamba_n_heads")
    inner = keys.positive("mamba_d_ssm", default=keys.count("mamba_expand", default=2) * dims.hidden)
    state = mamba2_state(
        kernel=keys.positive("mamba_d_conv", default=4), heads=heads, head_dim=inner // heads,
        state_dim=keys.positive("mamba_d_state"),
        groups=keys.positive("mamba_n_groups", default=1),
    )  # fmt: skip
    if keys.raw("mamba_d_head", default="auto") not in ("auto", inner // heads):
        raise keys.contradiction(f"mamba_d_head is not mamba_d_ssm / {heads} mamba_n_heads")
    conv_bias, bias = keys.flag("mamba_conv_bias", default=True), keys.flag("mamba_proj_bias")
    if keys.flag("projectors_bias") != bias:
        raise keys.contradiction(
            "mamba_proj_bias and projectors_bias differ; no published Falcon-H1 does that"
        )
    has_norm, mlp_bias = keys.flag("mamba_rms_norm"), keys.flag("mlp_bias")
    attention_bias = keys.flag("attention_bias")

    def block(i: int, at: str) -> Block:
        rows = collect(
            attention(f"{at}.self_attn", i, dims, bias=attention_bias),
            mamba2_mixer(
                f"{at}.mamba", i, state, hidden_dim=dims.hidden, conv_bias=conv_bias, bias=bias,
                has_norm=has_norm,
            ),
            gated_mlp(f"{at}.feed_forward", i, hidden_dim=dims.hidden, ffn_dim=dims.ffn, bias=mlp_bias),
            norm(f"{at}.input_layernorm", dims.hidden, i), norm(f"{at}.pre_ff_layernorm", dims.hidden, i),
        )  # fmt: skip
        layer = LayerSpec(
            index=i, attention="full", query_heads_count=dims.heads, kv_heads_count=dims.kv_heads,
            key_dim=dims.head_dim, value_dim=dims.head_dim, state=state, ffn_dim=dims.ffn,
        )  # fmt: skip
        return rows, layer

    layout = decoder(keys, block, tied=keys.flag("tie_word_embeddings"))
    return renamed(layout, {"model.norm.weight": "model.final_layernorm.weight"})
