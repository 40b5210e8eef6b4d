"""Overrides: the flag of each runtime, and what no flag can do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from plimsoll.catalog import config_keys
from plimsoll.core.config_overrides import RUNTIMES, overrides

MOE = {"model_type": "qwen3_moe", "num_experts_per_tok": 8, "rope_theta": 1e6, "rope_scaling": None}
YARN = {
    "rope_theta": 150000,
    "rope_scaling": {"type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096},
}


def told(config: dict[str, Any], path: str, value: object, architecture: str = "qwen3moe") -> dict[str, str]:
    facts = config_keys.find(path)
    assert facts is not None
    found = overrides(tuple(path.split(".")), facts, value, config, architecture)
    assert tuple(x.runtime for x in found) == RUNTIMES
    assert all(x.how or x.note for x in found)
    return {x.runtime: x.how for x in found}


def argument(how: str) -> Any:
    """The JSON between the quotes of a flag."""
    return json.loads(how.partition("'")[2].rpartition("'")[0])


def test_a_plain_number() -> None:
    found = told(MOE, "num_experts_per_tok", 16)
    assert found["llama_cpp"] == "--override-kv qwen3moe.expert_used_count=int:16"
    assert argument(found["vllm"]) == {"num_experts_per_tok": 16}
    assert argument(found["sglang"]) == {"num_experts_per_tok": 16}
    assert found["transformers"] == "config.num_experts_per_tok = 16"
    assert found["ollama"] == ""


def test_a_flag_of_its_own_comes_first() -> None:
    found = told(MOE, "max_position_embeddings", 65536)
    assert found == {
        "llama_cpp": "--ctx-size 65536", "vllm": "--max-model-len 65536", "sglang": "--context-length 65536",
        "transformers": "config.max_position_embeddings = 65536", "ollama": "PARAMETER num_ctx 65536",
    }  # fmt: skip


def test_a_truth_value_is_written_as_llama_cpp_reads_it() -> None:
    found = told(MOE, "norm_topk_prob", False)
    assert found["llama_cpp"] == "--override-kv qwen3moe.expert_weights_norm=bool:false"


def test_an_array_cannot_be_overridden_in_a_gguf() -> None:
    assert told(MOE, "layer_types", ["full_attention"])["llama_cpp"] == ""


def test_a_model_without_a_name_in_llama_cpp() -> None:
    assert told(MOE, "num_experts_per_tok", 16, architecture="")["llama_cpp"] == ""


def test_a_rotary_key_becomes_the_whole_object_that_transformers_5_keeps() -> None:
    found = told(YARN, "rope_scaling.factor", 4.0)
    whole = {
        "rope_type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 4096,
        "rope_theta": 150000,
    }
    assert argument(found["vllm"]) == {"rope_parameters": whole}
    # SGLang 0.5.9 pins Transformers 4, which keeps the names of the file.
    assert argument(found["sglang"]) == {"rope_scaling": {**YARN["rope_scaling"], "factor": 4.0}}  # type: ignore[dict-item]
    assert found["llama_cpp"] == "--rope-scale 4.0"
    assert YARN["rope_scaling"]["factor"] == 32.0  # type: ignore[index]


def test_the_base_of_the_frequencies_keeps_the_rest() -> None:
    found = told(YARN, "rope_theta", 5e6)
    assert argument(found["vllm"])["rope_parameters"]["factor"] == 32.0
    assert argument(found["vllm"])["rope_parameters"]["rope_theta"] == 5e6
    assert argument(found["sglang"]) == {"rope_theta": 5e6}


def test_a_nested_config_is_merged_by_vllm_and_replaced_by_sglang() -> None:
    config = {"text_config": {"num_experts_per_tok": 8, "hidden_size": 64}}
    found = told(config, "text_config.num_experts_per_tok", 4)
    assert argument(found["vllm"]) == {"text_config": {"num_experts_per_tok": 4}}
    assert found["sglang"] == ""
    assert found["transformers"] == "config.text_config.num_experts_per_tok = 4"


def test_every_key_of_every_group_has_an_answer_for_every_runtime() -> None:
    for facts in config_keys.find_all():
        for value in (1, 1.5, True, "x", [1, 2], {"a": 1}, None):
            found = overrides((facts.key,), facts, value, {facts.key: value}, "llama")
            assert tuple(x.runtime for x in found) == RUNTIMES
            assert not any("{arch}" in x.how or "{value}" in x.how for x in found)


@pytest.mark.oracle
@pytest.mark.parametrize("factor", [2.0, 8.0])
def test_transformers_reads_from_the_override_what_it_reads_from_an_edited_file(
    tmp_path: Any, factor: float
) -> None:
    from transformers import AutoConfig

    scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096}
    config = {
        "model_type": "qwen3", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 64, "vocab_size": 100,
        "rope_theta": 1e6, "max_position_embeddings": 16384, "rope_scaling": scaling,
    }  # fmt: skip
    edited = {**config, "rope_scaling": {**scaling, "factor": factor}}
    loaded = []
    for name, content in (("first", config), ("second", edited)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(content))
        loaded.append(AutoConfig.from_pretrained(tmp_path / name))
    loaded[0].update(argument(told(config, "rope_scaling.factor", factor)["vllm"]))
    assert loaded[0].rope_parameters == loaded[1].rope_parameters
