"""GptOssForCausalLM (gpt-oss 20b and 120b)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from plimsoll.parse.families.blocks import (
    Block,
    Experts,
    Layout,
    Row,
    attention,
    collect,
    decoder,
    every,
    grouped_layer,
    linear,
    read_dims,
    two_norms,
    windows,
)
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Sliding and full attention in turn, all with sinks. Source: models/gpt_oss/modeling_gpt_oss.py."""
    dims = read_dims(keys, head_dim=64)
    experts = Experts(
        count=keys.positive("num_local_experts"), dim=dims.ffn,
        active=keys.positive("num_experts_per_tok", "experts_per_token"),
    )  # fmt: skip
    bias = keys.flag("attention_bias", default=True)
    window = windows(keys, every(2), window=128)

    def block(i: int, at: str) -> Block:
        rows = collect(
            attention(f"{at}.self_attn", i, dims, bias=bias),
            [Row(name=f"{at}.self_attn.sinks", shape=(dims.heads,), role="attention", layer=i)],
            mixture(f"{at}.mlp", i, dims.hidden, experts), two_norms(at, i, dims.hidden),
        )  # fmt: skip
        return rows, replace(grouped_layer(i, dims, window=window[i], experts=experts), has_sinks=True)

    return decoder(keys, block, tied=keys.flag("tie_word_embeddings"), theta=150000.0)


def mixture(prefix: str, layer: int, hidden: int, experts: Experts) -> Iterator[Row]:
    """Router with bias; gate_up (experts, hidden, 2 x dim) and down (experts, dim, hidden), input first."""
    yield from linear(f"{prefix}.router", experts.count, hidden, "router", layer, bias=True)
    for name, shape in (
        ("gate_up_proj", (experts.count, hidden, 2 * experts.dim)),
        ("gate_up_proj_bias", (experts.count, 2 * experts.dim)),
        ("down_proj", (experts.count, experts.dim, hidden)),
        ("down_proj_bias", (experts.count, hidden)),
    ):
        yield Row(
            name=f"{prefix}.experts.{name}", shape=shape, role="expert", layer=layer,
            experts_count=experts.count, is_input_major=len(shape) == 3,
        )  # fmt: skip
