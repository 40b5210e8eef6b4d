"""What Gemma 3n sees and hears with: MobileNet v5 (a fixed network of timm's) and a conformer."""

from __future__ import annotations

from collections.abc import Iterator

from plimsoll.domain.model import Role
from plimsoll.parse.families.blocks import Row, layer_norm, linear
from plimsoll.parse.keys import Keys

_NETWORK = "mobilenetv5_300m_enc"


def vision(keys: Keys, text_dim: int) -> Iterator[Row]:
    """The network that the config names, and the embedder after it. Source: timm models/mobilenetv5.py."""
    if keys.text("architecture", default=_NETWORK) != _NETWORK:
        raise keys.bad(("architecture",), keys.values["architecture"], _NETWORK)
    at, hidden = "model.vision_tower.timm_model", keys.positive("hidden_size", default=2048)
    keys.raw("do_pooling", "model_args", "num_classes", "vocab_offset")
    yield Row(name=f"{at}.conv_stem.conv.weight", shape=(64, 3, 3, 3), role="vision")
    yield Row(name=f"{at}.conv_stem.conv.bias", shape=(64,), role="vision")
    yield from scale(f"{at}.conv_stem.bn", 64)
    yield from stages(f"{at}.blocks")
    yield from point(f"{at}.msfa.ffn.pw_exp.conv", 3840, 640 + 1280)
    yield from scale(f"{at}.msfa.ffn.pw_exp.bn", 3840)
    yield from point(f"{at}.msfa.ffn.pw_proj.conv", hidden, 3840)
    yield from scale(f"{at}.msfa.ffn.pw_proj.bn", hidden)
    yield from scale(f"{at}.msfa.norm", hidden)
    yield from embedder("model.embed_vision", keys.positive("vocab_size", default=128), hidden, text_dim)


def stages(at: str) -> Iterator[Row]:
    """Four stages of 128, 256, 640 and 1280 channels; the last two mix attention in."""
    for i, channels in enumerate((64, 128, 128)):
        yield from edge(f"{at}.0.{i}", channels, 128)
    yield from inverted(f"{at}.1.0", 128, 256, start=3, middle=5, factor=6)
    for i, kernel in enumerate((5, 3, 5, 3), start=1):
        yield from inverted(f"{at}.1.{i}", 256, 256, start=kernel, factor=4)
    yield from inverted(f"{at}.2.0", 256, 640, start=5, middle=5, factor=6)
    for i in range(1, 8):
        yield from inverted(f"{at}.2.{i}", 640, 640, start=5, factor=4)
    yield from inverted(f"{at}.2.8", 640, 640, factor=1)
    for i in range(9, 37, 2):
        yield from attention(f"{at}.2.{i}", 640, heads=12, head_dim=64, has_down_sampling=True)
        yield from inverted(f"{at}.2.{i + 1}", 640, 640, factor=2)
    yield from inverted(f"{at}.3.0", 640, 1280, start=5, middle=5, factor=6)
    for i in range(1, 39, 2):
        yield from attention(f"{at}.3.{i}", 1280, heads=16, head_dim=96, has_down_sampling=False)
        yield from inverted(f"{at}.3.{i + 1}", 1280, 1280, factor=2)


def edge(at: str, in_dim: int, out_dim: int) -> Iterator[Row]:
    """A 3x3 convolution to four times the channels, then one value per channel and pixel."""
    yield Row(name=f"{at}.conv_exp.weight", shape=(4 * in_dim, in_dim, 3, 3), role="vision")
    yield from scale(f"{at}.bn1", 4 * in_dim)
    yield from point(f"{at}.conv_pwl", out_dim, 4 * in_dim)
    yield from scale(f"{at}.bn2", out_dim)


def inverted(
    at: str, in_dim: int, out_dim: int, *, factor: int, start: int = 0, middle: int = 0
) -> Iterator[Row]:
    """A universal inverted bottleneck; `start` and `middle` are the kernels of its depthwise convolutions."""
    wide = factor * in_dim
    if start:
        yield from depthwise(f"{at}.dw_start", in_dim, start)
    yield from point(f"{at}.pw_exp.conv", wide, in_dim)
    yield from scale(f"{at}.pw_exp.bn", wide)
    if middle:
        yield from depthwise(f"{at}.dw_mid", wide, middle)
    yield from point(f"{at}.pw_proj.conv", out_dim, wide)
    yield from scale(f"{at}.pw_proj.bn", out_dim)
    yield Row(name=f"{at}.layer_scale.gamma", shape=(out_dim,), role="vision")


def attention(at: str, dim: int, *, heads: int, head_dim: int, has_down_sampling: bool) -> Iterator[Row]:
    """Many queries, one key and one value, which may be taken from a smaller picture."""
    yield from scale(f"{at}.norm", dim)
    yield from point(f"{at}.attn.query.proj", heads * head_dim, dim)
    for name in ("key", "value"):
        if has_down_sampling:
            yield Row(name=f"{at}.attn.{name}.down_conv.weight", shape=(dim, 1, 3, 3), role="vision")
            yield from scale(f"{at}.attn.{name}.norm", dim)
        yield from point(f"{at}.attn.{name}.proj", head_dim, dim)
    yield from point(f"{at}.attn.output.proj", dim, heads * head_dim)
    yield Row(name=f"{at}.layer_scale.gamma", shape=(dim,), role="vision")


def depthwise(at: str, dim: int, kernel: int) -> Iterator[Row]:
    """A convolution of each channel by itself, and its norm."""
    yield Row(name=f"{at}.conv.weight", shape=(dim, 1, kernel, kernel), role="vision")
    yield from scale(f"{at}.bn", dim)


def point(name: str, out_dim: int, in_dim: int) -> Iterator[Row]:
    """A 1x1 convolution."""
    yield Row(name=f"{name}.weight", shape=(out_dim, in_dim, 1, 1), role="vision")


def scale(name: str, dim: int, role: Role = "vision") -> Iterator[Row]:
    """A norm without a bias."""
    yield from layer_norm(name, dim, role, bias=False)


def embedder(at: str, vocab: int, hidden: int, text_dim: int) -> Iterator[Row]:
    """Tokens of the other sense, two norms, and the way into the text model."""
    yield Row(name=f"{at}.embedding.weight", shape=(vocab, hidden), role="projector")
    yield from scale(f"{at}.hard_embedding_norm", hidden, "projector")
    yield from scale(f"{at}.soft_embedding_norm", hidden, "projector")
    yield from linear(f"{at}.embedding_projection", text_dim, hidden, "projector", None)


def audio(keys: Keys, text_dim: int) -> Iterator[Row]:
    """Two convolutions and conformer layers. Source: transformers models/gemma3n (Gemma3nAudioEncoder)."""
    at, hidden = "model.audio_tower", keys.positive("hidden_size", default=1536)
    heads = keys.positive("conf_num_attention_heads", default=8)
    kernel, mel = (
        keys.positive("conf_conv_kernel_size", default=5),
        keys.positive("input_feat_size", default=128),
    )
    channels = keys.list("sscp_conv_channel_size") or [128, 32]
    if len(channels) != 2 or not all(isinstance(c, int) and 0 < c < 2**20 for c in channels):
        raise keys.bad(("sscp_conv_channel_size",), channels, "two numbers of channels")
    before = 1
    for i, count in enumerate(channels):
        block = f"{at}.subsample_conv_projection.conv_{i}"
        yield Row(name=f"{block}.conv.weight", shape=(count, before, 3, 3), role="audio")
        yield from scale(f"{block}.norm", count, "audio")
        before = count
    yield from linear(
        f"{at}.subsample_conv_projection.input_proj_linear", hidden, mel // 4 * before, "audio", None
    )
    for i in range(keys.positive("conf_num_hidden_layers", default=12)):
        yield from conformer(f"{at}.conformer.{i}", hidden, heads, kernel)
    yield from embedder("model.embed_audio", keys.positive("vocab_size", default=128), hidden, text_dim)


def conformer(at: str, hidden: int, heads: int, kernel: int) -> Iterator[Row]:
    """Half a feed-forward, attention with relative positions, a light convolution, half a feed-forward."""
    yield Row(name=f"{at}.attention.attn.per_dim_scale", shape=(hidden // heads,), role="audio")
    projections = ("q_proj", "k_proj", "v_proj", "relative_position_embedding.pos_proj")
    for name in (*(f"attn.{name}" for name in projections), "post"):
        yield from linear(f"{at}.attention.{name}", hidden, hidden, "audio", None)
    for half in ("ffw_layer_start", "ffw_layer_end"):
        yield from linear(f"{at}.{half}.ffw_layer_1", 4 * hidden, hidden, "audio", None)
        yield from linear(f"{at}.{half}.ffw_layer_2", hidden, 4 * hidden, "audio", None)
    yield from linear(f"{at}.lconv1d.linear_start", 2 * hidden, hidden, "audio", None)
    yield from linear(f"{at}.lconv1d.linear_end", hidden, hidden, "audio", None)
    yield Row(name=f"{at}.lconv1d.depthwise_conv1d.weight", shape=(hidden, 1, kernel), role="audio")
    for name in (
        "attention.post_norm", "attention.pre_attn_norm", "ffw_layer_start.pre_layer_norm",
        "ffw_layer_start.post_layer_norm", "ffw_layer_end.pre_layer_norm", "ffw_layer_end.post_layer_norm",
        "lconv1d.conv_norm", "lconv1d.pre_layer_norm", "norm",
    ):  # fmt: skip
        yield from scale(f"{at}.{name}", hidden, "audio")
