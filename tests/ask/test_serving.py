import pytest

from plimsoll.ask.fit import FitQuestion
from plimsoll.ask.speed import SpeedQuestion, speed
from plimsoll.domain.speed_answer import SpeedAnswer


def asked(count: int, output: int | None = 256, runtime: str = "vllm") -> SpeedAnswer:
    fit = FitQuestion(
        models=("meta-llama/Llama-3.1-8B",), on="rtx-pro-6000", runtime=runtime, weights="bf16",
        parallel_sequences_count=count, offline=True,
    )  # fmt: skip
    return speed(SpeedQuestion(fit=fit, prompt_tokens=1024, output_tokens=output))


def figures(answer: SpeedAnswer) -> dict[str, float]:
    return {s.estimate.quantity: s.estimate.value for s in answer.speeds}


def test_requests_are_answered_with_wait_pace_and_throughput_inside_their_intervals() -> None:
    answer = asked(16)
    found = {s.estimate.quantity: s for s in answer.speeds}
    for name, unit in (("ttft_serving", "s"), ("tpot", "ms"), ("throughput", "tokens/s")):
        estimate = found[name].estimate
        assert estimate.unit == unit
        assert 0 < estimate.low <= estimate.value <= estimate.high
        assert estimate.coverage == 0.8
        assert sum(p.share for p in found[name].parts) == pytest.approx(1)


def test_wait_and_pace_make_the_throughput() -> None:
    """Little's law: 16 in flight, each in the system for its wait and 255 tokens after the first."""
    found = figures(asked(16))
    inside = found["ttft_serving"] + 255 * found["tpot"] / 1e3
    assert 16 * 256 / inside == pytest.approx(found["throughput"], rel=0.15)


def test_more_requests_wait_longer_and_make_more_tokens_together() -> None:
    few, many = figures(asked(4)), figures(asked(64))
    assert few["throughput"] < many["throughput"]
    assert few["tpot"] < many["tpot"]


def test_without_output_nothing_is_said_about_requests() -> None:
    assert "tpot" not in figures(asked(4, output=None))


def test_asking_again_gives_the_same_numbers() -> None:
    assert figures(asked(8)) == figures(asked(8))
