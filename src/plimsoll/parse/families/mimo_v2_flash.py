"""MiMoV2FlashForCausalLM (MiMo-V2-Flash): sliding layers with twice the key-value heads and sinks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from plimsoll.parse.families.blocks import (
    Block,
    Dims,
    Layout,
    Row,
    collect,
    decoder,
    gated_mlp,
    grouped_attention,
    grouped_layer,
    layers_count,
    linear,
    norm,
    read_dims,
    two_norms,
    with_rows,
)
from plimsoll.parse.families.routing import Mixture, as_mtp, read_mixture
from plimsoll.parse.keys import Keys

MTP_LAYERS_COUNT = 3
MTP_NOTE = (
    f"MiMo-V2-Flash's checkpoint holds {MTP_LAYERS_COUNT} MTP layers that config.json does not mention; "
    "they are counted"
)


def build(keys: Keys) -> Layout:
    """Full attention where hybrid_layer_pattern is 0; keys of head_dim, values of v_head_dim.

    Source: models/mimo_v2_flash/modeling_mimo_v2_flash.py, which ignores the swa_ keys as far as they agree.
    """
    dims = read_dims(keys, head_dim=192)
    value_dim = keys.positive("v_head_dim", default=128)
    kv_heads = keys.positive("swa_num_key_value_heads", default=2 * dims.kv_heads)
    for name, value in (("swa_head_dim", dims.head_dim), ("swa_v_head_dim", value_dim)):
        if keys.count(name, default=value) != value:
            raise keys.contradiction(f"{name} differs from that of full attention")
    window = sliding_windows(keys)
    mixture: Mixture = read_mixture(keys, first=1)
    bias = keys.flag("attention_bias")

    def block(i: int, at: str) -> Block:
        slides = window[i] is not None
        own = replace(dims, kv_heads=kv_heads) if slides else dims
        rows = collect(
            grouped_attention(
                f"{at}.self_attn", i, hidden_dim=own.hidden, query_heads=own.heads, kv_heads=own.kv_heads,
                key_dim=own.head_dim, value_dim=value_dim, bias=bias, output_bias=False,
            ),
            sinks(f"{at}.self_attn", i, own.heads) if slides else (),
            mixture.rows(f"{at}.mlp", i, own.hidden), two_norms(at, i, own.hidden),
        )  # fmt: skip
        layer = grouped_layer(i, own, window=window[i])
        return rows, replace(layer, value_dim=value_dim, has_sinks=slides, **mixture.fields(i))

    layout = decoder(keys, block, tied=keys.flag("tie_word_embeddings"), theta=5000000.0)
    sliding = replace(dims, kv_heads=kv_heads)
    drafts = (
        mtp_layer(f"model.mtp.layers.{i}", sliding, value_dim, bias=bias) for i in range(MTP_LAYERS_COUNT)
    )
    return with_rows(layout, collect(*drafts), notes=(MTP_NOTE,))


def sinks(prefix: str, layer: int, heads: int) -> Iterator[Row]:
    """One learned sink per query head."""
    yield Row(name=f"{prefix}.sinks", shape=(heads,), role="attention", layer=layer)


def mtp_layer(at: str, dims: Dims, value_dim: int, *, bias: bool) -> Iterator[Row]:
    """A sliding block with a dense MLP between eh_proj and a norm. Source: vLLM models/mimo_v2_mtp.py."""
    rows = collect(
        linear(f"{at}.eh_proj", dims.hidden, 2 * dims.hidden, "mtp", None),
        grouped_attention(
            f"{at}.self_attn", 0, hidden_dim=dims.hidden, query_heads=dims.heads, kv_heads=dims.kv_heads,
            key_dim=dims.head_dim, value_dim=value_dim, bias=bias, output_bias=False,
        ),
        sinks(f"{at}.self_attn", 0, dims.heads),
        gated_mlp(f"{at}.mlp", 0, hidden_dim=dims.hidden, ffn_dim=dims.ffn),
        *(norm(f"{at}.{name}", dims.hidden) for name in MTP_NORMS),
    )  # fmt: skip
    return as_mtp(rows)


MTP_NORMS = ("enorm", "hnorm", "input_layernorm", "pre_mlp_layernorm", "final_layernorm")


def sliding_windows(keys: Keys) -> tuple[int | None, ...]:
    """The window of each layer: layer_types, or 1 in hybrid_layer_pattern, says which ones slide."""
    count = layers_count(keys)
    tokens = keys.positive("sliding_window_size", "sliding_window", default=128)
    kinds, pattern = keys.texts("layer_types"), keys.list("hybrid_layer_pattern")
    if kinds is not None:
        slides = [kind == "sliding_attention" for kind in kinds]
    elif pattern is not None:
        slides = [flag == 1 for flag in pattern]
    else:
        slides = [i != 0 and (i + 1) % 6 != 0 for i in range(count)]
    if len(slides) != count:
        raise keys.contradiction(f"{len(slides)} kinds of attention for {count} layers")
    return tuple(tokens if slide else None for slide in slides)
