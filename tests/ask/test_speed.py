import pytest

from plimsoll.ask.fit import FitQuestion, judged
from plimsoll.ask.speed import SpeedQuestion, case_from, speed
from plimsoll.domain.speed import Speed
from plimsoll.domain.speed_answer import SpeedAnswer
from plimsoll.errors import BadSetting


def ask(model: str, on: str, **more: object) -> SpeedAnswer:
    fields = {"context_tokens": 8192, "offline": True, **more}
    return speed(SpeedQuestion(fit=FitQuestion(models=(model,), on=on, **fields)))  # type: ignore[arg-type]


def at_power(model: str, on: str, watts: int | None) -> SpeedAnswer:
    fit = FitQuestion(models=(model,), on=on, context_tokens=8192, weights="q4_k_m", offline=True)
    return speed(SpeedQuestion(fit=fit, power_watts=watts))


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
    known = figure(ask("meta-llama/Meta-Llama-3-8B", "rtx-3090", weights="q4_k_m"), "decode")
    unknown = figure(ask("meta-llama/Llama-3.1-8B", "rtx-5060-ti-16gb", weights="q4_k_m"), "decode")
    assert (known.new, unknown.new) == ("", "device")
    assert unknown.estimate.high / unknown.estimate.low > known.estimate.high / known.estimate.low


def test_shared_memory_is_timed_as_it_was_learnt() -> None:
    deployment = judged(FitQuestion(models=("Qwen/Qwen3-8B",), on="dgx-spark", offline=True)).deployments[0]
    assert case_from(deployment).is_unified


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


def test_a_power_limit_costs_what_was_measured_on_the_card() -> None:
    full, limited = (at_power("meta-llama/Llama-3.1-8B", "rtx-pro-6000", w) for w in (None, 300))
    ratio = figure(limited, "decode").estimate.value / figure(full, "decode").estimate.value
    assert ratio == pytest.approx(260.42 / 279.04, abs=0.005)
    assert any(p.bottleneck == "power" for p in figure(limited, "decode").parts)
    assert sum(p.share for p in figure(limited, "decode").parts) == pytest.approx(1)
    assert limited.tokens_per_joule is not None
    assert full.tokens_per_joule is not None
    assert limited.tokens_per_joule > 1.5 * full.tokens_per_joule


def test_elsewhere_a_power_limit_widens_the_interval() -> None:
    full, limited = (
        figure(at_power("meta-llama/Llama-3.1-8B", "rtx-4090", w), "prefill").estimate for w in (None, 225)
    )
    assert limited.value < full.value
    assert limited.high / limited.low > full.high / full.low
    assert limited.low < full.low / 1.9


@pytest.mark.parametrize("watts", [200, 250, 300, 400, 500, 599])
def test_more_power_is_never_slower(watts: int) -> None:
    less, more = (at_power("meta-llama/Llama-3.1-8B", "rtx-pro-6000", w) for w in (watts, 600))
    for quantity in ("prefill", "decode"):
        assert figure(less, quantity).estimate.value <= figure(more, quantity).estimate.value


def test_impossible_and_unmeasured_power_limits() -> None:
    with pytest.raises(BadSetting, match="has a power limit of 450 W"):
        at_power("meta-llama/Llama-3.1-8B", "rtx-4090", 500)
    with pytest.raises(BadSetting, match="no card whose power"):
        at_power("meta-llama/Llama-3.1-8B", "epyc-9554-12ch-ddr5-4800-384gb", 200)
    assert at_power("meta-llama/Llama-3.1-8B", "rtx-4090", 50).exit_code == 3


def test_unlike_cards_share_the_layers_and_lie_between_two_of_either() -> None:
    pairs = ("2x rtx-3090", "rtx-3090 + rtx-4090", "2x rtx-4090")
    answers = [ask("meta-llama/Llama-3.3-70B-Instruct", on, weights="q4_k_m") for on in pairs]
    slow, mixed, fast = (figure(a, "decode").estimate.value for a in answers)
    assert slow < mixed < fast
    assert any("unlike cards" in note for note in answers[1].notes)
    assert sum(p.share for p in figure(answers[1], "decode").parts) == pytest.approx(1)


def test_a_tensor_split_over_unlike_cards_is_unknown() -> None:
    answer = ask("meta-llama/Llama-3.1-8B", "rtx-3090 + rtx-4090", weights="awq", runtime="vllm")
    assert answer.exit_code == 3
    assert "different kinds" in answer.reason


def test_host_memory_that_nobody_told_widens_the_interval() -> None:
    told = [
        figure(ask("Qwen/Qwen3-235B-A22B", f"rtx-pro-6000 + 192GiB {ram}", weights="q4_k_m"), "decode")
        for ram in ("ddr4-2666 x2", "ddr5-6400 x2")
    ]
    answer = ask("Qwen/Qwen3-235B-A22B", "rtx-pro-6000 + 192GiB ram", weights="q4_k_m")
    untold = figure(answer, "decode").estimate
    assert untold.low <= told[0].estimate.low
    assert untold.high >= told[1].estimate.high
    assert any("ddr5-6000 x2" in note for note in answer.notes)


@pytest.mark.parametrize("on", ["rtx-3090", "rtx-3090 + rtx-4090", "rtx-pro-6000", "dgx-spark", "strix-halo"])
def test_more_depth_is_never_faster(on: str) -> None:
    rates = [
        figure(ask("Qwen/Qwen3-30B-A3B", on, weights="q4_k_m", context_tokens=n), "decode").estimate.value
        for n in (128, 1024, 8192, 32768)
    ]
    assert rates == sorted(rates, reverse=True)
