"""Models by the names people type, and what their records say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from plimsoll.catalog import models
from plimsoll.errors import AmbiguousName, CatalogError, UnknownModel


@pytest.mark.parametrize(
    ("written", "model_id"),
    [
        ("gpt-oss-120b", "openai/gpt-oss-120b"), ("GPT_OSS 20B", "openai/gpt-oss-20b"),
        ("gpt-oss:20b", "openai/gpt-oss-20b"), ("openai/gpt-oss-120b", "openai/gpt-oss-120b"),
        ("qwen3 30b a3b", "Qwen/Qwen3-30B-A3B"), ("qwen3-30b-a3b", "Qwen/Qwen3-30B-A3B"),
        ("Qwen3:30b-a3b", "Qwen/Qwen3-30B-A3B"), ("qwen/qwen3-30b-a3b", "Qwen/Qwen3-30B-A3B"),
        ("qwen3:30b", "Qwen/Qwen3-30B-A3B"), ("qwen3.30b.a3b", "Qwen/Qwen3-30B-A3B"),
        ("qwen3-30b-a3b-2507", "Qwen/Qwen3-30B-A3B-Instruct-2507"), ("qwen3-4b", "Qwen/Qwen3-4B"),
        ("llama 3.3 70b", "meta-llama/Llama-3.3-70B-Instruct"),
        ("Llama-3.3-70B", "meta-llama/Llama-3.3-70B-Instruct"),
        ("llama3.1:8b", "meta-llama/Llama-3.1-8B"), ("llama 3 70b", "meta-llama/Meta-Llama-3-70B"),
        ("qwen2.5-coder 32b", "Qwen/Qwen2.5-Coder-32B"), ("tinyllama", "TinyLlama/TinyLlama-1.1B-Chat-v1.0"),
        ("llama 3.1 8b instruct", "meta-llama/Llama-3.1-8B-Instruct"),
        ("llama 4 scout", "meta-llama/Llama-4-Scout-17B-16E-Instruct"),
        ("gemma3:27b", "google/gemma-3-27b-it"),
        ("gemma 4 31b", "google/gemma-4-31B-it"), ("deepseek r1", "deepseek-ai/DeepSeek-R1"),
        ("deepseek-r1:32b", "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B"), ("phi4:14b", "microsoft/phi-4"),
        ("kimi k2", "moonshotai/Kimi-K2-Instruct"), ("GLM 4.5 Air", "zai-org/GLM-4.5-Air"),
        ("mixtral:8x7b", "mistralai/Mixtral-8x7B-v0.1"), ("command r", "CohereLabs/c4ai-command-r-v01"),
        ("command r+", "CohereLabs/c4ai-command-r-plus-08-2024"), ("smollm3", "HuggingFaceTB/SmolLM3-3B"),
        ("nemotron 3 nano", "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16"),
        ("exaone 4 32b", "LGAI-EXAONE/EXAONE-4.0-32B"),
        ("qwen3 coder 30b", "Qwen/Qwen3-Coder-30B-A3B-Instruct"), ("minimax m2", "MiniMaxAI/MiniMax-M2"),
    ],
)  # fmt: skip
def test_a_name_finds_its_model(written: str, model_id: str) -> None:
    assert models.find(written).id == model_id


def test_every_id_and_every_alias_finds_its_own_record() -> None:
    for model_id in models.find_all():
        record = models.find(model_id)
        assert record.id == model_id
        for alias in record.aliases:
            assert models.find(alias).id == model_id


def test_an_ambiguous_name_asks() -> None:
    with pytest.raises(AmbiguousName) as caught:
        models.find("mistral 7b")
    assert {"mistralai/Mistral-7B-Instruct-v0.3", "mistralai/Mistral-7B-v0.1"} <= set(caught.value.nearest)


@pytest.mark.parametrize(
    "written", ["Qwen3-72B", "Qwen/Qwen3-72B", "qwen3 110b", "Qwen3-72B-Instruct", "qwen3:70b"]
)
def test_a_model_that_does_not_exist_is_said_so(written: str) -> None:
    with pytest.raises(UnknownModel, match=r"no such model: Qwen3-[0-9]+B does not exist") as caught:
        models.find(written)
    assert caught.value.nearest
    assert caught.value.hint.startswith("nearest: ")
    assert models.is_known_missing(written)


@pytest.mark.parametrize(
    ("written", "first"),
    [
        ("llama 3.4 70b", "meta-llama/Llama-3.3-70B-Instruct"), ("gpt-oss-130b", "openai/gpt-oss-120b"),
        ("qwen3 31b", "Qwen/Qwen3-32B"), ("deepsek r1", "deepseek-ai/DeepSeek-R1"),
        ("unsloth/Qwen3-30B-A3B", "Qwen/Qwen3-30B-A3B"),
    ],
)  # fmt: skip
def test_an_unknown_name_suggests(written: str, first: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        models.find(written)
    assert caught.value.nearest[0] == first
    assert not models.is_known_missing(written)


def test_nothing_like_it() -> None:
    with pytest.raises(UnknownModel) as caught:
        models.find("zebra crossing")
    assert caught.value.nearest == ()


def test_a_record_says_where_its_facts_are_from() -> None:
    record = models.find("qwen3-30b-a3b")
    assert record.config["num_experts"] == 128
    assert record.config["num_attention_heads"] == 32
    assert record.config_from == "config.json"
    assert record.published is not None
    assert record.published.parameters_count == 30_532_122_624
    assert any("Qwen3-30B-A3B" in source for source in record.sources)
    assert record.license == "apache-2.0"
    assert record.field_sources["license"]


def test_shortened_lists_are_whole_again() -> None:
    assert (
        len(models.load("Qwen/Qwen3-235B-A22B-FP8").config["quantization_config"]["modules_to_not_convert"])
        == 283
    )
    assert (
        len(models.load("zai-org/GLM-5-FP8").config["quantization_config"]["modules_to_not_convert"]) == 712
    )
    assert (
        len(models.load("nvidia/DeepSeek-V3.1-NVFP4").config["quantization_config"]["exclude_modules"]) == 246
    )
    assert models.load("openai/gpt-oss-120b").config["layer_types"].count("sliding_attention") == 18


@pytest.mark.parametrize(
    "text",
    ["{", '{"id": "a/b"}', "[]", '{"id": "a/b", "config": {}, "license": {"name": "x"}}', "[" * 100_000],
)
def test_a_bad_file_is_a_catalog_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text(text)
    with pytest.raises(CatalogError):
        models.read_file(str(path))


def test_looking_up_loads_nothing_heavy() -> None:
    code = "from plimsoll.catalog import models; models.find('gpt-oss-120b')"
    command = [sys.executable, "-c", f"import sys; {code}; print(*sys.modules)"]
    modules = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert not {"difflib", "tomllib", "plimsoll.parse", "numpy", "importlib.resources"} & set(modules)
