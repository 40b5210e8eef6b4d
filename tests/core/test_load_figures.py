from __future__ import annotations

import pytest

from plimsoll.core.load import simulate
from plimsoll.core.load_figures import Pace, Paces, collapse, digest, percentile, run, saturation
from plimsoll.domain.load import LoadPoint, LoadTargets, Span
from plimsoll.domain.traffic import Request
from tests.core.test_load import even, server, stream, usual


def same(pace: Pace) -> Paces:
    return Paces(expected=pace, slow=pace, fast=pace)


def test_percentiles_lie_between_their_neighbours() -> None:
    assert [percentile([1.0, 2.0, 4.0], p) for p in (0, 25, 50, 75, 100)] == [1.0, 1.5, 2.0, 3.0, 4.0]
    assert percentile([], 95) == 0.0


def test_saturation_of_a_queue_is_its_rate_of_service() -> None:
    """Three slots, answers of ten steps of a second: 0.3 requests a second."""
    requests = [Request(arrival_s=0.0, prompt_tokens=1, output_tokens=10)] * 400
    pace = Pace(server=server(slots_count=3), steps=even)
    assert saturation(requests, same(pace)).rate.value == pytest.approx(0.3, rel=0.02)


@pytest.mark.parametrize("scheduling", ["chunked", "prompts first", "slots"])
def test_below_saturation_queues_stay_short_and_above_they_grow(scheduling: str) -> None:
    where = server(scheduling=scheduling, pool_tokens=10_000, block_tokens=1 if scheduling == "slots" else 16)
    most = saturation(list(stream(1.0, 600)), same(Pace(server=where, steps=usual))).rate.value
    waits = [simulate(stream(most * share, 3000), where, usual).waiting_mean for share in (0.8, 1.3)]
    assert waits[0] < 5
    assert waits[1] > 100


def test_the_interval_encloses_the_value_and_both_ends() -> None:
    slow = Pace(server=server(), steps=lambda *step: 2 * usual(*step))
    fast = Pace(server=server(), steps=lambda *step: usual(*step) / 2)
    expected = Pace(server=server(), steps=usual)
    found, _ = run(list(stream(4.0, 400)), Paces(expected=expected, slow=slow, fast=fast), LoadTargets())
    for span in found.values():
        assert span.low <= span.value <= span.high
    assert found["tpot_p50"].low < found["tpot_p50"].value < found["tpot_p50"].high


def test_goodput_counts_those_within_the_targets() -> None:
    pace = Pace(server=server(), steps=usual)
    result = simulate(stream(4.0, 600), server(), usual)
    every = digest(result, pace, LoadTargets(ttft_s=1e6))
    some = digest(result, pace, LoadTargets(ttft_s=every["ttft_p50"]))
    assert every["goodput_per_s"] == every["requests_per_s"]
    assert some["goodput_per_s"] == pytest.approx(every["goodput_per_s"] / 2, rel=0.2)
    none = digest(result, pace, LoadTargets(tpot_s=1e-9))
    assert none["goodput_per_s"] == 0


def test_what_clients_see_lengthens_the_prompt_not_the_queue() -> None:
    result = simulate(stream(30.0, 300), server(slots_count=1), usual)
    outcome = result.outcomes[-1]
    pace = Pace(server=server(), steps=usual, ttft_factor=2.0, tpot_factor=3.0)
    queued = outcome.admitted_s - outcome.entered_s
    assert queued > 1
    assert pace.ttft_s(outcome) == pytest.approx(queued + 2 * (outcome.ttft_s - queued))
    assert pace.total_s(outcome) == pytest.approx(pace.ttft_s(outcome) + 63 * 3 * outcome.tpot_s)


def test_users_at_saturation_follow_from_littles_law() -> None:
    """Three slots, ten seconds served, twenty thinking: three in service, six at their desks."""
    requests = [Request(arrival_s=0.0, prompt_tokens=1, output_tokens=10)] * 400
    full = saturation(requests, same(Pace(server=server(slots_count=3), steps=even)))
    assert full.users(20.0).value == pytest.approx(9.0, rel=0.02)


def point(at: float, *, ttft: float = 1.0, good: float | None = None, again: float = 0.0) -> LoadPoint:
    same_for = lambda v: Span(low=v, value=v, high=v)  # noqa: E731
    return LoadPoint(
        at=at, ttft_p50_s=same_for(ttft), ttft_p95_s=same_for(ttft), tpot_p95_s=same_for(0.1),
        requests_per_s=same_for(at), tokens_per_s=same_for(at), waiting_mean=same_for(0.0),
        goodput_per_s=None if good is None else same_for(good), recomputed_share=again, refused_share=0.0,
    )  # fmt: skip


def test_collapse_is_lost_goodput_a_long_wait_or_preemption() -> None:
    assert collapse([point(1), point(2, ttft=9)]) == (None, "")
    assert collapse([point(1), point(2, ttft=11), point(3, ttft=20)])[0] == 2
    assert collapse([point(1, good=1), point(2, good=2), point(3, good=1.85), point(4, good=1.7)])[0] == 4
    at, reason = collapse([point(1), point(2, again=0.3)])
    assert at == 2
    assert "30%" in reason
