import pytest

from plimsoll.ask.fit import FitQuestion
from plimsoll.ask.speed import SpeedQuestion, speed
from plimsoll.domain.speed import Speed, SpeedAnswer


def ask(model: str, on: str, **more: object) -> SpeedAnswer:
    fields = {"context_tokens": 8192, "offline": True, **more}
    return speed(SpeedQuestion(fit=FitQuestion(models=(model,), on=on, **fields)))  # type: ignore[arg-type]


def figure(answer: SpeedAnswer, quantity: str) -> Speed:
    return next(s for s in answer.speeds if s.estimate.quantity == quantity)


def test_every_figure_has_an_interval_a_bottleneck_and_parts() -> None:
    answer = ask("Qwen/Qwen3-30B-A3B", "rtx-3090", weights="q4_k_m", parallel_sequences_count=4)
    assert answer.exit_code == 0
    assert [s.estimate.quantity for s in answer.speeds] == [
        "prefill", "ttft", "decode", "decode_per_sequence", "decode_total",
    ]  # fmt: skip
    for s in answer.speeds:
        assert 0 < s.estimate.low <= s.estimate.value <= s.estimate.high
        assert s.estimate.basis == "calibrated"
        assert sum(p.share for p in s.parts) == pytest.approx(1)
    assert figure(answer, "decode_total").estimate.value == pytest.approx(
        4 * figure(answer, "decode_per_sequence").estimate.value
    )


def test_generation_never_beats_the_memory() -> None:
    answer = ask("meta-llama/Llama-3.1-8B", "rtx-3090", weights="q8_0")
    assert figure(answer, "decode").estimate.high < 936.2e9 / 8.0e9


def test_a_card_without_measurements_says_so_and_is_less_sure() -> None:
    known = figure(ask("meta-llama/Llama-3.1-8B", "rtx-3090", weights="q4_k_m"), "decode")
    unknown = figure(ask("meta-llama/Llama-3.1-8B", "rtx-5060-ti-16gb", weights="q4_k_m"), "decode")
    assert (known.new, unknown.new) == ("", "device")
    assert unknown.estimate.high / unknown.estimate.low > known.estimate.high / known.estimate.low


def test_experts_in_host_memory_are_bound_by_the_processor() -> None:
    answer = ask(
        "Qwen/Qwen3-235B-A22B", "rtx-pro-6000 + epyc-9554-12ch-ddr5-4800 + 192GiB ram", weights="q4_k_m"
    )
    assert answer.placement
    decode = figure(answer, "decode")
    assert decode.new == "device"  # this card was measured, but not with this host
    assert sum(p.share for p in decode.parts if p.bottleneck == "cpu") > 0.2


def test_what_does_not_fit_has_no_speed() -> None:
    answer = ask("meta-llama/Llama-3.1-405B", "rtx-3090", runtime="vllm==0.33")
    assert (answer.verdict, answer.exit_code, answer.speeds) == ("does_not_fit", 1, ())


def test_measure_only_is_unknown_not_a_guess() -> None:
    answer = ask("meta-llama/Llama-3.1-8B", "arc-pro-b70", weights="q4_k_m", runtime="llama.cpp")
    assert answer.exit_code == 3
    assert "measure only" in answer.reason


def test_a_processor_alone_generates_and_has_no_figure_for_the_prompt() -> None:
    answer = ask("openai/gpt-oss-120b", "epyc-9554-12ch-ddr5-4800-384gb")
    assert figure(answer, "decode").estimate.value > 1
    assert any("no figure for the prompt" in note for note in answer.notes)
