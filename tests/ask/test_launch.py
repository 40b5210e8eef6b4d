"""What is launched: verdicts, the model's path, plans."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plimsoll.ask.fit import FitQuestion, fit
from plimsoll.ask.launch import LaunchQuestion, launch, plan_question
from plimsoll.domain.launch import LaunchAnswer
from plimsoll.errors import PlimsollError
from tests.ghost.tiny import write_header


def ask(model: str = "qwen3-30b-a3b", on: str = "rtx-3090 + 64GiB ram", **more: object) -> LaunchAnswer:
    names = ("target", "model_path", "served_name", "host", "port", "speculate", "draft", "draft_path")
    own = {k: more.pop(k) for k in names if k in more}
    fields = {"runtime": "llama.cpp", "weights": "q4_k_m", "context_tokens": 8192, "offline": True, **more}
    question = FitQuestion(models=(model,), on=on, **fields)  # type: ignore[arg-type]
    return launch(LaunchQuestion(fit=question, **own))  # type: ignore[arg-type]


def test_the_promise_is_the_bill_of_fit() -> None:
    answer = ask()
    asked = FitQuestion(models=("qwen3-30b-a3b",), on="rtx-3090 + 64GiB ram", runtime="llama.cpp",
                        weights="q4_k_m", context_tokens=8192, offline=True)  # fmt: skip
    assert answer.promise == fit(asked).bill
    assert answer.exit_code == 0


def test_what_does_not_fit_is_not_launched() -> None:
    answer = ask(weights="bf16", on="rtx-3090 + 16GiB ram")
    assert (answer.verdict, answer.exit_code) == ("does_not_fit", 1)
    assert answer.command is None
    assert answer.files == ()
    assert answer.remedies


def test_a_file_nobody_told_is_said_to_be_unknown_with_its_bytes() -> None:
    answer = ask()
    assert answer.command is not None
    assert answer.command.arguments[2] == "MODEL.gguf"
    assert any("18,550,716,416 bytes" in text for text in answer.unknowns)
    told = ask(model_path="/models/x y.gguf")
    assert told.command is not None
    assert told.command.arguments[2] == "/models/x y.gguf"
    assert told.unknowns == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 0},
        {"port": 70000},
        {"host": ""},
        {"host": "-h"},
        {"target": "compoze"},
        {"served_name": "a\0b"},
    ],
)
def test_what_cannot_be_served_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(PlimsollError) as error:
        ask(**wrong)
    assert error.value.exit_code == 2


def test_a_plan_is_launched_by_its_number_and_a_changed_catalog_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    fields = {"models": ["qwen3-30b-a3b"], "on": "rtx-3090 + 64GiB ram", "runtime": "llama.cpp",
              "weights": "q4_k_m", "context_tokens": 8192, "offline": True}  # fmt: skip
    same = fit(FitQuestion(**{**fields, "models": ("qwen3-30b-a3b",)})).model[0].fingerprint  # type: ignore[arg-type]
    choices = [{"parts": [{"asked": fields, "fingerprint": mark}]} for mark in (same, "0" * 16)]
    path.write_text(json.dumps({"question": "plan", "choices": choices}))
    for number, changed in ((1, False), (2, True)):
        question = plan_question(f"{path}#{number}")
        assert question is not None
        answer = launch(question)
        assert answer.command is not None
        assert any("the plan was made for" in note for note in answer.notes) is changed
    assert plan_question("qwen3-30b-a3b") is None


def test_a_folder_with_a_gguf_is_launched_by_its_file(tmp_path: Path) -> None:
    write_header(tmp_path / "tiny.gguf", "qwen3", "f16")
    for typed in (tmp_path, tmp_path / "tiny.gguf"):
        answer = ask(str(typed), weights="")
        assert answer.command is not None
        assert answer.command.arguments[2] == str(tmp_path / "tiny.gguf")
        assert answer.unknowns == ()


def test_a_draft_model_is_on_the_bill_and_in_the_command() -> None:
    target, small = "meta-llama/Llama-3.3-70B-Instruct", "meta-llama/Llama-3.2-1B-Instruct"
    where = "2x rtx-3090 + 64GiB ram"
    answer = ask(target, where, draft=small, speculate="draft:5", draft_path="/m/small one.gguf")
    fields = {"on": where, "runtime": "llama.cpp", "weights": "q4_k_m", "context_tokens": 8192}
    both = fit(FitQuestion(models=(target, small), offline=True, **fields))  # type: ignore[arg-type]
    assert answer.promise == both.bill
    assert answer.command is not None
    flags = {f.name: f.value for f in answer.command.flags}
    assert flags["--spec-type"] == "draft-simple"
    assert (flags["-md"], flags["--spec-draft-n-max"]) == ("/m/small one.gguf", "5")
    untold = ask(target, where, draft=small)
    assert any("--draft-path" in text for text in untold.unknowns)


def test_own_drafting_layers_are_loaded_and_on_the_bill() -> None:
    asked = {"model": "Qwen/Qwen3.5-9B", "on": "rtx-pro-6000", "runtime": "vllm", "weights": ""}
    plain, drafting = ask(**asked), ask(**asked, speculate="mtp:2")  # type: ignore[arg-type]
    assert drafting.command is not None
    flags = {f.name: f.value for f in drafting.command.flags}
    assert json.loads(flags["--speculative-config"]) == {"method": "mtp", "num_speculative_tokens": 2}
    sizes = [
        sum(x.size_bytes for x in a.promise.lines if x.component == "weights") for a in (plain, drafting)
    ]
    assert sizes[1] > sizes[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"speculate": "mtp"},
        {"speculate": "eagle3"},
        {"speculate": "draft"},
        {"draft_path": "x.gguf"},
        {"draft": "Qwen/Qwen3-0.6B", "runtime": "vllm", "weights": ""},
        {"draft": "Qwen/Qwen3-0.6B", "target": "compose"},
        {"draft": "Qwen/Qwen3-0.6B", "runtime": "llama.cpp==b5781"},
    ],
)
def test_drafting_that_no_bill_holds_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(PlimsollError) as error:
        ask(**wrong)  # type: ignore[arg-type]
    assert error.value.exit_code == 2


def test_the_release_of_the_flags_is_said_where_none_was_named() -> None:
    asked = {"model": "gpt-oss-120b", "on": "rtx-pro-6000", "weights": ""}
    assert any("flags of vllm 0.33.0" in n for n in ask(**asked, runtime="vllm").notes)  # type: ignore[arg-type]
    for more in ({"runtime": "vllm==0.31"}, {"runtime": "vllm", "target": "compose"}):
        assert not any("flags of" in n for n in ask(**asked, **more).notes)  # type: ignore[arg-type]


def test_what_is_missing_is_said_in_bytes() -> None:
    answer = ask("llama-3.3-70b", "2x rtx-3090 + 64GiB ram", runtime="vllm", weights="awq")
    assert "GiB are missing on gpu0" in answer.reason
