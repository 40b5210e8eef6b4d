"""config.json line by line: file order, nesting, unknown keys, long values, metadata of a GGUF."""

from __future__ import annotations

from plimsoll.ask.models import load
from plimsoll.catalog import config_keys
from plimsoll.catalog import models as catalog
from plimsoll.core.config_lines import explain_config, explain_metadata, shown

MODEL = load("gpt-oss-120b", offline=True)


def test_lines_stand_in_file_order_with_sections_before_their_keys() -> None:
    config = {"vocab_size": 5, "rope_scaling": {"factor": 2.0, "angels": 1}, "hidden_size": 8}
    found = explain_config(MODEL, config, config_keys.find)
    assert [x.path for x in found] == [
        "vocab_size", "rope_scaling", "rope_scaling.factor", "rope_scaling.angels", "hidden_size",
    ]  # fmt: skip
    assert [x.facts is None for x in found] == [False, False, False, True, False]


def test_a_real_config_is_explained_whole() -> None:
    config = catalog.find("gpt-oss-120b").config
    found = {x.path: x for x in explain_config(MODEL, config, config_keys.find)}
    assert set(config) <= set(found)
    experts = found["num_experts_per_tok"]
    assert experts.facts is not None
    assert experts.facts.change == "behaviour"
    assert any("Active parameters" in text for text in experts.effects)
    assert any(x.how.startswith("--override-kv gpt-oss.") for x in experts.overrides)
    assert found["quantization_config.quant_method"].overrides == ()


def test_names_of_modules_are_no_keys() -> None:
    config = {"quantization_config": {"quantized_layers": {"model.layers.0.q": {"quant_algo": "FP8"}}}}
    found = explain_config(MODEL, config, config_keys.find)
    assert [x.path for x in found] == ["quantization_config", "quantization_config.quantized_layers"]


def test_long_values_are_counted() -> None:
    assert shown(["a", "b"] * 40) == '[80 values: 40x "a", 40x "b"]'
    assert shown(list(range(500))) == "[500 values]"
    assert shown({"a": 1, "b": 2}) == "{2 keys}"
    assert shown(None) == "null"
    assert len(shown("x" * 10_000)) < 100


def test_null_has_no_effect_and_deep_nesting_ends() -> None:
    deep: dict[str, object] = {"x": 1}
    for _ in range(200):
        deep = {"x": deep}
    assert len(explain_config(MODEL, deep, config_keys.find)) <= 10
    (line,) = explain_config(MODEL, {"num_key_value_heads": None}, config_keys.find)
    assert line.value == "null"


def test_metadata_of_a_gguf_is_explained_by_the_same_facts() -> None:
    metadata = {
        "general.architecture": "qwen3moe", "qwen3moe.attention.head_count": 32,
        "qwen3moe.attention.head_count_kv": 4, "qwen3moe.expert_used_count": 8, "qwen3moe.angels": 1,
        "tokenizer.ggml.model": "gpt2",
    }  # fmt: skip
    model = load("qwen3-30b-a3b", offline=True)
    found = {x.path: x for x in explain_metadata(model, metadata, config_keys.find_metadata)}
    assert list(found) == [key for key in metadata if key.startswith("qwen3moe.")]
    assert any("8 times smaller" in text for text in found["qwen3moe.attention.head_count_kv"].effects)
    used = found["qwen3moe.expert_used_count"].overrides
    assert [x.how for x in used if x.how] == ["--override-kv qwen3moe.expert_used_count=int:8"]
    assert found["qwen3moe.angels"].facts is None
