"""MiniMaxForCausalLM (MiniMax-Text-01, M1): lightning attention, full attention in every eighth layer."""

from __future__ import annotations

from collections.abc import Iterator

from plimsoll.domain.model import LayerSpec
from plimsoll.parse.families.blocks import (
    Block,
    Dims,
    Experts,
    Layout,
    Row,
    attention,
    collect,
    decoder,
    layer_types,
    linear,
    moe,
    norm,
    read_dims,
    two_norms,
    with_rows,
)
from plimsoll.parse.families.recurrent import lightning_state
from plimsoll.parse.families.routing import feed_forward
from plimsoll.parse.keys import Keys

DECAY_NOTE = (
    "Transformers saves the decay tables of lightning attention as buffers; published checkpoints hold none"
)


def build(keys: Keys) -> Layout:
    """Kinds from layer_types, or from attn_type_list (1 full, 0 lightning) as in the remote-code M1 config.

    Source: models/minimax/modeling_minimax.py.
    """
    dims = read_dims(keys)
    experts = Experts(
        count=keys.positive("num_local_experts"), active=keys.positive("num_experts_per_tok"), dim=dims.ffn
    )
    listed = keys.list("attn_type_list")
    kinds = layer_types(keys, lambda i: "full_attention" if is_full(listed, i) else "linear_attention")
    chunk = keys.positive("block_size", default=256)

    def block(i: int, at: str) -> Block:
        parts = collect(moe(f"{at}.mlp", i, dims.hidden, experts), two_norms(at, i, dims.hidden))
        fields = feed_forward(experts, 0)
        if kinds[i] == "linear_attention":
            state = lightning_state(heads=dims.heads, head_dim=dims.head_dim)
            rows = lightning(f"{at}.self_attn", i, dims, chunk)
            return collect(rows, parts), LayerSpec(index=i, attention="none", state=state, **fields)
        layer = LayerSpec(
            index=i, attention="full", query_heads_count=dims.heads, kv_heads_count=dims.kv_heads,
            key_dim=dims.head_dim, value_dim=dims.head_dim, **fields,
        )  # fmt: skip
        return collect(attention(f"{at}.self_attn", i, dims), parts), layer

    layout = decoder(keys, block, tied=keys.flag("tie_word_embeddings"))
    return with_rows(layout, (), notes=(DECAY_NOTE,))


def is_full(listed: list[object] | None, i: int) -> bool:
    """attn_type_list where there is one; else the class's rule, every other layer from the first."""
    return i < len(listed) and listed[i] == 1 if listed is not None else (i + 1) % 2 == 1


def lightning(prefix: str, layer: int, dims: Dims, chunk: int) -> Iterator[Row]:
    """qkv_proj, output_gate, out_proj, a norm over all heads, and the decay tables for chunks of `chunk`."""
    heads, width = dims.heads, dims.heads * dims.head_dim
    yield from linear(f"{prefix}.qkv_proj", 3 * width, dims.hidden, "state", layer)
    yield from linear(f"{prefix}.output_gate", width, dims.hidden, "state", layer)
    yield from linear(f"{prefix}.out_proj", dims.hidden, width, "state", layer)
    yield from norm(f"{prefix}.norm", width, layer)
    for name, shape in (
        ("slope_rate", (heads, 1, 1)),
        ("query_decay", (heads, chunk, 1)),
        ("key_decay", (heads, chunk, 1)),
        ("diagonal_decay", (1, heads, chunk, chunk)),
    ):
        yield Row(name=f"{prefix}.{name}", shape=shape, role="state", layer=layer, is_buffer=True)
