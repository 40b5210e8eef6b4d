"""Every family against `transformers` itself, on the meta device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plimsoll.domain.model import LayerSpec, Model
from plimsoll.errors import MalformedConfig
from plimsoll.parse.config import model_from_config
from tests.parse import transformers_oracle as oracle

pytestmark = pytest.mark.oracle

_ATTENTION = {
    "full_attention": ("full",), "sliding_attention": ("sliding",), "chunked_attention": ("chunked",),
    "linear_attention": ("none",), "mamba": ("none",), "conv": ("none",),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", oracle.fixture_paths(), ids=lambda path: path.stem)
def test_table_equals_what_transformers_builds(path: Path) -> None:
    fixture = json.loads(path.read_text())
    if fixture.get("class", "") is None:
        pytest.skip("Transformers has no class for this model")
    for package in fixture.get("needs", []):
        pytest.importorskip(package)
    model = model_from_config(fixture["config"], id=fixture["id"])
    theirs = oracle.rows_of(oracle.build(fixture["config"], fixture.get("class", "")))
    ours = [(t.name, t.shape, t.format, t.is_buffer) for t in model.tensors if t.role not in ("mtp", "other")]
    assert sorted(set(theirs) - set(ours))[:8] == []
    assert sorted(set(ours) - set(theirs))[:8] == []
    assert len(ours) == len(theirs)
    assert oracle.facts(theirs)["sha256"] == fixture["oracle"]["sha256"]
    compare_layers(model, oracle.transformers_config(fixture["config"]).get_text_config())


def compare_layers(model: Model, config: Any) -> None:
    """What a Transformers config says about each layer, where it says it."""
    assert len(model.layers) == config.num_hidden_layers
    assert model.vocab_size == config.vocab_size
    assert model.hidden_dim == config.hidden_size
    kinds = getattr(config, "layer_types", None) or [None] * len(model.layers)
    for layer, kind in zip(model.layers, kinds, strict=True):
        compare_layer(layer, kind, config)


def compare_layer(layer: LayerSpec, kind: str | None, config: Any) -> None:
    """Attention kind, window and query heads of one layer."""
    if kind in _ATTENTION and layer.attention != "latent":
        assert layer.attention in _ATTENTION[kind], layer.index
    if layer.attention == "sliding":
        # Transformers reads MiMo's sliding_window_size as one less than its own window.
        extra = 1 if getattr(config, "sliding_window_size", None) else 0
        assert layer.window_tokens == config.sliding_window - extra, layer.index
    heads = query_heads(config)
    if layer.attention == "full" and heads is not None:
        assert layer.query_heads_count == heads, layer.index


def query_heads(config: Any) -> int | None:
    """num_attention_heads, or None where layers differ and the class refuses one number for all."""
    try:
        heads = config.num_attention_heads
    except RuntimeError:
        return None
    return heads if isinstance(heads, int) else None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("llama", {"num_attention_heads": 31}), ("llama", {"hidden_size": "4096"}),
        ("llama", {"hidden_size": 4095, "head_dim": 128}), ("gemma2", {"num_attention_heads": 15}),
        ("gemma2", {"layer_types": ["full_attention"]}), ("olmo3", {"layer_types": ["full_attention"]}),
        ("olmo_hybrid", {"layer_types": ["full_attention"] * 32}), ("gpt_neox", {"num_attention_heads": 15}),
        ("internlm3", {"qkv_bias": True, "bias": False}), ("falcon", {"num_attention_heads": 70}),
        ("gemma3n_text", {"intermediate_size": [1, 2]}), ("gemma4_text", {"num_kv_shared_layers": 26}),
    ],
)  # fmt: skip
def test_what_transformers_refuses_is_refused(name: str, changes: dict[str, Any]) -> None:
    source = "gemma4" if name == "gemma4_text" else name
    config = json.loads((oracle.FIXTURES / f"{source}.json").read_text())["config"]
    if name == "gemma4_text":
        config = {**config["text_config"], "architectures": ["Gemma4ForCausalLM"]}
    model_from_config(config, id="test")
    oracle.build(config)
    edited = {**config, **changes}
    with pytest.raises(MalformedConfig):
        model_from_config(edited, id="test")
    with pytest.raises(Exception):  # noqa: B017, PT011 - Transformers raises many kinds
        oracle.build(edited)
