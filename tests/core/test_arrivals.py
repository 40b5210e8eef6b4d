"""Arrivals: the rate asked for, the figures the habits cite, prompts that grow by what was said."""

from __future__ import annotations

from itertools import islice, pairwise
from statistics import fmean, pstdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plimsoll.core.arrivals import (
    BLOCK_TOKENS,
    Arrivals,
    by_users,
    faster,
    of_conversations,
    requests,
    steady,
)
from plimsoll.core.habits import HABITS, new_mean, through_mean
from plimsoll.domain.traffic import Conversation, Habit, Lengths, Request

ONE = Lengths(p50_tokens=100, p95_tokens=100)
ALONE = Habit(name="alone", new=ONE, output=ONE)


def _some(habit: Habit, count: int, **how: float) -> list[Request]:
    return list(islice(requests(habit, Arrivals(**how)), count))  # type: ignore[arg-type]


@pytest.mark.parametrize("burstiness", [0.0, 0.5, 1.0, 3.0])
def test_waits_have_the_mean_and_deviation_asked_for(burstiness: float) -> None:
    found = _some(ALONE, 20_000, rate_per_s=5.0, burstiness=burstiness)
    waits = [b.arrival_s - a.arrival_s for a, b in pairwise(found)]
    assert fmean(waits) == pytest.approx(0.2, rel=0.07)
    assert pstdev(waits) == pytest.approx(0.2 * burstiness, rel=0.08, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "prompt_mean", "output_mean", "turns"),
    [("chat", 1155, 172, 3.5), ("agents", 8596, 182, 7.83), ("thinking", 12_071, 1622, 1.0)],
)
def test_habits_have_the_means_of_the_traces_they_cite(
    name: str, prompt_mean: float, output_mean: float, turns: float
) -> None:
    """Chat's output mean is that of the lognormal through Azure's percentiles (the trace's own mean is 211);
    thinking's likewise (Mooncake 12,035; DeepSeek-R1 1,527)."""
    found = _some(HABITS[name], 20_000, rate_per_s=2.0)
    assert fmean(r.prompt_tokens for r in found) == pytest.approx(prompt_mean, rel=0.04)
    assert fmean(r.output_tokens for r in found) == pytest.approx(output_mean, rel=0.04)
    assert len(found) / len({r.session for r in found}) == pytest.approx(turns, rel=0.04)
    assert len(found) / found[-1].arrival_s == pytest.approx(2.0, rel=0.1)
    assert HABITS[name].sources


def test_through_mean_and_new_mean_solve_their_formulas() -> None:
    lengths = through_mean(1000.0, ratio=3.0)
    assert lengths.p95_tokens == pytest.approx(3 * lengths.p50_tokens, abs=2)
    new = new_mean(500.0, 40.0, 4.0, 100)
    assert 100 + new + 3 * (new + 40) == pytest.approx(500)


def _begins_like(one: Request, other: Request) -> int:
    """Tokens of the named beginning that two prompts share."""
    same = 0
    for a, b in zip(one.prefix_blocks, other.prefix_blocks, strict=False):
        if a != b:
            break
        same += 1
    return same * BLOCK_TOKENS


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1 << 70), st.floats(1, 20), st.integers(0, 2000), st.integers(1, 5), st.floats(0, 10))
def test_prompts_grow_by_what_was_said_and_share_it(
    seed: int, turns: float, shared: int, together: int, wait: float
) -> None:
    habit = Habit(
        name="x", new=Lengths(p50_tokens=50, p95_tokens=300), output=Lengths(p50_tokens=20, p95_tokens=900),
        shared_tokens=shared, turns_mean=turns, wait_s=wait, together_count=together,
    )  # fmt: skip
    found = list(islice(requests(habit, Arrivals(rate_per_s=1.0), seed=seed), 200))
    assert found == list(islice(requests(habit, Arrivals(rate_per_s=1.0), seed=seed), 200))
    assert all(a.arrival_s <= b.arrival_s for a, b in pairwise(found))
    for a, b in pairwise(found):
        assert len(b.prefix_blocks) * BLOCK_TOKENS <= b.prompt_tokens
        if a.session == b.session:
            assert b.after_s is not None
            assert b.prompt_tokens > a.prompt_tokens + a.output_tokens
            assert _begins_like(a, b) == a.prompt_tokens // BLOCK_TOKENS * BLOCK_TOKENS
        else:
            assert b.after_s is None
            assert _begins_like(a, b) == shared // BLOCK_TOKENS * BLOCK_TOKENS


@given(st.integers(1, 9), st.integers(0, 60), st.integers(0, 5))
def test_users_ask_one_after_the_other(users: int, count: int, seed: int) -> None:
    found = list(by_users(HABITS["chat"], users, count=count, seed=seed))
    assert len(found) == count
    assert [r.arrival_s for r in found] == sorted(r.arrival_s for r in found)
    firsts = [r for r in found if r.after_s is None]
    assert len(firsts) == len({r.session for r in found}) == min(users, count)
    assert all(0 <= r.arrival_s <= HABITS["chat"].wait_s for r in firsts)


def test_users_wait_as_long_as_people_read() -> None:
    found = list(by_users(HABITS["chat"], 1, count=20_000))
    waits = [r.after_s for r in found if r.after_s is not None]
    assert fmean(waits) == pytest.approx(60.0, rel=0.04)


def test_conversations_begin_by_the_pattern_and_keep_their_turns() -> None:
    talks = [Conversation(name=f"c{n}", turns=((10, 20), (30, 40))) for n in range(500)]
    found = list(of_conversations(talks, Arrivals(rate_per_s=2.0), wait_s=5.0))
    assert len(found) == 1000
    assert [(r.prompt_tokens, r.output_tokens) for r in found[:2]] == [(10, 20), (60, 40)]
    assert found[-1].arrival_s == pytest.approx(250, rel=0.2)
    assert fmean(r.after_s for r in found if r.after_s is not None) == pytest.approx(5.0, rel=0.2)


def test_faster_brings_arrivals_closer_and_leaves_waits() -> None:
    trace = [Request(arrival_s=8.0, prompt_tokens=1, output_tokens=1, session="a", after_s=3.0)]
    assert [(r.arrival_s, r.after_s) for r in faster(trace, 4.0)] == [(2.0, 3.0)]


def test_what_cannot_be_is_refused() -> None:
    for wrong in ({}, {"rate_per_s": 1.0, "users_count": 1}, {"rate_per_s": 1.0, "burstiness": -1.0}):
        with pytest.raises(ValueError, match="arrivals"):
            Arrivals(**wrong)  # type: ignore[arg-type]
    users = Arrivals(users_count=1)
    with pytest.raises(ValueError, match="counted"):
        requests(ALONE, users)
    with pytest.raises(ValueError, match="rate"):
        of_conversations([], users, wait_s=1.0)
    with pytest.raises(ValueError, match="above 0"):
        faster([], 0)


@pytest.mark.parametrize(
    ("name", "rate"), [("chat", 2.0), ("chat", 40.0), ("agents", 5.0), ("thinking", 1.0)]
)
def test_a_steady_load_has_its_rate_from_the_first_second_on(name: str, rate: float) -> None:
    """Were each request answered as soon as told: as many in the first half as in the second."""
    found, begin = steady(HABITS[name], Arrivals(rate_per_s=rate), count=4000, answer_s=1.0, seed=3)
    assert [r.arrival_s for r in found] == sorted(r.arrival_s for r in found)
    primed = [r for r in found if r.arrival_s < begin]
    assert len(primed) == round(rate * (1 - 1 / HABITS[name].turns_mean) * HABITS[name].wait_s)
    assert all(r.output_tokens == 1 and r.after_s is None for r in primed)
    now: dict[str, float] = {}
    times = []
    for request in found[len(primed) :]:
        before = now.get(request.session, 0.0) + 1.0
        now[request.session] = request.arrival_s if request.after_s is None else before + request.after_s
        times.append(now[request.session] - begin)
    span = max(r.arrival_s for r in found) - begin
    assert len(times) / span == pytest.approx(rate, rel=0.15)
    half = sum(time < span / 2 for time in times) / len(times)
    assert half == pytest.approx(0.5, abs=0.06)


def test_sessions_under_way_find_their_history_in_the_cache() -> None:
    found, begin = steady(HABITS["chat"], Arrivals(rate_per_s=5.0), count=300, answer_s=1.0)
    histories = {r.session: r for r in found if r.arrival_s < begin}
    seen = 0
    for request in found:
        if request.arrival_s >= begin and request.after_s is None and request.session in histories:
            history = histories[request.session]
            assert history.prompt_tokens < request.prompt_tokens
            assert request.prefix_blocks[: len(history.prefix_blocks)] == history.prefix_blocks
            assert len(history.prefix_blocks) == history.prompt_tokens // BLOCK_TOKENS
            seen += 1
    assert seen > 50
