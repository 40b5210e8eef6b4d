"""Step3p7ForConditionalGeneration and its text model (Step 3.5 Flash, 3.7 Flash)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from plimsoll.parse.families.blocks import (
    Block,
    Dims,
    Experts,
    Layout,
    Row,
    attention,
    collect,
    decoder,
    gated_mlp,
    grouped_layer,
    layer_norm,
    layers_count,
    linear,
    query_key_norms,
    two_norms,
    with_rows,
)
from plimsoll.parse.families.routing import Mixture, as_mtp, next_token_ends
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """The text model, and under vision_config the tower. Source: models/step3p7/modeling_step3p7.py."""
    text = keys.section("text_config")
    if text is None:
        return decode(keys, "model")
    layout = decode(text, "model.language_model")
    vision = keys.section("vision_config") or Keys({}, keys.where, "vision_config.")
    bias = keys.flag("projector_bias")
    return with_rows(layout, tower(vision, layout.hidden_dim, bias=bias))


def decode(keys: Keys, at: str) -> Layout:
    """Full and sliding layers with a gate per head; the sliding ones may have more query heads.

    MTP blocks are dense, with the heads of their kind (vLLM models/step3p5_mtp.py).
    """
    dims = Dims(
        hidden=keys.positive("hidden_size"), heads=keys.positive("num_attention_heads"),
        kv_heads=keys.positive("num_attention_groups", "num_key_value_heads", default=8),
        head_dim=keys.positive("head_dim", default=128), ffn=keys.positive("intermediate_size"),
    )  # fmt: skip
    other = keys.section("attention_other_setting")
    sliding_heads = keys.positive(
        "num_sliding_attention_heads",
        default=other.positive("num_attention_heads", default=dims.heads) if other else dims.heads,
    )
    count, steps = layers_count(keys), keys.count("num_nextn_predict_layers", default=0)
    window = read_windows(keys, count, steps)
    mixture = read_mixture(keys, count)

    def attending(i: int, prefix: str) -> tuple[Row, ...]:
        own = dims if window[i] is None else replace(dims, heads=sliding_heads)
        attn = f"{prefix}.self_attn"
        return collect(
            attention(attn, i, own), query_key_norms(attn, i, own.head_dim),
            linear(f"{attn}.g_proj", own.heads, own.hidden, "attention", i), two_norms(prefix, i, own.hidden),
        )  # fmt: skip

    def block(i: int, prefix: str) -> Block:
        own = dims if window[i] is None else replace(dims, heads=sliding_heads)
        layer = replace(grouped_layer(i, own, window=window[i]), **mixture.fields(i))
        return collect(attending(i, prefix), mixture.rows(f"{prefix}.mlp", i, dims.hidden)), layer

    def drafts() -> Iterator[Row]:
        vocab = keys.positive("vocab_size")
        for i in range(count, count + steps):
            prefix = f"{at}.layers.{i}"
            mlp = gated_mlp(f"{prefix}.mlp", i, hidden_dim=dims.hidden, ffn_dim=dims.ffn)
            ends = next_token_ends(prefix, hidden=dims.hidden, vocab=vocab, has_own_ends=False)
            head = linear(f"{prefix}.shared_head.head", vocab, dims.hidden, "mtp", None)
            yield from as_mtp(collect(attending(i, prefix), mlp, ends, head))

    layout = decoder(keys, block, at=at, tied=keys.flag("tie_word_embeddings"))
    return with_rows(layout, drafts())


def read_windows(keys: Keys, count: int, steps: int) -> list[int | None]:
    """The window of each layer and MTP block; layer_types may stop before the MTP blocks or go on to them."""
    kinds = list(keys.texts("layer_types") or ("full_attention",) * count)
    kinds += list(keys.texts("mtp_layer_types") or ())
    if len(kinds) == count:
        kinds += ["full_attention"] * steps
    if len(kinds) != count + steps:
        raise keys.contradiction(
            f"layer_types has {len(kinds)} entries for {count} layers and {steps} MTP blocks"
        )
    tokens = keys.positive("sliding_window", default=512) if "sliding_attention" in kinds else None
    return [tokens if kind == "sliding_attention" else None for kind in kinds]


def read_mixture(keys: Keys, count: int) -> Mixture:
    """moe_layers_enum names the layers with experts; else mlp_layer_types, else all from the fourth."""
    experts = Experts(
        count=keys.positive("moe_num_experts", "n_routed_experts", "num_experts"),
        active=keys.positive("moe_top_k", "num_experts_per_tok"),
        dim=keys.positive("moe_intermediate_size"),
        shared_dim=keys.positive("share_expert_dim", "share_expert_dims", default=1280),
    )
    listed, kinds = keys.raw("moe_layers_enum"), keys.texts("mlp_layer_types")
    if kinds is not None:
        sparse = [kind == "sparse" for kind in kinds[:count]]
    elif listed is not None:
        items = listed.split(",") if isinstance(listed, str) else listed
        if not isinstance(items, list) or not all(str(item).strip().isdigit() for item in items):
            raise keys.bad(("moe_layers_enum",), listed, "layer numbers with commas between them")
        sparse = [i in {int(item) for item in items} for i in range(count)]
    else:
        first = keys.count("first_k_dense_replace", default=3)
        sparse = [i >= first for i in range(count)]
    return Mixture(experts=experts, ffn=keys.positive("intermediate_size"), is_sparse=tuple(sparse), dtype="")


def tower(keys: Keys, text_dim: int, *, bias: bool) -> Iterator[Row]:
    """Patches with learned positions, blocks scaled per channel, two strided convolutions, the projector."""
    at = "model.vision_model"
    hidden = keys.positive("width", "hidden_size", default=1536)
    ffn = int(hidden * keys.number("mlp_ratio", default=8960 / 1536))
    patch, size = keys.positive("patch_size", default=14), keys.positive("image_size", default=728)
    kernel = (hidden, keys.positive("num_channels", default=3), patch, patch)
    yield Row(name=f"{at}.embeddings.patch_embedding.weight", shape=kernel, role="vision")
    places = (size // patch) ** 2
    yield Row(name=f"{at}.embeddings.position_embedding.weight", shape=(places, hidden), role="vision")
    yield from layer_norm(f"{at}.pre_layernorm", hidden, "vision")
    for i in range(keys.positive("layers", "num_hidden_layers", default=47)):
        block = f"{at}.layers.{i}"
        yield Row(name=f"{block}.lambda_1", shape=(hidden,), role="vision")
        yield Row(name=f"{block}.lambda_2", shape=(hidden,), role="vision")
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from linear(f"{block}.self_attn.{name}", hidden, hidden, "vision", None, bias=True)
        yield from linear(f"{block}.mlp.fc1", ffn, hidden, "vision", None, bias=True)
        yield from linear(f"{block}.mlp.fc2", hidden, ffn, "vision", None, bias=True)
        yield from layer_norm(f"{block}.layernorm_before", hidden, "vision")
        yield from layer_norm(f"{block}.layernorm_after", hidden, "vision")
    for i in (1, 2):
        shape = (2**i * hidden, 2 ** (i - 1) * hidden, 3, 3)
        yield Row(name=f"{at}.downsampler{i}.weight", shape=shape, role="projector")
        yield Row(name=f"{at}.downsampler{i}.bias", shape=shape[:1], role="projector")
    yield from linear("model.multi_modal_projector", text_dim, 4 * hidden, "projector", None, bias=bias)
