"""`plimsoll plan` as a person or a program calls it, and what `plimsoll launch` makes of a saved one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from plimsoll.doors.cli.main import main

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch
SMALL = ["plan", "qwen3-8b", "--on", "rtx-3060-12gb + 32GiB ram", "--offline"]

_IDS = str.maketrans(".-", "__")


def run(capsys: Capture, monkeypatch: Patch, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["plimsoll", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    out, err = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, out, err


def test_the_answer_reads_well(capsys: Capture, monkeypatch: Patch) -> None:
    code, out, err = run(capsys, monkeypatch, *SMALL)
    assert (code, err) == (0, "")
    for words in ("PLAN  Qwen/Qwen3-8B on", "why 1 is first:", "plimsoll launch qwen3-8b --on", "against 1:",
                  "generation, tokens/s:", "█", "ways were looked at"):  # fmt: skip
        assert words in out


def test_json_is_the_whole_answer(capsys: Capture, monkeypatch: Patch) -> None:
    code, out, _ = run(capsys, monkeypatch, *SMALL, "--json", "--goal", "agents")
    answer = json.loads(out)
    assert (code, answer["question"], answer["goal"]) == (0, "plan", "agents")
    part = answer["choices"][0]["parts"][0]
    assert set(part["figures"]) >= {"decode", "prefill", "turn"}
    assert part["asked"]["models"] == ["qwen3-8b"]
    assert "deployments" not in part


def test_a_saved_plan_is_launched(capsys: Capture, monkeypatch: Patch, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    code, out, _ = run(capsys, monkeypatch, *SMALL, "--save", str(file), "--runtime", "llama.cpp")
    assert code == 0
    assert f"saved: plimsoll launch {file}#1" in out
    plan = json.loads(file.read_text(encoding="utf-8"))
    code, out, _ = run(capsys, monkeypatch, "launch", f"{file}#2")
    assert code == 0
    assert "llama-server" in out
    assert "the plan was made for" not in out
    assert plan["choices"][1]["parts"][0]["weight_format"] in out.lower()


def test_a_plan_that_cannot_be_written_is_one_sentence(
    capsys: Capture, monkeypatch: Patch, tmp_path: Path
) -> None:
    code, _, err = run(capsys, monkeypatch, *SMALL, "--save", str(tmp_path / "no" / "plan.json"))
    assert code == 2
    assert "cannot be written" in err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--min-tps", "5000"], 1, "no plan reaches 5000 tokens/s; the nearest is"),
        (["--goal", "batch", "--max-ttft", "1s"], 2, "nobody waits for a batch"),
        (["--max-ttft", "fast"], 2, "is not a time"),
        (["--disk", "7GB/h"], 2, "is not a rate"),
        (["--goal", "poetry"], 2, "poetry"),
        (["--runtime", "vlm"], 2, "there is no runtime 'vlm'"),
        (["--weights", "q9_z"], 2, "q9_z"),
    ],
)
def test_exit_codes(capsys: Capture, monkeypatch: Patch, words: list[str], code: int, said: str) -> None:
    found, out, err = run(capsys, monkeypatch, *SMALL, *words)
    assert found == code, out + err
    assert said in out + err


def test_no_model_is_a_usage_error(capsys: Capture, monkeypatch: Patch) -> None:
    code, _, err = run(capsys, monkeypatch, "plan", "--on", "rtx-4090")
    assert code == 2
    assert "no model is named" in err


@pytest.mark.parametrize("runtime", ["llama.cpp", "vllm==0.33", "tensorrt-llm"])
def test_the_catalog_is_ranked_for_a_runtime_as_it_is_spelled(
    capsys: Capture, monkeypatch: Patch, runtime: str
) -> None:
    words = ("plan", "--all-models", "gpt-oss-20b", "--on", "rtx-5090", "--offline", "--runtime")
    code, out, err = run(capsys, monkeypatch, *words, runtime, "--json")
    assert code == 0, out + err
    parts = [part for choice in json.loads(out)["choices"] for part in choice["parts"]]
    assert parts
    assert {part["model"]["runtime"] for part in parts} == {runtime.partition("==")[0].translate(_IDS)}


def test_a_runtime_that_is_none_is_refused_for_the_catalog(capsys: Capture, monkeypatch: Patch) -> None:
    code, _, err = run(capsys, monkeypatch, "plan", "--all-models", "--on", "rtx-5090", "--runtime", "vlm")
    assert code == 2
    assert "did you mean vllm?" in err


@pytest.mark.parametrize("card", ["rtx-3090", "2x rtx-pro-6000"])
def test_a_misspelt_format_is_said_to_be_one_also_where_nothing_would_fit(
    capsys: Capture, monkeypatch: Patch, card: str
) -> None:
    words = ["plan", "gpt-oss-120b", "--on", card, "--weights", "q4_k_n"]
    code, _, err = run(capsys, monkeypatch, *words)
    assert code == 2
    assert "'q4_k_n' is not" in err
    assert "q4_k_m" in err
