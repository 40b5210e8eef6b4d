"""Copies side by side: nothing is lost, nothing comes too early, and two servers are two servers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plimsoll.core.arrivals import Arrivals, requests, steady
from plimsoll.core.habits import HABITS
from plimsoll.core.load import simulate
from plimsoll.core.load_copies import ROUND_S, Engine, simulate_copies
from plimsoll.core.load_figures import Pace
from plimsoll.core.router import ROUTINGS, Router
from plimsoll.domain.copies import Routing
from plimsoll.domain.load import Outcome, Server
from plimsoll.domain.traffic import Habit, Lengths, Request
from tests.core.test_load import even, recursion, server, services, wait_of

SERVER = Server(
    scheduling="chunked", slots_count=64, step_tokens=4096, pool_tokens=400_000, context_tokens=65_536,
    block_tokens=16,
)  # fmt: skip


def _step(count: int, depth: float, tokens: int, seen: float) -> float:
    return 0.008 + 1e-4 * count + 1e-8 * count * depth + 2e-5 * tokens


ENGINE = Engine(pace=Pace(server=SERVER, steps=_step))


def _agents(count: int, seed: int = 0) -> list[Request]:
    return list(islice(requests(HABITS["agents"], Arrivals(rate_per_s=8.0), seed=seed), count))


def _outcomes(requests: list[Request], engines: list[Engine], routing: Routing) -> list[Outcome]:
    return [o for result in simulate_copies(requests, engines, routing) for o in result.outcomes]


@pytest.mark.parametrize("routing", ROUTINGS)
def test_one_copy_is_the_server_alone(routing: Routing) -> None:
    some = _agents(200)
    (found,) = simulate_copies(some, [ENGINE], routing)
    assert found == simulate(some, SERVER, _step)


@pytest.mark.parametrize("routing", ROUTINGS)
def test_every_request_is_answered_once_and_sessions_wait_for_their_answers(routing: Routing) -> None:
    some = _agents(600)
    found = _outcomes(some, [ENGINE, replace(ENGINE, weight=2.0), ENGINE], routing)
    assert Counter(o.request for o in found) == Counter(some)
    by_session: dict[str, list[Outcome]] = {}
    for outcome in found:
        by_session.setdefault(outcome.request.session, []).append(outcome)
    for turns in by_session.values():
        turns.sort(key=lambda o: o.request.prompt_tokens)
        for before, after in pairwise(turns):
            assert after.request.after_s is not None
            assert after.arrived_s == pytest.approx(before.finished_s + after.request.after_s)
            assert after.admitted_s >= after.arrived_s
    assert found == _outcomes(some, [ENGINE, replace(ENGINE, weight=2.0), ENGINE], routing)


def test_what_comes_by_itself_is_spread_as_if_each_copy_were_told_alone() -> None:
    """Without sessions round robin is known beforehand, so the copies must do what they do one by one."""
    alone = Habit(
        name="x", new=Lengths(p50_tokens=500, p95_tokens=3000), output=Lengths(p50_tokens=80, p95_tokens=300)
    )
    some = [
        replace(r, session="", after_s=None) for r in islice(requests(alone, Arrivals(rate_per_s=20.0)), 400)
    ]
    together = simulate_copies(some, [ENGINE] * 2, "round robin")
    for place, result in enumerate(together):
        one = simulate(some[place::2], SERVER, _step)
        assert [o.request for o in result.outcomes] == [o.request for o in one.outcomes]
        assert [o.finished_s for o in result.outcomes] == pytest.approx([o.finished_s for o in one.outcomes])
        assert [o.ttft_s for o in result.outcomes] == pytest.approx([o.ttft_s for o in one.outcomes])
        assert result.steps_count == one.steps_count


def test_the_cache_of_a_session_is_found_where_it_went_before() -> None:
    some = _agents(800)

    def cached(routing: Routing) -> float:
        found = _outcomes(some, [ENGINE] * 4, routing)
        return sum(o.cached_tokens for o in found) / sum(o.request.prompt_tokens for o in found)

    assert cached("session") > cached("round robin") + 0.03


def test_least_outstanding_evens_out_unlike_copies() -> None:
    slow = Engine(pace=Pace(server=SERVER, steps=lambda *step: 4 * _step(*step)))
    some = [replace(r, session="", after_s=None) for r in _agents(600)]
    found = simulate_copies(some, [ENGINE, slow], "least outstanding")
    assert len(found[0].outcomes) > 1.5 * len(found[1].outcomes)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 999), st.integers(2, 4), st.sampled_from(ROUTINGS), st.sampled_from(["chat", "agents"]))
def test_littles_law_holds_over_all_copies(seed: int, copies: int, routing: Routing, habit: str) -> None:
    """The mean number in the system times the time is the sum of all stays (Little 1961)."""
    some, _ = steady(HABITS[habit], Arrivals(rate_per_s=10.0), count=150, answer_s=1.0, seed=seed)
    results = simulate_copies(some, [ENGINE] * copies, routing)
    for result in results:
        stays = sum(o.total_s for o in result.outcomes)
        assert result.in_system_mean * result.seconds == pytest.approx(stays, abs=1e-6 + ROUND_S * 1e-6)


def _queues(count: int, copies: int, routing: Routing) -> tuple[list[Request], list[list[float]]]:
    """Requests of nearly exponential service (1,000 steps of a second) to copies of one slot each, at 0.7 of
    what they can do; and the waits at each copy."""
    one = Engine(
        pace=Pace(
            server=server(slots_count=1, pool_tokens=10**7, context_tokens=10**6, step_tokens=10**6),
            steps=even,
        )
    )
    some = [replace(r, session=f"{n}") for n, r in enumerate(services(copies, 0.7, count, seed=4))]
    results = simulate_copies(some, [one] * copies, routing)
    return some, [[wait_of(o) for o in result.outcomes] for result in results]


def test_sessions_of_one_request_make_every_copy_a_queue_of_its_own() -> None:
    """A Poisson process that is split by chance is one at each copy, and the copy an M/M/1 queue: the wait is
    that of Lindley's recursion over its share of the requests."""
    some, waits = _queues(4000, 3, "session")
    router = Router("session", [1.0] * 3)
    shares: list[list[Request]] = [[] for _ in range(3)]
    for request in some:
        shares[router.pick(request, [0, 0, 0])].append(request)
    for share, found in zip(shares, waits, strict=True):
        assert len(share) == pytest.approx(4000 / 3, rel=0.1)
        free = total = 0.0
        for request in share:
            begin = max(free, request.arrival_s)
            total += begin - request.arrival_s
            free = begin + request.output_tokens
        assert sum(found) / len(found) == pytest.approx(total / len(share), rel=0.01)


def test_who_looks_at_the_queues_waits_less_than_who_does_not_and_more_than_in_one_queue() -> None:
    """Joining the shortest queue lies between one queue for all (M/M/c) and a queue each by chance."""

    def mean(routing: Routing) -> float:
        _, waits = _queues(6000, 4, routing)
        every = [wait for each in waits for wait in each]
        return sum(every) / len(every)

    some, _ = _queues(6000, 4, "session")
    looked = mean("least outstanding")
    assert recursion(some, 4) < looked < 0.6 * mean("session")
