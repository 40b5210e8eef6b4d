"""Llama4ForConditionalGeneration and its text model (Llama 4 Scout, Maverick)."""

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
    gated_mlp,
    layer_norm,
    layer_types,
    layers_count,
    linear,
    read_dims,
    two_norms,
    with_rows,
)
from plimsoll.parse.families.routing import feed_forward
from plimsoll.parse.keys import Keys

TOWER_NOTE = "the config has no vision_config; the vision tower that Llama 4 checkpoints hold is not counted"


def build(keys: Keys) -> Layout:
    """Chunked attention with rope, full attention without, in turn 3:1; experts stored (input, output).

    Source: models/llama4/modeling_llama4.py.
    """
    text = keys.section("text_config")
    if text is None:
        return decode(keys, at="model", head="lm_head")
    layout = decode(text, at="language_model.model", head="language_model.lm_head")
    vision = keys.section("vision_config")
    if vision is None:
        return with_rows(layout, (), notes=(TOWER_NOTE,))
    return with_rows(layout, tower(vision, layout.hidden_dim))


def decode(keys: Keys, *, at: str, head: str) -> Layout:
    """The text model: every interleave_moe_layer_step-th layer has experts and a shared expert."""
    dims = read_dims(keys, head_dim=128)
    experts = Experts(
        count=keys.positive("num_local_experts"), active=keys.positive("num_experts_per_tok"), dim=dims.ffn,
        shared_dim=dims.ffn,
    )  # fmt: skip
    dense = keys.positive("intermediate_size_mlp")
    step, listed = keys.positive("interleave_moe_layer_step", default=1), keys.list("moe_layers")
    sparse = range(step - 1, layers_count(keys), step) if listed is None else listed
    ropes = keys.list("no_rope_layers")
    period = keys.positive("no_rope_layer_interval", default=4)
    kinds = layer_types(
        keys,
        lambda i: "chunked_attention" if (ropes[i] if ropes else (i + 1) % period) else "full_attention",
    )
    chunk = keys.count("attention_chunk_size", default=8192)
    bias = keys.flag("attention_bias")

    def block(i: int, prefix: str) -> Block:
        at = f"{prefix}.feed_forward"
        has_experts = i in sparse
        mlp = (
            mixture(at, i, dims.hidden, experts)
            if has_experts
            else gated_mlp(at, i, hidden_dim=dims.hidden, ffn_dim=dense)
        )
        rows = collect(
            attention(f"{prefix}.self_attn", i, dims, bias=bias), mlp, two_norms(prefix, i, dims.hidden)
        )
        chunked = kinds[i] == "chunked_attention"
        layer = LayerSpec(
            index=i, attention="chunked" if chunked else "full", window_tokens=chunk if chunked else None,
            query_heads_count=dims.heads, kv_heads_count=dims.kv_heads, key_dim=dims.head_dim,
            value_dim=dims.head_dim, **feed_forward(experts if has_experts else None, dense),
        )  # fmt: skip
        return rows, layer

    tied = keys.flag("tie_word_embeddings")
    return decoder(keys, block, at=at, tied=tied, head=head, theta=500000.0)


def mixture(prefix: str, layer: int, hidden: int, experts: Experts) -> Iterator[Row]:
    """router, gate_up (experts, hidden, 2 x dim), down (experts, dim, hidden) and the shared expert."""
    yield from linear(f"{prefix}.router", experts.count, hidden, "router", layer)
    for name, shape in (("gate_up_proj", (hidden, 2 * experts.dim)), ("down_proj", (experts.dim, hidden))):
        yield Row(
            name=f"{prefix}.experts.{name}", shape=(experts.count, *shape), role="expert", layer=layer,
            experts_count=experts.count, is_input_major=True,
        )  # fmt: skip
    yield from gated_mlp(
        f"{prefix}.shared_expert", layer, hidden_dim=hidden, ffn_dim=experts.shared_dim, role="shared_expert"
    )


def tower(keys: Keys, text_dim: int) -> Iterator[Row]:
    """Patches, blocks with biases, the adapter after pixel shuffle, and the projector."""
    hidden, ffn = keys.positive("hidden_size"), keys.positive("intermediate_size")
    patch, size = keys.positive("patch_size"), keys.positive("image_size")
    at = "vision_model"
    pixels = keys.positive("num_channels", default=3) * patch * patch
    yield from linear(f"{at}.patch_embedding.linear", hidden, pixels, "vision", None)
    yield Row(name=f"{at}.class_embedding", shape=(hidden,), role="vision")
    positions = (size // patch) ** 2 + 1
    yield Row(name=f"{at}.positional_embedding_vlm", shape=(positions, hidden), role="vision")
    yield from layer_norm(f"{at}.layernorm_pre", hidden, "vision")
    yield from layer_norm(f"{at}.layernorm_post", hidden, "vision")
    for i in range(keys.positive("num_hidden_layers")):
        block = f"{at}.model.layers.{i}"
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            yield from linear(f"{block}.self_attn.{name}", hidden, hidden, "vision", None, bias=True)
        yield from linear(f"{block}.mlp.fc1", ffn, hidden, "vision", None, bias=True)
        yield from linear(f"{block}.mlp.fc2", hidden, ffn, "vision", None, bias=True)
        yield from layer_norm(f"{block}.input_layernorm", hidden, "vision")
        yield from layer_norm(f"{block}.post_attention_layernorm", hidden, "vision")
    narrow, wide = keys.positive("projector_input_dim"), keys.positive("projector_output_dim")
    yield from linear(f"{at}.vision_adapter.mlp.fc1", narrow, ffn, "projector", None)
    yield from linear(f"{at}.vision_adapter.mlp.fc2", wide, wide, "projector", None)
    out_dim = keys.positive("vision_output_dim")
    yield from linear("multi_modal_projector.linear_1", text_dim, out_dim, "projector", None)
