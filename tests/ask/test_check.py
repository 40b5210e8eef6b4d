"""`check` on real rules: the verdicts of the machines and models that people ask about most."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from plimsoll.ask.check import CheckQuestion, check
from plimsoll.ask.check_frontier import frontier
from plimsoll.ask.check_matrix import MatrixQuestion, matrix
from plimsoll.ask.check_stack import StackQuestion, stack
from plimsoll.ask.check_ui import uis
from plimsoll.ask.models import from_catalog
from plimsoll.catalog import sources
from plimsoll.domain.check import CheckAnswer
from plimsoll.errors import BadSetting, UnknownName, UnknownRuntime, UsageError
from tests.ghost.adapter_files import write_adapter

MODELS = ("gpt-oss-120b", "Qwen/Qwen3-30B-A3B", "deepseek-ai/DeepSeek-V3")
MACHINES = (
    "rtx-pro-6000", "rtx-4090", "rtx-3090", "h100", "mi300x", "strix halo", "mac studio m3 ultra",
    "epyc-9554",
)  # fmt: skip

RUNTIMES = (
    "vllm", "sglang", "llama.cpp", "ollama", "tensorrt-llm", "mlx", "exllama", "transformers",
    "ktransformers", "lmdeploy", "ik_llama.cpp",
)  # fmt: skip


def ask(model: str, on: str, **more: Any) -> CheckAnswer:
    return check(CheckQuestion(model=model, on=on, offline=True, **more))


def said(answer: CheckAnswer, aspect: str) -> str:
    return next(v.outcome for v in answer.verdicts if v.aspect == aspect)


@pytest.mark.parametrize("on", MACHINES)
@pytest.mark.parametrize("model", MODELS)
def test_every_verdict_shown_has_a_source_and_a_day(model: str, on: str) -> None:
    answer = ask(model, on)
    assert said(answer, "device") != "unknown"
    assert said(answer, "model") != "unknown"
    for verdict in answer.verdicts:
        if verdict.outcome != "unknown":
            assert verdict.sources
            assert verdict.checked_on
            assert verdict.note.endswith(".")
    assert answer.oldest_check
    assert {source.id for source in answer.sources} == {s for v in answer.verdicts for s in v.sources}


@pytest.mark.parametrize(
    ("model", "on", "more", "aspect", "wanted"),
    [
        ("gpt-oss-120b", "rtx-pro-6000", {"runtime": "vllm==0.33"}, "weights", "penalty"),
        ("gpt-oss-120b", "rtx-pro-6000", {"runtime": "llama.cpp"}, "weights", "native"),
        ("gpt-oss-120b", "rtx-pro-6000", {"runtime": "vllm==0.10.0"}, "model", "unknown"),
        ("gpt-oss-120b", "rtx-3090", {"runtime": "vllm", "kv": "fp8"}, "kv", "unsupported"),
        ("Qwen/Qwen3-30B-A3B", "rtx-3090", {"runtime": "vllm", "kv": "fp8"}, "kv", "supported"),
        ("Qwen/Qwen3-30B-A3B", "rtx-3090", {"runtime": "vllm", "weights": "fp8"}, "weights", "penalty"),
        ("Qwen/Qwen3-30B-A3B", "rtx-4090", {"runtime": "vllm", "weights": "fp8"}, "weights", "native"),
        ("Qwen/Qwen3-30B-A3B", "rtx-pro-6000", {"runtime": "vllm", "weights": "nvfp4"}, "weights", "native"),
        ("Qwen/Qwen3-30B-A3B", "h100", {"runtime": "vllm", "weights": "nvfp4"}, "weights", "penalty"),
        ("Qwen/Qwen3-30B-A3B", "mi300x", {"runtime": "vllm", "weights": "nvfp4"}, "weights", "penalty"),
        ("Qwen/Qwen3-30B-A3B", "h100", {"runtime": "vllm", "os": "windows-11"}, "os", "unsupported"),
        ("Qwen/Qwen3-30B-A3B", "h100", {"runtime": "vllm", "driver": "570.86"}, "stack", "unsupported"),
        ("Qwen/Qwen3-30B-A3B", "h100", {"runtime": "vllm", "driver": "580.95"}, "stack", "supported"),
        ("Qwen/Qwen3-30B-A3B", "mac studio m3 ultra", {"runtime": "exllama"}, "device", "unsupported"),
        ("deepseek-ai/DeepSeek-V3", "rtx-pro-6000", {"runtime": "sglang"}, "weights", "penalty"),
        ("deepseek-ai/DeepSeek-V3", "mi300x", {"runtime": "vllm"}, "weights", "native"),
        ("deepseek-ai/DeepSeek-V3", "strix halo", {"runtime": "vllm"}, "weights", "penalty"),
        ("deepseek-ai/DeepSeek-V3", "epyc-9554", {"runtime": "vllm"}, "weights", "unsupported"),
        ("deepseek-ai/DeepSeek-V3", "rtx-3090", {"runtime": "transformers"}, "weights", "penalty"),
        ("gpt-oss-120b", "strix halo", {"runtime": "vllm"}, "weights", "penalty"),
        ("gpt-oss-120b", "h100", {"runtime": "tensorrt-llm"}, "weights", "penalty"),
        ("gpt-oss-120b", "h100", {"runtime": "llama.cpp"}, "moe", "supported"),
        ("gpt-oss-120b", "h100", {"runtime": "ollama"}, "model", "supported"),
        ("Qwen/Qwen3-30B-A3B", "h100", {"runtime": "vllm", "driver": "580"}, "stack", "supported"),
        ("Qwen/Qwen3-30B-A3B", "h100", {"runtime": "vllm", "driver": "580.60"}, "stack", "unsupported"),
    ],
)
def test_known_answers(model: str, on: str, more: dict[str, str], aspect: str, wanted: str) -> None:
    assert said(ask(model, on, **more), aspect) == wanted


def test_the_exit_code_is_the_answer() -> None:
    assert ask("gpt-oss-120b", "rtx-pro-6000", runtime="llama.cpp").exit_code == 0
    assert ask("gpt-oss-120b", "rtx-pro-6000", runtime="vllm==0.9.2").exit_code == 1
    assert ask("gpt-oss-120b", "rtx-pro-6000", runtime="sglang==0.4.1").exit_code in (1, 3)


def test_the_nearest_combinations_that_work() -> None:
    answer = ask("gpt-oss-120b", "rtx-pro-6000", runtime="vllm==0.10.0")
    assert any(a.flags == "--runtime vllm==0.10.2" for a in answer.alternatives)
    answer = ask("gpt-oss-120b", "rtx-pro-6000", runtime="vllm==0.33", driver="570")
    assert answer.alternatives[0].flags == "--cuda 12.9"
    assert all(a.outcome not in ("unsupported", "unknown") for a in answer.alternatives)


def test_a_version_newer_than_all_is_answered_for_the_newest() -> None:
    answer = ask("gpt-oss-120b", "h100", runtime="vllm==7.0")
    assert "vLLM 7.0 is newer than any I know: answers are for 0.33.0" in answer.notes
    assert answer.version == "0.33.0"


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"runtime": "vllm==0.14.7"}, BadSetting, "is in no list of releases"),
        ({"runtime": "vlm"}, UnknownRuntime, "there is no runtime 'vlm'"),
        ({"weights": "fp9"}, BadSetting, "no rule knows a weight format 'fp9'"),
        ({"kv": "fp9"}, BadSetting, "no rule knows a KV format 'fp9'"),
        ({"driver": "new"}, BadSetting, "--driver 'new' is not a version"),
        ({"cuda": "13.0"}, BadSetting, "has no CUDA"),
        ({"runtime": "torch"}, BadSetting, "PyTorch is a library"),
        ({"backend": "rocm"}, BadSetting, "has none"),
        ({"backend": "abacus"}, BadSetting, "no rule knows a backend 'abacus'"),
        ({"kv": "q8_0/q4_0"}, BadSetting, "K and V apart"),
        ({"ui": "nosuch"}, UnknownName, "no rule knows a front-end 'nosuch'"),
    ],
)
def test_wrong_questions(more: dict[str, str], error: type[Exception], message: str) -> None:
    on = "mi300x" if "cuda" in more else "h100"
    with pytest.raises(error, match=message):
        ask("gpt-oss-120b", on, **more)


def test_macos_and_a_card_contradict() -> None:
    with pytest.raises(BadSetting, match="macOS has no driver"):
        ask("gpt-oss-120b", "h100", os="macos")


def test_what_else_is_asked_for_has_its_own_verdict() -> None:
    answer = ask("gpt-oss-120b", "rtx-pro-6000", runtime="vllm", features=("flash-attn", "config-override"))
    found = {v.note.partition(":")[0]: v for v in answer.verdicts if v.aspect == "features"}
    assert found["flash-attn"].outcome == "penalty"
    assert found["config-override"].needs == ("--hf-overrides",)
    with pytest.raises(BadSetting, match="no rule knows a feature 'teleport'"):
        ask("gpt-oss-120b", "h100", features=("teleport",))


def test_without_a_model_there_is_no_question() -> None:
    with pytest.raises(UsageError, match="no model is named"):
        check(CheckQuestion(on="h100"))


def test_a_matrix_covers_every_format_and_runtime() -> None:
    made = matrix(MatrixQuestion(on="rtx-pro-6000"))
    assert len(made.cells) == len(made.rows) * len(made.columns) > 300
    by_place = {(cell.row, cell.column): cell for cell in made.cells}
    assert by_place["nvfp4", "vLLM"].outcome == "native"
    assert by_place["exl3", "ExLlamaV3"].outcome == "supported"
    assert by_place["int8", "vLLM"].outcome == "unsupported"
    hardware = matrix(MatrixQuestion(weights="fp8"))
    assert len(hardware.rows) >= 20
    assert len({cell.outcome for cell in hardware.cells}) >= 4


def test_a_stack_names_what_breaks() -> None:
    made = stack(StackQuestion(runtime="vllm==0.33", on="rtx-pro-6000"))
    wanted = {fact.name: fact.wanted for fact in made.facts}
    assert (wanted["torch"], wanted["CUDA runtime"]) == ("==2.14.0", "13.0")
    assert wanted["NVIDIA driver"] == ">=580.65.06"
    assert "vllm==0.33.0" in made.install
    assert any(line.startswith("driver 570: CUDA 13.x needs") for line in made.breaks)
    assert made.exit_code == 0
    assert stack(StackQuestion(runtime="vllm==0.33", on="h100", driver="550")).exit_code == 1


def test_the_frontier_of_a_large_card() -> None:
    made = frontier("rtx-pro-6000")
    rows = {row.model: row for row in made.rows}
    assert rows["Qwen/Qwen3-30B-A3B"].runs_unquantised
    assert rows["openai/gpt-oss-120b"].format == "mxfp4"
    assert not rows["deepseek-ai/DeepSeek-V3"].format
    small = {row.model: row for row in frontier("rtx-3090").rows}
    assert not small["Qwen/Qwen3-30B-A3B"].runs_unquantised
    assert small["Qwen/Qwen3-30B-A3B"].format


def test_front_ends_have_sources() -> None:
    made = uis("gpt-oss-120b")
    assert any("harmony" in note for note in made.notes)
    assert {ui.name for ui in made.uis} >= {"Open WebUI", "AnythingLLM", "LM Studio", "LibreChat"}
    features = [feature for ui in made.uis for feature in ui.features]
    assert all(feature.sources and feature.checked_on for feature in features)
    found = sources.load_all(reference for feature in features for reference in feature.sources)
    assert all(source.seen_on for source in found)


@pytest.mark.parametrize("on", MACHINES)
def test_every_field_of_the_matrix_has_a_source_that_was_opened(on: str) -> None:
    cells = [cell for cell in matrix(MatrixQuestion(on=on)).cells if cell.outcome != "unknown"]
    found = sources.load_all({reference for cell in cells for reference in cell.sources})
    assert all(cell.sources for cell in cells)
    assert all(source.seen_on for source in found)


def test_it_is_quick() -> None:
    ask("gpt-oss-120b", "rtx-pro-6000")  # the catalog is read once
    start = time.process_time()
    ask("gpt-oss-120b", "rtx-pro-6000")
    matrix(MatrixQuestion(on="rtx-pro-6000"))
    assert time.process_time() - start < 1


@pytest.mark.parametrize("on", MACHINES)
@pytest.mark.parametrize("model", MODELS)
def test_every_verdict_that_is_shown_has_a_source_that_was_opened(model: str, on: str) -> None:
    assert ask(model, on).outcome != "unknown"
    for runtime in RUNTIMES:
        answer = ask(model, on, runtime=runtime)
        for shown in answer.verdicts:
            assert shown.outcome == "unknown" or (shown.sources and shown.checked_on), (runtime, shown.aspect)
        assert all(source.seen_on >= answer.oldest_check for source in answer.sources)
        assert {s.id for s in answer.sources} == {s for v in answer.verdicts for s in v.sources}


@pytest.mark.parametrize("on", ["m3 ultra", "mi300x", "epyc-9554"])
def test_drivers_and_cuda_are_no_question_without_nvidia(on: str) -> None:
    assert "stack" not in [v.aspect for v in ask("gpt-oss-120b", on, runtime="llama.cpp").verdicts]


@pytest.mark.parametrize("runtime", ["ollama", "llama.cpp", "tensorrt-llm", "sglang", "vllm"])
def test_stacks_name_a_container_or_pins(runtime: str) -> None:
    made = stack(StackQuestion(runtime=runtime, on="rtx-pro-6000"))
    assert made.facts
    assert made.sources
    assert not any("was not read" in note for note in made.notes)


def test_an_adapter_is_judged_by_its_own_tensors_too(tmp_path: Path) -> None:
    config = {"target_modules": ["q_proj", "v_proj"]}
    path = str(write_adapter(tmp_path / "a", from_catalog("Qwen/Qwen3-30B-A3B"), config))
    found = ask("Qwen/Qwen3-30B-A3B", "h100", runtime="vllm", lora=path)
    verdict = next(v for v in found.verdicts if v.aspect == "lora")
    assert verdict.outcome == "supported"
    assert "Its tensors: 96 modules take effect." in verdict.note
    assert verdict.needs[0].startswith("--enable-lora --max-loras 1 --max-lora-rank ")
    other = ask("gpt-oss-120b", "h100", runtime="vllm", lora=path)
    assert said(other, "lora") == "unsupported"
    assert other.exit_code == 1


def test_what_a_runtime_does_not_read_of_an_adapter_is_a_no(tmp_path: Path) -> None:
    config = {"target_modules": ["q_proj"], "target_parameters": ["mlp.experts.gate_up_proj"]}
    path = str(write_adapter(tmp_path / "a", from_catalog("openai/gpt-oss-120b"), config))
    found = ask("gpt-oss-120b", "h100", runtime="sglang", lora=path)
    verdict = next(v for v in found.verdicts if v.aspect == "lora")
    assert verdict.outcome == "unsupported"
    assert verdict.note == "Not this adapter: target_parameters is not read."
    assert not verdict.needs


def test_a_parser_is_there_since_a_release() -> None:
    old = ask("gpt-oss-120b", "h100", runtime="vllm==0.9.2", features=("tool-parser:openai",))
    verdict = next(v for v in old.verdicts if v.aspect == "features")
    assert verdict.outcome == "unsupported"
    assert "It is there from 0.10.2 on." in verdict.note
    new = ask("gpt-oss-120b", "h100", runtime="vllm", features=("tool-parser:openai",))
    assert said(new, "features") == "supported"
    with pytest.raises(BadSetting, match="no rule knows a feature"):
        ask("gpt-oss-120b", "h100", features=("tool-parser",))


def test_a_model_without_a_class_is_unknown_where_transformers_may_load_it() -> None:
    verdict = next(
        v for v in ask("gpt-oss-120b", "h100", runtime="vllm==0.9.2").verdicts if v.aspect == "model"
    )
    assert verdict.outcome == "unknown"
    assert "--model-impl transformers" in verdict.needs
    assert verdict.sources
    older = ask("gpt-oss-120b", "h100", runtime="vllm==0.7.0")
    assert said(older, "model") == "unsupported"
