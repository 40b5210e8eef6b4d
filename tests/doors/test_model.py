"""`plimsoll model` as a person or a program calls it."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.doors.test_fit import Capture, Patch, run

MODELS = (
    "gpt-oss-120b", "qwen3-30b-a3b", "gemma-3-27b-it", "deepseek-v3", "Qwen3-Next-80B-A3B-Instruct",
    "llama 3.3 70b",
)  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_the_glance_names_everything(capsys: Capture, monkeypatch: Patch, name: str) -> None:
    code, out, err = run(capsys, monkeypatch, "model", name, "--offline")
    assert (code, err) == (0, "")
    for words in (
        "layers:", "parameters:", "active per token:", "as published:", "context:", "cache of one sequence:",
        "1,048,576", "vocabulary:", "chat format:", "licence:", "languages:", "open: weights", "unknown:",
    ):  # fmt: skip
        assert words in out, words


@pytest.mark.parametrize("name", MODELS)
def test_the_keys_are_explained_line_by_line(capsys: Capture, monkeypatch: Patch, name: str) -> None:
    code, out, err = run(capsys, monkeypatch, "model", name, "--config", "--offline")
    assert (code, err) == (0, "")
    assert "change without retraining? no: changes shapes" in out
    assert "max_position_embeddings" in out
    assert "--max-model-len" in out
    assert "keys, " in out.splitlines()[-1] or out.splitlines()[-1].startswith("unknown: ")


def test_no_override_is_printed_twice(capsys: Capture, monkeypatch: Patch) -> None:
    _, out, _ = run(capsys, monkeypatch, "model", "gpt-oss-120b", "--config", "--offline")
    told = [line for line in out.splitlines() if line.startswith("    vllm: --")]
    assert len(told) == len(set(told)) > 3
    assert "as for rope_theta" in out


def test_json_holds_all_of_it(capsys: Capture, monkeypatch: Patch) -> None:
    code, out, _ = run(capsys, monkeypatch, "model", "gpt-oss-120b", "--config", "--json", "--offline")
    answer = json.loads(out)
    assert code == 0
    assert answer["question"] == "model"
    assert answer["parameters"]["total_count"] == 116_829_156_672
    assert len(answer["layers"]) == 36
    assert {
        "shares",
        "formats",
        "cache",
        "context",
        "chat",
        "card",
        "unknowns",
        "sources",
        "versions",
    } <= set(answer)
    key = next(key for key in answer["keys"] if key["path"] == "num_experts_per_tok")
    assert key["facts"]["change"] == "behaviour"
    assert key["facts"]["sources"]
    assert {x["runtime"] for x in key["overrides"]} == {
        "llama_cpp",
        "vllm",
        "sglang",
        "transformers",
        "ollama",
    }


def test_the_picture_is_written(capsys: Capture, monkeypatch: Patch, tmp_path: Path) -> None:
    path = tmp_path / "a.svg"
    code, _, err = run(capsys, monkeypatch, "model", "gpt-oss-120b", "--svg", str(path), "--offline")
    assert code == 0
    assert "drawn:" in err
    assert ElementTree.parse(path).getroot().tag.endswith("svg")


def test_a_picture_that_cannot_be_written_is_one_sentence(
    capsys: Capture, monkeypatch: Patch, tmp_path: Path
) -> None:
    path = tmp_path / "no" / "a.svg"
    code, out, err = run(capsys, monkeypatch, "model", "gpt-oss-120b", "--svg", str(path), "--offline")
    assert (code, out) == (2, "")
    assert "cannot be written" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(("name", "code"), [("qwen3-110b", 2), ("./nowhere.gguf", 4)])
def test_errors_are_one_object_with_json(capsys: Capture, monkeypatch: Patch, name: str, code: int) -> None:
    found, out, _ = run(capsys, monkeypatch, "model", name, "--json", "--offline")
    assert found == code
    assert {"error", "message", "hint"} <= set(json.loads(out))
