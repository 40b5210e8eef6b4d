"""What Gemma 4 sees and hears with: towers of the E and A4B models, plain projections of the unified ones."""

from __future__ import annotations

from collections.abc import Iterator

from plimsoll.domain.model import Role
from plimsoll.parse.families.blocks import Row, layer_norm, linear
from plimsoll.parse.keys import Keys


def vision(keys: Keys, text_dim: int) -> Iterator[Row]:
    """Patches, a two-axis table of positions, gated layers, a projection. Source: modeling_gemma4.py."""
    at = "model.vision_tower"
    hidden, ffn = keys.positive("hidden_size", default=768), keys.positive("intermediate_size", default=3072)
    heads, head_dim = keys.positive("num_attention_heads", default=12), keys.positive("head_dim", default=64)
    kv_heads = keys.positive("num_key_value_heads", default=12)
    pixels = 3 * keys.positive("patch_size", default=16) ** 2
    positions = keys.positive("position_embedding_size", default=10 * 1024)
    clips = keys.flag("use_clipped_linears")
    keys.raw(
        "attention_bias",
        "global_head_dim",
        "max_position_embeddings",
        "pooling_kernel_size",
        "rope_parameters",
    )
    table = f"{at}.patch_embedder.position_embedding_table"
    yield Row(name=table, shape=(2, positions, hidden), role="vision")
    yield from linear(f"{at}.patch_embedder.input_proj", hidden, pixels, "vision", None)
    for i in range(keys.positive("num_hidden_layers", default=16)):
        block = f"{at}.encoder.layers.{i}"
        sizes = {
            "self_attn.q_proj": (heads * head_dim, hidden), "self_attn.k_proj": (kv_heads * head_dim, hidden),
            "self_attn.v_proj": (kv_heads * head_dim, hidden), "self_attn.o_proj": (hidden, heads * head_dim),
            "mlp.gate_proj": (ffn, hidden), "mlp.up_proj": (ffn, hidden), "mlp.down_proj": (hidden, ffn),
        }  # fmt: skip
        for name, (out_dim, in_dim) in sizes.items():
            yield from clipped(f"{block}.{name}", out_dim, in_dim, "vision", clips)
        for name, dim in {"self_attn.q_norm": head_dim, "self_attn.k_norm": head_dim}.items():
            yield from layer_norm(f"{block}.{name}", dim, "vision", bias=False)
        for place in ("input", "post_attention", "pre_feedforward", "post_feedforward"):
            yield from layer_norm(f"{block}.{place}_layernorm", hidden, "vision", bias=False)
    if keys.flag("standardize"):
        for name in ("std_bias", "std_scale"):
            yield Row(name=f"{at}.{name}", shape=(hidden,), role="vision", is_buffer=True)
    yield from linear("model.embed_vision.embedding_projection", text_dim, hidden, "projector", None)


def audio(keys: Keys, text_dim: int) -> Iterator[Row]:
    """Two convolutions, conformer layers, a projection. Source: modeling_gemma4.py (Gemma4AudioModel)."""
    at, hidden = "model.audio_tower", keys.positive("hidden_size", default=1024)
    heads, clips = (
        keys.positive("num_attention_heads", default=8),
        keys.flag("use_clipped_linears", default=True),
    )
    kernel, out_dim = (
        keys.positive("conv_kernel_size", default=5),
        keys.positive("output_proj_dims", default=1536),
    )
    yield from subsampling(f"{at}.subsample_conv_projection", keys, hidden)
    for i in range(keys.positive("num_hidden_layers", default=12)):
        yield from conformer(f"{at}.layers.{i}", hidden, heads, kernel, clips)
    yield from linear(f"{at}.output_proj", out_dim, hidden, "audio", None, bias=True)
    yield from linear("model.embed_audio.embedding_projection", text_dim, out_dim, "projector", None)


def subsampling(at: str, keys: Keys, hidden: int) -> Iterator[Row]:
    """Two 3x3 convolutions of stride 2 over 128 mel bins, each with a norm, and a projection."""
    channels = keys.list("subsampling_conv_channels") or [128, 32]
    if len(channels) != 2 or not all(isinstance(c, int) and 0 < c < 2**20 for c in channels):
        raise keys.bad(("subsampling_conv_channels",), channels, "two numbers of channels")
    before = 1
    for i, count in enumerate(channels):
        yield Row(name=f"{at}.layer{i}.conv.weight", shape=(count, before, 3, 3), role="audio")
        yield Row(name=f"{at}.layer{i}.norm.weight", shape=(count,), role="audio")
        before = count
    yield from linear(f"{at}.input_proj_linear", hidden, 128 // 4 * before, "audio", None)


def conformer(at: str, hidden: int, heads: int, kernel: int, clips: bool) -> Iterator[Row]:
    """Half a feed-forward, attention with relative positions, a light convolution, half a feed-forward."""
    for half in ("feed_forward1", "feed_forward2"):
        yield from clipped(f"{at}.{half}.ffw_layer_1", 4 * hidden, hidden, "audio", clips)
        yield from clipped(f"{at}.{half}.ffw_layer_2", hidden, 4 * hidden, "audio", clips)
        yield from layer_norm(f"{at}.{half}.pre_layer_norm", hidden, "audio", bias=False)
        yield from layer_norm(f"{at}.{half}.post_layer_norm", hidden, "audio", bias=False)
    yield Row(name=f"{at}.self_attn.per_dim_scale", shape=(hidden // heads,), role="audio")
    for name in ("q_proj", "k_proj", "v_proj", "post"):
        yield from clipped(f"{at}.self_attn.{name}", hidden, hidden, "audio", clips)
    yield from linear(f"{at}.self_attn.relative_k_proj", hidden, hidden, "audio", None)
    yield from clipped(f"{at}.lconv1d.linear_start", 2 * hidden, hidden, "audio", clips)
    yield from clipped(f"{at}.lconv1d.linear_end", hidden, hidden, "audio", clips)
    yield Row(name=f"{at}.lconv1d.depthwise_conv1d.weight", shape=(hidden, 1, kernel), role="audio")
    for name in (
        "lconv1d.pre_layer_norm",
        "lconv1d.conv_norm",
        "norm_pre_attn",
        "norm_post_attn",
        "norm_out",
    ):
        yield from layer_norm(f"{at}.{name}", hidden, "audio", bias=False)


def clipped(name: str, out_dim: int, in_dim: int, role: Role, clips: bool) -> Iterator[Row]:
    """A matrix whose inputs and outputs may be clipped to four saved bounds."""
    yield from linear(f"{name}.linear", out_dim, in_dim, role, None)
    if clips:
        for bound in ("input_min", "input_max", "output_min", "output_max"):
            yield Row(name=f"{name}.{bound}", shape=(), role=role, is_buffer=True)


def unified_vision(keys: Keys, text_dim: int) -> Iterator[Row]:
    """Patches go straight into the text model. Source: modeling_gemma4_unified.py."""
    at, hidden = "model.embed_vision", keys.positive("mm_embed_dim", default=3840)
    side = keys.positive("patch_size", default=16) * keys.positive("pooling_kernel_size", default=3)
    out_dim, positions = (
        keys.positive("output_proj_dims", default=3840),
        keys.positive("mm_posemb_size", default=1120),
    )
    yield Row(name=f"{at}.pos_embedding", shape=(positions, 2, hidden), role="vision")
    yield from layer_norm(f"{at}.patch_ln1", 3 * side**2, "vision")
    yield from linear(f"{at}.patch_dense", hidden, 3 * side**2, "vision", None, bias=True)
    yield from layer_norm(f"{at}.patch_ln2", hidden, "vision")
    yield from layer_norm(f"{at}.pos_norm", hidden, "vision")
    yield from linear(f"{at}.multimodal_embedder.embedding_projection", text_dim, out_dim, "projector", None)


def unified_audio(keys: Keys, text_dim: int) -> Iterator[Row]:
    """Frames of the waveform go straight into the text model."""
    in_dim = keys.positive("audio_embed_dim", "audio_samples_per_token", "hidden_size", default=640)
    yield from linear("model.embed_audio.embedding_projection", text_dim, in_dim, "projector", None)
