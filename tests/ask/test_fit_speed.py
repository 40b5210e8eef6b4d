"""Every fit says how fast it will be, or why that is not known."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from plimsoll.ask.fit import FitQuestion, fit
from plimsoll.ask.speed import SpeedQuestion, speed
from plimsoll.doors.cli.main import cli


def asked(model: str, on: str, **more: object) -> FitQuestion:
    return FitQuestion(models=(model,), on=on, context_tokens=8192, offline=True, **more)  # type: ignore[arg-type]


def test_a_fit_tells_the_speed_that_the_speed_command_tells() -> None:
    question = asked("meta-llama/Llama-3.1-8B", "rtx-3090", weights="q4_k_m", parallel_sequences_count=4)
    told = {e.quantity: (e.low, e.value, e.high) for e in fit(question).speed}
    wanted = {s.estimate.quantity: s.estimate for s in speed(SpeedQuestion(fit=question)).speeds}
    assert set(told) == {"decode", "decode_total", "ttft"}
    for name, numbers in told.items():
        assert numbers == pytest.approx((wanted[name].low, wanted[name].value, wanted[name].high))


def test_what_nobody_can_tell_is_said() -> None:
    found = fit(asked("meta-llama/Llama-3.1-8B", "arc-pro-b70", weights="q4_k_m"))
    assert found.speed == ()
    assert found.speed_reason.startswith("measure only")


def test_a_processor_has_a_speed_and_a_reason_for_the_first_token() -> None:
    found = fit(asked("openai/gpt-oss-20b", "epyc-9554-12ch-ddr5-4800-384gb"))
    assert [e.quantity for e in found.speed] == ["decode"]
    assert "FLOPS" in found.speed_reason


def test_what_does_not_fit_and_several_models_have_no_speed() -> None:
    assert fit(asked("meta-llama/Llama-3.1-405B", "rtx-3090", runtime="vllm==0.33")).speed == ()
    both = fit(
        FitQuestion(
            models=("meta-llama/Llama-3.1-8B",) * 2, on="rtx-pro-6000", context_tokens=8192, offline=True
        )
    )
    assert both.speed == ()


def test_the_line_names_what_it_is_about() -> None:
    typed = "fit llama-3.1-8b --on rtx-3090 --weights q4_k_m --context 512 --offline"
    printed = CliRunner().invoke(cli, typed.split()).output
    (line,) = (x for x in printed.splitlines() if x.startswith("expected speed: "))
    assert "tokens/s at 512 tokens (" in line
    assert "s to the first token after 512 (" in line
    typed = "fit llama-3.1-8b --on arc-pro-b70 --weights q4_k_m --offline"
    assert "expected speed: unknown: measure only" in CliRunner().invoke(cli, typed.split()).output
