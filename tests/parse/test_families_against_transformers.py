"""Every family against `transformers` itself, on the meta device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plimsoll.domain.model import LayerSpec, Model
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
