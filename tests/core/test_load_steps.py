"""Steps read from the table against steps computed exactly."""

from __future__ import annotations

import pytest

from plimsoll.ask.fit import FitQuestion, judged
from plimsoll.ask.rig import rig_of
from plimsoll.catalog import calibration as shipped
from plimsoll.core.chance import Chance
from plimsoll.core.load_steps import StepTimes

CASES = (
    ("meta-llama/Llama-3.1-8B", "rtx-pro-6000", "vllm", "bf16"),
    ("qwen3-30b-a3b", "rtx-3090", "llama.cpp", "q4_k_m"),
    ("deepseek-v3", "8x h200", "sglang", ""),
)


def steps(model: str, machine: str, runtime: str, weights: str) -> StepTimes:
    question = FitQuestion(models=(model,), on=machine, runtime=runtime, weights=weights, offline=True)
    case = rig_of(judged(question).deployments[0]).case
    return StepTimes(case, shipped.load(shipped.SERVING_PATH).coefficients)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_the_table_is_within_a_hundredth_of_the_model(case: tuple[str, str, str, str]) -> None:
    """Half of all steps within 0.1 %, 95 of 100 within 1 %, all within 4 %."""
    found, chance, missed = steps(*case), Chance(1, "steps"), []
    for number in range(240):
        count = int(2 ** (8 * chance.share()))
        depth = int(2 ** (4 + 12 * chance.share()))
        tokens = int(2 ** (3 + 10 * chance.share())) if number % 2 else 0
        seen = 2 ** (3 + 12 * chance.share()) if tokens else 0.0
        exact = found.exact(count, depth, tokens, seen)
        missed.append(abs(found(count, depth, tokens, seen) / exact - 1))
    missed.sort()
    assert missed[len(missed) // 2] < 0.001
    assert missed[int(0.95 * len(missed))] < 0.01
    assert missed[-1] < 0.04


def test_the_table_is_exact_at_its_knots() -> None:
    found = steps(*CASES[0])
    for count, depth, tokens, seen in ((1, 64, 0, 0.0), (7, 80, 0, 0.0), (3, 96, 64, 32.0)):
        assert found(count, depth, tokens, seen) == pytest.approx(found.exact(count, depth, tokens, seen))


def test_a_step_grows_with_all_it_does() -> None:
    found = steps(*CASES[0])
    plain = found(8, 1000, 0, 0.0)
    assert found(9, 1000, 0, 0.0) > plain
    assert found(8, 2000, 0, 0.0) > plain
    assert found(8, 1000, 256, 128.0) > plain
    assert found(8, 1000, 256, 4000.0) > found(8, 1000, 256, 128.0)


def test_scaled_steps_take_as_many_times_as_long() -> None:
    found = steps(*CASES[0])
    twice = found.scaled(2.0)
    assert twice(8, 1000, 100, 50.0) == pytest.approx(2 * found(8, 1000, 100, 50.0))
    assert twice.intake_s == pytest.approx(2 * found.intake_s)
