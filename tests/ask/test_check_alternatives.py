"""What `check` offers instead: the same weights first, nothing blown up, nothing lossy for mere speed."""

from __future__ import annotations

import pytest

from plimsoll.ask.check import CheckQuestion, check
from plimsoll.core.check import works
from plimsoll.domain.check import CheckAnswer


def ask(model: str, on: str, **more: str) -> CheckAnswer:
    return check(CheckQuestion(model=model, on=on, offline=True, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize("runtime", ["vllm", "sglang", "tensorrt-llm", "llama.cpp", "mlx", "transformers"])
@pytest.mark.parametrize("on", ["rtx-pro-6000", "rtx-3090", "h100", "mi300x", "m3 ultra"])
def test_a_model_published_in_four_bits_is_never_stored_in_more_or_in_other_four_bits(
    runtime: str, on: str
) -> None:
    for one in ask("gpt-oss-120b", on, runtime=runtime).alternatives:
        assert "--weights" not in one.flags, one


def test_weights_as_published_come_first_where_others_were_asked_for() -> None:
    answer = ask("gpt-oss-120b", "rtx-pro-6000", runtime="vllm", weights="aqlm")
    assert answer.outcome == "unsupported"
    assert answer.alternatives[0].change == "weights as published, in mxfp4"
    assert answer.alternatives[0].flags == "--weights mxfp4"


def test_what_runs_already_is_not_quantised_further_to_be_faster() -> None:
    answer = ask("deepseek-v3", "rtx-3090", runtime="vllm")
    assert answer.outcome == "penalty"
    assert not any(one.is_lossy or one.is_too_large for one in answer.alternatives)


def test_eight_bits_may_be_stored_in_other_eight_and_fewer_are_called_a_loss() -> None:
    answer = ask("deepseek-v3", "h100", runtime="llama.cpp")
    formats = {a.flags: a for a in answer.alternatives if a.flags.startswith("--weights")}
    assert not formats["--weights q8_0"].is_lossy
    assert formats["--weights q6_k"].is_lossy
    assert "--weights bf16" not in formats


def test_where_no_single_change_fits_a_runtime_comes_with_its_format() -> None:
    answer = ask("qwen3-30b-a3b", "rx-7900-xtx", runtime="sglang")
    pairs = [a for a in answer.alternatives if "--runtime" in a.flags and "--weights" in a.flags]
    assert pairs
    assert not any(a.is_too_large for a in pairs)


def test_what_is_offered_holds_when_it_is_asked() -> None:
    answer = ask("gpt-oss-120b", "rtx-pro-6000", runtime="vllm==0.10.0", driver="580.95")
    assert answer.alternatives
    for one in answer.alternatives:
        words = one.flags.split()
        again = dict(zip((w.removeprefix("--") for w in words[::2]), words[1::2], strict=True))
        asked = {"runtime": "vllm==0.10.0", "driver": "580.95", **again}
        found = ask("gpt-oss-120b", "rtx-pro-6000", **asked)
        assert works(found.outcome)
        assert found.outcome == one.outcome


def test_the_weights_alone_are_compared_with_the_memory() -> None:
    notes = ask("deepseek-v3", "rtx-3090").notes
    assert any(n.startswith("the weights alone take at least") and "--on rtx-3090" in n for n in notes)
    notes = ask("gpt-oss-120b", "rtx-pro-6000").notes
    assert any("another question: plimsoll fit gpt-oss-120b --on rtx-pro-6000" in n for n in notes)
