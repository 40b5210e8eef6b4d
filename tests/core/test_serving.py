import math
from dataclasses import replace
from itertools import pairwise

import pytest

from plimsoll.catalog import calibration
from plimsoll.core.serving import gap_terms, step_terms, throughput_terms, tpot_terms, ttft_terms
from plimsoll.core.speed import ceiling_seconds, here, seconds, terms
from plimsoll.domain.serving import Load
from plimsoll.domain.speed import SpeedCase
from tests.core.test_speed import CASE, MIXTURE

COEFFICIENTS = calibration.load(calibration.SERVING_PATH).coefficients
VLLM = replace(CASE, runtime="vllm", flavour="")
EXPERTS = replace(MIXTURE, runtime="vllm", flavour="")
CASES = pytest.mark.parametrize("case", [VLLM, EXPERTS], ids=["dense", "experts"])


def load(count: int, **changed: int) -> Load:
    base = {"prompt_tokens": 512, "output_tokens": 256, "chunk_tokens": 2048}
    return Load(concurrent_count=count, **{**base, **changed})


def throughput(case: SpeedCase, asked: Load) -> float:
    found, tokens = throughput_terms(case, asked, "output")
    return tokens / seconds(found, COEFFICIENTS)


@CASES
def test_one_sequence_takes_what_a_pass_alone_takes(case: SpeedCase) -> None:
    alone = terms(case, sequences_count=1, new_tokens=1, depth_tokens=640)
    step = step_terms(case, decode_sequences=1, depth_tokens=640)
    passes = {k: v for k, v in COEFFICIENTS.items() if not k.startswith("serving ")}
    scheduling = sum(p.seconds for p in step.parts if p.name == "sequences")
    assert seconds(step, passes) - scheduling == pytest.approx(seconds(alone, passes))
    assert here(alone) in step.parts[0].effects


@CASES
def test_company_never_lowers_the_throughput(case: SpeedCase) -> None:
    rates = [throughput(case, load(n)) for n in (1, 2, 4, 8, 16, 32, 64, 128)]
    assert all(b > a for a, b in pairwise(rates))
    assert rates[-1] < 128 * rates[0]


@CASES
def test_company_never_quickens_a_token(case: SpeedCase) -> None:
    for made in (tpot_terms, gap_terms, ttft_terms):
        times = [seconds(made(case, load(n)), COEFFICIENTS) for n in (1, 2, 4, 8, 16, 32, 64, 128)]
        assert all(b >= a for a, b in pairwise(times)), made


def test_a_full_cache_bounds_the_pace_and_lengthens_the_wait() -> None:
    free, full = load(64), load(64, slots_count=16)
    assert seconds(gap_terms(VLLM, full), COEFFICIENTS) < seconds(gap_terms(VLLM, free), COEFFICIENTS)
    assert seconds(ttft_terms(VLLM, full), COEFFICIENTS) > seconds(ttft_terms(VLLM, free), COEFFICIENTS)
    assert throughput(VLLM, full) < throughput(VLLM, free)


def test_a_prompt_beside_lengthens_a_step_and_reads_the_weights_once() -> None:
    plain = step_terms(VLLM, decode_sequences=8, depth_tokens=1024)
    beside = step_terms(VLLM, decode_sequences=8, depth_tokens=1024, prefill_tokens=512)
    apart = step_terms(VLLM, decode_sequences=0, depth_tokens=0, prefill_tokens=512)
    assert seconds(plain, {}) < seconds(beside, {}) < seconds(plain, {}) + seconds(apart, {})
    assert sum(p.name == "weights" for p in beside.parts) == 1


def test_fractions_of_a_sequence_lie_between() -> None:
    few, more = (seconds(step_terms(VLLM, decode_sequences=n, depth_tokens=512), {}) for n in (4, 5))
    middle = seconds(step_terms(VLLM, decode_sequences=4.5, depth_tokens=512), {})
    assert middle == pytest.approx((few + more) / 2)


def test_what_is_counted_changes_the_tokens_only_as_told() -> None:
    both = throughput_terms(VLLM, load(8), "prompt and output")
    output = throughput_terms(VLLM, load(8), "output")
    assert both[1] == 8 * (512 + 256)
    assert output[1] == 8 * 256
    assert seconds(both[0], COEFFICIENTS) == seconds(output[0], COEFFICIENTS)
    assert throughput_terms(VLLM, load(8), "after the first")[1] == 8 * 255


def test_no_figure_beats_the_ceilings() -> None:
    for made in (ttft_terms, tpot_terms):
        assert ceiling_seconds(made(VLLM, load(32))) < seconds(made(VLLM, load(32)), COEFFICIENTS)
    found, _ = throughput_terms(VLLM, load(32), "output")
    assert ceiling_seconds(found) < seconds(found, COEFFICIENTS)


def test_tensor_parallel_cards_exchange_more_the_more_tokens() -> None:
    two = replace(VLLM, devices_count=2, split="tensor")
    few, many = (step_terms(two, decode_sequences=n, depth_tokens=512) for n in (1, 64))

    def sent(found: object) -> float:
        return sum(p.seconds for p in found.parts if p.name == "exchanged tokens")  # type: ignore[attr-defined]

    assert sent(many) == pytest.approx(64 * sent(few))
    assert not math.isclose(sent(few), 0)
