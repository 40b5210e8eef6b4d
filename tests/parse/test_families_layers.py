"""What each layer keeps: caches and states against figures of the engines and the papers."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from plimsoll.domain.model import LayerSpec, Model
from plimsoll.errors import MalformedConfig, MissingConfigKey, PlimsollError, UnsupportedArchitecture
from plimsoll.parse.config import model_from_config

MODELS = Path(__file__).parent.parent / "fixtures" / "models"


def config(name: str) -> dict[str, Any]:
    """The config of a fixture."""
    read: dict[str, Any] = json.loads((MODELS / f"{name}.json").read_text())["config"]
    return read


def model(name: str) -> Model:
    """The model built from a fixture's config."""
    return model_from_config(config(name), id=name)


def values_per_token(layer: LayerSpec) -> int:
    """What one token adds to the cache of a layer, were there no window."""
    if layer.attention == "latent":
        return layer.latent_dim + layer.rope_dim
    return layer.kv_heads_count * (layer.key_dim + layer.value_dim)


# Bytes per token in bf16 of the layers without and with a window: DeepSeek-V3 report (70 KB per token),
# and the key-value shapes of the published configs.
@pytest.mark.parametrize(
    ("name", "unbounded_bytes", "bounded_bytes"),
    [
        ("deepseek_v3", 61 * 576 * 2, 0),
        ("deepseek_v2", 60 * 576 * 2, 0),
        ("kimi_k25", 61 * 576 * 2, 0),
        ("glm4_moe", 46 * 8 * 2 * 128 * 2, 0),
        ("gpt_oss", 18 * 8 * 2 * 64 * 2, 18 * 8 * 2 * 64 * 2),
        ("llama4", 12 * 8 * 2 * 128 * 2, 36 * 8 * 2 * 128 * 2),
        ("qwen3_5", 16 * 4 * 2 * 256 * 2, 0),
        ("qwen3_next", 12 * 2 * 2 * 256 * 2, 0),
        ("nemotron_h_nano", 6 * 2 * 2 * 128 * 2, 0),
        ("kimi_linear", 7 * 576 * 2, 0),
        ("mimo_v2_flash", 9 * 4 * (192 + 128) * 2, 39 * 8 * (192 + 128) * 2),
        ("step3p7", 12 * 8 * 2 * 128 * 2, 33 * 8 * 2 * 128 * 2),
        ("deepseek_v4", 0, 43 * 512 * 2),
    ],
)
def test_cache_bytes_per_token(name: str, unbounded_bytes: int, bounded_bytes: int) -> None:
    layers = model(name).layers
    assert sum(values_per_token(x) for x in layers if x.window_tokens is None) * 2 == unbounded_bytes
    assert sum(values_per_token(x) for x in layers if x.window_tokens is not None) * 2 == bounded_bytes


# Shapes that vLLM's MambaStateShapeCalculator gives (model_executor/layers/mamba/mamba_utils.py, 0.33.0):
# (kernel - 1) x channels, and heads x head_dim x state.
@pytest.mark.parametrize(
    ("name", "count", "kind", "convolution", "recurrence"),
    [
        ("qwen3_next", 36, "gated_delta", 3 * (2 * 16 * 128 + 32 * 128), 32 * 128 * 128),
        ("qwen3_5", 48, "gated_delta", 3 * (2 * 16 * 128 + 48 * 128), 48 * 128 * 128),
        ("nemotron_h_nano", 23, "mamba2", 3 * (64 * 64 + 2 * 8 * 128), 64 * 64 * 128),
        ("granitemoehybrid", 36, "mamba2", 3 * (8192 + 2 * 128), 128 * 64 * 128),
        ("falcon_h1", 72, "mamba2", 3 * (4096 + 2 * 2 * 256), 32 * 128 * 256),
        ("kimi_linear", 20, "kda", 3 * 3 * 32 * 128, 32 * 128 * 128),
        ("bailing_hybrid", 35, "kda", 3 * 3 * 32 * 128, 32 * 128 * 128),
        ("minimax", 70, "lightning", 0, 64 * 128 * 128),
        ("lfm2_moe", 18, "short_conv", 2 * 2048, 0),
    ],
)
def test_states_per_sequence(name: str, count: int, kind: str, convolution: int, recurrence: int) -> None:
    states = [layer.state for layer in model(name).layers if layer.state is not None]
    assert len(states) == count
    assert {state.kind for state in states} == {kind}
    assert {state.conv_values_count for state in states} == {convolution}
    assert {state.ssm_values_count for state in states} == {recurrence}


def test_configs_that_name_the_type_of_the_state_are_heard() -> None:
    assert {x.state.ssm_format for x in model("qwen3_5").layers if x.state} == {"f32"}
    assert {x.state.ssm_format for x in model("nemotron_h_nano").layers if x.state} == {"f32"}
    assert {x.state.ssm_format for x in model("granitemoehybrid").layers if x.state} == {""}


@pytest.mark.parametrize(
    ("name", "indexed"),
    [
        ("deepseek_v32", 61),
        ("glm_moe_dsa", 78),
        ("glm_moe_dsa_shared", 21),
        ("minimax_m3", 57),
        ("deepseek_v4", 21),
    ],
)
def test_layers_that_cache_an_indexer_key(name: str, indexed: int) -> None:
    assert sum(layer.indexer_dim == 128 for layer in model(name).layers) == indexed


def test_compressed_entries_of_deepseek_v4() -> None:
    rates = [layer.compress_rate_tokens for layer in model("deepseek_v4").layers]
    assert rates[:4] == [0, 0, 4, 128]
    assert (rates.count(0), rates.count(4), rates.count(128)) == (2, 21, 20)


def test_drafting_layers_are_none_of_the_model() -> None:
    built = model("deepseek_v3")
    drafts = [tensor for tensor in built.tensors if tensor.role == "mtp"]
    assert len(built.layers) == 61
    assert all(tensor.layer is None for tensor in drafts)
    assert {tensor.name.split(".")[2] for tensor in drafts} == {"61"}


def test_experts_stored_input_first_are_marked() -> None:
    for name in ("gpt_oss", "llama4"):
        stacks = [t for t in model(name).tensors if t.role == "expert" and len(t.shape) == 3]
        assert stacks
        assert all(tensor.is_input_major for tensor in stacks)
    assert not any(tensor.is_input_major for tensor in model("deepseek_v3").tensors)


def test_null_and_missing_query_rank_mean_plain_queries() -> None:
    with_null = config("deepseek_v2_lite")
    assert with_null["q_lora_rank"] is None
    without = {key: value for key, value in with_null.items() if key != "q_lora_rank"}
    assert model_from_config(with_null, id="a").tensors == model_from_config(without, id="a").tensors


def test_kimi_k3_is_not_taken_for_kimi_linear() -> None:
    changed = {**config("kimi_linear"), "routed_expert_hidden_size": 3584}
    with pytest.raises(UnsupportedArchitecture, match="routed_expert_hidden_size"):
        model_from_config(changed, id="k3")


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("granitemoehybrid", "layer_types", ["mamba"] * 3),
        ("granitemoehybrid", "mamba_d_head", 63),
        ("deepseek_v3", "moe_layer_freq", 2),
        ("deepseek_v4", "compress_ratios", [0, 0, 5] * 20),
        ("glm_moe_dsa_shared", "indexer_types", ["full"]),
        ("nemotron_h", "hybrid_override_pattern", "M-X"),
        ("nemotron_nas", "block_configs", []),
        ("laguna", "num_attention_heads_per_layer", [48, 64]),
        ("mimo_v2_flash", "swa_head_dim", 64),
        ("kimi_linear", "linear_attn_config", {"full_attn_layers": ["x"], "kda_layers": [1]}),
    ],
)
def test_contradictions_are_refused(name: str, key: str, value: Any) -> None:
    with pytest.raises(MalformedConfig):
        model_from_config({**config(name), key: value}, id=name)


def outcome(values: dict[str, Any]) -> Model | PlimsollError:
    """The model, or the error raised on purpose; anything else goes through."""
    try:
        return model_from_config(values, id="changed")
    except PlimsollError as error:
        return error


@pytest.mark.parametrize("name", ["nemotron_h", "qwen3_next", "gpt_oss"])
def test_every_key_may_be_absent_or_absurd_without_a_crash(name: str) -> None:
    base = config(name)
    base.pop("quantization_config", None)
    for key in base:
        for value in (None, -1, "x", [1], float("nan")):
            assert isinstance(outcome(copy.deepcopy({**base, key: value})), Model | PlimsollError)


def test_a_size_without_which_nothing_can_be_built_is_named() -> None:
    changed = config("deepseek_v3")
    del changed["kv_lora_rank"]
    with pytest.raises(MissingConfigKey, match="kv_lora_rank"):
        model_from_config(changed, id="x")
