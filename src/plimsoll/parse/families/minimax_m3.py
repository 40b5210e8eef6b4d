"""MiniMaxM3SparseForConditionalGeneration (MiniMax M3) and its text model: block-sparse grouped attention."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from plimsoll.domain.model import Role
from plimsoll.parse.families.blocks import (
    Block,
    Dims,
    Experts,
    Layout,
    Row,
    attention,
    collect,
    decoder,
    fused_experts,
    grouped_layer,
    layer_norm,
    layers_count,
    linear,
    query_key_norms,
    two_norms,
    with_rows,
)
from plimsoll.parse.families.routing import feed_forward, sparse_layers
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """The text model, and the tower around it. Source: models/minimax_m3_vl/modeling_minimax_m3_vl.py."""
    text = keys.section("text_config")
    if text is None:
        return decode(keys, "model")
    layout = decode(text, "model.language_model")
    vision = keys.section("vision_config") or Keys({}, keys.where, "vision_config.")
    width = keys.positive("projector_hidden_size", default=6144)
    return with_rows(layout, tower(vision, layout.hidden_dim, width))


def decode(keys: Keys, at: str) -> Layout:
    """Layers of sparse attention cache the key of an indexer besides their keys and values."""
    dims = Dims(
        hidden=keys.positive("hidden_size"), heads=keys.positive("num_attention_heads"),
        kv_heads=keys.positive("num_key_value_heads", default=4),
        head_dim=keys.positive("head_dim", default=128),
        ffn=keys.positive("dense_intermediate_size"),
    )  # fmt: skip
    experts = Experts(
        count=keys.positive("num_local_experts"), active=keys.positive("num_experts_per_tok"),
        dim=keys.positive("intermediate_size"),
        shared_dim=keys.positive("shared_intermediate_size"),
    )  # fmt: skip
    sparse_mlp, indexed = sparse_layers(keys), indexed_layers(keys)
    sparse = keys.section("sparse_attention_config") or keys
    index_heads = sparse.positive("sparse_num_index_heads", "index_n_heads", default=4)
    index_dim = sparse.positive("sparse_index_dim", "index_head_dim", default=128)

    def block(i: int, prefix: str) -> Block:
        attn = f"{prefix}.self_attn"
        own = experts if sparse_mlp[i] else None
        mlp = (
            mixture(f"{prefix}.mlp", i, dims.hidden, experts)
            if own
            else gate_up(f"{prefix}.mlp", i, dims.hidden, dims.ffn)
        )
        rows = collect(
            attention(attn, i, dims), query_key_norms(attn, i, dims.head_dim),
            indexer(f"{attn}.indexer", i, dims.hidden, index_heads, index_dim) if indexed[i] else (),
            mlp, two_norms(prefix, i, dims.hidden),
        )  # fmt: skip
        layer = replace(
            grouped_layer(i, dims), indexer_dim=index_dim if indexed[i] else 0,
            indexer_heads_count=index_heads if indexed[i] else 0, **feed_forward(own, dims.ffn),
        )  # fmt: skip
        return rows, layer

    return decoder(keys, block, at=at, tied=keys.flag("tie_word_embeddings"), theta=5000000.0)


def indexed_layers(keys: Keys) -> list[bool]:
    """layer_types, or 1 in sparse_attention_freq, says which layers are sparse."""
    sparse = keys.section("sparse_attention_config")
    kinds, listed = keys.texts("layer_types"), sparse.list("sparse_attention_freq") if sparse else None
    flags = [False] * layers_count(keys)
    if kinds is not None:
        flags = [kind == "minimax_m3_sparse" for kind in kinds]
    elif listed is not None:
        flags = [flag == 1 for flag in listed]
    if len(flags) != layers_count(keys):
        raise keys.contradiction(f"{len(flags)} kinds of attention for {layers_count(keys)} layers")
    return flags


def indexer(prefix: str, layer: int, hidden: int, heads: int, dim: int) -> Iterator[Row]:
    """Queries of a few heads and one key, both normed."""
    yield from linear(f"{prefix}.q_proj", heads * dim, hidden, "attention", layer)
    yield from linear(f"{prefix}.k_proj", dim, hidden, "attention", layer)
    yield from query_key_norms(prefix, layer, dim)


def gate_up(prefix: str, layer: int, hidden: int, ffn: int, *, is_shared: bool = False) -> Iterator[Row]:
    """gate and up in one matrix, and down."""
    role: Role = "shared_expert" if is_shared else "ffn"
    yield from linear(f"{prefix}.gate_up_proj", 2 * ffn, hidden, role, layer)
    yield from linear(f"{prefix}.down_proj", hidden, ffn, role, layer)


def mixture(prefix: str, layer: int, hidden: int, experts: Experts) -> Iterator[Row]:
    """gate with its correction bias, the stacks and the shared expert."""
    yield from linear(f"{prefix}.gate", experts.count, hidden, "router", layer)
    yield Row(
        name=f"{prefix}.gate.e_score_correction_bias", shape=(experts.count,), role="router", layer=layer,
        is_buffer=True,
    )  # fmt: skip
    yield from fused_experts(
        f"{prefix}.experts", layer, experts=experts.count, hidden_dim=hidden, expert_dim=experts.dim
    )
    yield from gate_up(f"{prefix}.shared_experts", layer, hidden, experts.shared_dim, is_shared=True)


def tower(keys: Keys, text_dim: int, width: int) -> Iterator[Row]:
    """Patches, pre-norm (spelt as the class spells it), blocks with biases, and the two-step projector."""
    at = "model.vision_tower"
    hidden = keys.positive("hidden_size", default=1280)
    ffn = keys.positive("intermediate_size", default=5120)
    patch, frames = keys.positive("patch_size", default=14), keys.positive("temporal_patch_size", default=2)
    kernel = (hidden, keys.positive("num_channels", default=3), frames, patch, patch)
    yield Row(name=f"{at}.embeddings.proj.weight", shape=kernel, role="vision")
    yield from layer_norm(f"{at}.pre_layrnorm", hidden, "vision")
    for i in range(keys.positive("num_hidden_layers", default=32)):
        block = f"{at}.layers.{i}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from linear(f"{block}.self_attn.{name}", hidden, hidden, "vision", None, bias=True)
        yield from linear(f"{block}.mlp.fc1", ffn, hidden, "vision", None, bias=True)
        yield from linear(f"{block}.mlp.fc2", hidden, ffn, "vision", None, bias=True)
        yield from layer_norm(f"{block}.layer_norm1", hidden, "vision")
        yield from layer_norm(f"{block}.layer_norm2", hidden, "vision")
    merged = text_dim * keys.positive("spatial_merge_size", default=2) ** 2
    for name, out_dim, in_dim in (
        ("linear_1", width, hidden), ("linear_2", text_dim, width), ("merge_linear_1", width, merged),
        ("merge_linear_2", text_dim, width),
    ):  # fmt: skip
        yield from linear(
            f"model.multi_modal_projector.{name}", out_dim, in_dim, "projector", None, bias=True
        )
