"""The simulation against textbook queues, laws that hold in every run, and a scheduler without shortcuts."""

from __future__ import annotations

import heapq
import math
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plimsoll.core.chance import Chance
from plimsoll.core.load import CONTEXT_FULL, TOO_LONG, simulate
from plimsoll.domain.load import LoadResult, Outcome, Server
from plimsoll.domain.traffic import Request
from tests.core.plain_scheduler import served


def server(**changes: object) -> Server:
    values: dict[str, object] = {
        "scheduling": "chunked", "slots_count": 16, "step_tokens": 256, "pool_tokens": 4096,
        "context_tokens": 2048, "block_tokens": 16,
    }  # fmt: skip
    values |= changes
    if values["scheduling"] == "slots" and not values.get("is_unified", True):
        values["pool_tokens"] = values["slots_count"] * values["context_tokens"]  # type: ignore[operator]
    return Server(**values)  # type: ignore[arg-type]


def even(count: int, depth: float, tokens: int, seen: float) -> float:
    """A step takes a second, whatever it does."""
    return 1.0


def usual(count: int, depth: float, tokens: int, seen: float) -> float:
    return 0.01 + 1e-4 * count + 1e-8 * count * depth + 2e-5 * tokens + 1e-9 * tokens * seen


def stream(
    rate: float, count: int, *, prompt: int = 128, output: int = 64, seed: int = 1
) -> Iterator[Request]:
    chance, now = Chance(seed, "test"), 0.0
    for _ in range(count):
        now += chance.exponential(1 / rate)
        yield Request(arrival_s=now, prompt_tokens=prompt, output_tokens=output)


def wait_of(o: Outcome) -> float:
    return o.admitted_s - o.arrived_s


def recursion(requests: list[Request], slots: int) -> float:
    """The mean wait by Kiefer and Wolfowitz's recursion: each request takes the slot that is free first."""
    free, total = [0.0] * slots, 0.0
    for r in requests:
        begin = max(heapq.heappop(free), r.arrival_s)
        total += begin - r.arrival_s
        heapq.heappush(free, begin + r.output_tokens)
    return total / len(requests)


def mean_wait(requests: list[Request], slots: int) -> float:
    where = server(slots_count=slots, pool_tokens=10**7, context_tokens=10**6, step_tokens=10**6)
    waits = [wait_of(o) for o in simulate(requests, where, even).answered]
    return sum(waits) / len(waits)


def controlled(requests: list[Request], slots: int, expected: float) -> float:
    """The mean wait with the recursion on the same requests as a control variate: its own mean is that of the
    formula, so what chance does to both is taken out (Lavenberg and Welch 1981)."""
    return mean_wait(requests, slots) - recursion(requests, slots) + expected


@pytest.mark.parametrize("rho", [0.2, 0.5, 0.8, 0.95])
def test_one_slot_with_constant_service_is_an_m_d_1_queue(rho: float) -> None:
    """Wq = rho s / (2 (1 - rho)) (Pollaczek and Khinchine)."""
    requests = list(stream(rho, 4000, prompt=1, output=1, seed=4))
    expected = rho / (2 * (1 - rho))
    assert controlled(requests, 1, expected) == pytest.approx(expected, rel=0.02)
    found = simulate(requests, server(slots_count=1), even)
    assert found.busy_seconds == len(requests)


def erlang_c(servers: int, load: float) -> float:
    """The chance that somebody waits in M/M/c (Erlang 1917)."""
    terms = [load**k / math.factorial(k) for k in range(servers)]
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    return last / (sum(terms) + last)


def services(slots: int, rho: float, count: int, seed: int) -> list[Request]:
    """Requests of one prompt token and a geometric number of others, 1,000 on average: nearly exponential."""
    chance = Chance(seed, "services")
    return [
        Request(arrival_s=r.arrival_s, prompt_tokens=1, output_tokens=chance.geometric(1000.0))
        for r in stream(rho * slots / 1000.0, count, seed=seed)
    ]


@pytest.mark.parametrize(("slots", "rho"), [(1, 0.8), (2, 0.5), (4, 0.7), (8, 0.9)])
def test_several_slots_with_exponential_service_are_an_m_m_c_queue(slots: int, rho: float) -> None:
    """Wq = C(c, a) / (c mu - lambda)."""
    expected = erlang_c(slots, rho * slots) / (slots / 1000.0 * (1 - rho))
    found = controlled(services(slots, rho, 4000, seed=slots), slots, expected)
    assert found == pytest.approx(expected, rel=0.02)


SERVERS = st.builds(
    server,
    scheduling=st.sampled_from(["chunked", "prompts first", "slots"]),
    slots_count=st.integers(1, 20),
    step_tokens=st.integers(32, 512),
    pool_tokens=st.integers(600, 6000),
    block_tokens=st.sampled_from([1, 16, 48]),
    has_prefix_cache=st.booleans(),
    is_unified=st.booleans(),
    intake_s=st.sampled_from([0.0, 0.003]),
    saved_tokens=st.sampled_from([0, 2000]),
)


@st.composite
def traffic(draw: st.DrawFn) -> list[Request]:
    """Requests of any length; some wait for their session's answer, some begin alike."""
    found, now = [], 0.0
    for _ in range(draw(st.integers(1, 60))):
        now += draw(st.sampled_from([0.0, 0.05, 0.3, 2.0]))
        session = draw(st.sampled_from(["", "", "a", "b"]))
        names = draw(st.sampled_from([(), (1, 2), (1, 2, 3, 4), (1, 5)]))
        found.append(
            Request(
                arrival_s=now, prompt_tokens=draw(st.integers(1, 700)),
                output_tokens=draw(st.integers(1, 300)), session=session, prefix_blocks=names,
                prefix_block_tokens=64,
                after_s=draw(st.sampled_from([None, 0.0, 1.0])) if session else None,
            )
        )  # fmt: skip
    return found


@settings(max_examples=60, deadline=None)
@given(traffic(), SERVERS)
def test_laws_of_every_run(requests: list[Request], where: Server) -> None:
    found = simulate(requests, where, usual)
    # Conservation: each request has one fate, once, and the clock runs forwards.
    assert len(found.outcomes) == len(requests)
    assert not found.unfinished_count
    for o in found.outcomes:
        assert 0 <= o.request.arrival_s <= o.arrived_s <= o.first_token_s <= o.finished_s
        if not o.refused:
            assert o.arrived_s <= o.entered_s <= o.admitted_s + 1e-9 <= o.first_token_s + 1e-9
        assert o.cached_tokens >= 0
        assert o.refused in ("", TOO_LONG, CONTEXT_FULL)
        if o.refused == CONTEXT_FULL:
            assert where.scheduling == "slots"
            assert where.is_unified
    # Little's law: the mean number present is the rate of arrival x the mean time inside.
    inside = sum(o.finished_s - o.arrived_s for o in found.outcomes)
    assert found.in_system_mean * found.seconds == pytest.approx(inside, rel=1e-6, abs=1e-6)
    # Nothing holds more than there is, and the server works at most all the time.
    assert found.held_share_most <= 1 + 1e-9
    assert found.running_most <= where.slots_count
    assert found.busy_seconds <= found.seconds * (1 + 1e-9)
    # Prompts are computed once, but for what was cached, and what preemption threw away.
    answered = sum(o.request.prompt_tokens for o in found.answered)
    if where.scheduling == "slots":
        assert found.preemptions_count == found.recomputed_tokens == 0
    if not any(o.refused for o in found.outcomes):
        assert found.computed_tokens + found.cached_tokens >= answered


@settings(max_examples=20, deadline=None)
@given(traffic(), SERVERS)
def test_the_same_again_gives_the_same(requests: list[Request], where: Server) -> None:
    assert simulate(requests, where, usual) == simulate(iter(requests), where, usual)


def test_the_order_of_hashes_changes_nothing() -> None:
    script = (
        "from tests.core.test_load import *\n"
        "r = simulate(stream(9, 400, prompt=300), server(pool_tokens=1600), usual)\n"
        "print(r.preemptions_count, [o.finished_s for o in r.outcomes])"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script], env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("0", "1", "77")
    }  # fmt: skip
    assert len(found) == 1
    assert not found.pop().startswith("0 ")


SHAPES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 3.0, 20.0]), st.integers(1, 300), st.integers(1, 80)),
    min_size=1, max_size=25,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.integers(1, 8), st.integers(8, 200), st.integers(26, 60))
def test_skipping_ahead_is_the_same_as_step_by_step(
    shapes: list[tuple[float, int, int]], slots: int, step: int, blocks: int
) -> None:
    """vLLM's scheduler once more, one step and one block at a time."""
    requests, now = [], 0.0
    for wait, prompt, output in shapes:
        now += wait
        requests.append(Request(arrival_s=now, prompt_tokens=prompt, output_tokens=output))
    where = server(
        slots_count=slots, step_tokens=step, pool_tokens=16 * blocks, has_prefix_cache=False,
        context_tokens=10**6,
    )  # fmt: skip

    def takes(count: int, depth: float, tokens: int, seen: float) -> float:
        return 0.5 + (count + tokens) / 64  # the last token of a prompt computed again may count as either

    found = simulate(requests, where, takes)
    plain = served(requests, where, takes)
    seen = sorted((o.arrived_s, o.first_token_s, o.finished_s, o.preemptions_count) for o in found.outcomes)
    assert seen == [pytest.approx(times, abs=1e-6) for times in sorted(plain)]


def test_requests_that_come_together_are_taken_in_one_after_the_other() -> None:
    requests = [Request(arrival_s=0.0, prompt_tokens=1, output_tokens=1)] * 9
    found = simulate(requests, server(intake_s=0.01, delay_s=0.1), even)
    assert {o.entered_s for o in found.outcomes} == {0.1 + 5 * 0.01}


def test_what_is_too_long_is_refused_at_once() -> None:
    requests = [Request(arrival_s=1.0, prompt_tokens=2000, output_tokens=100)]
    (outcome,) = simulate(requests, server(), usual).outcomes
    assert (outcome.refused, outcome.finished_s) == (TOO_LONG, 1.0)


def crowd(count: int, *, prompt: int = 200, output: int = 400, names: tuple[int, ...] = ()) -> list[Request]:
    return [
        Request(
            arrival_s=0.0, prompt_tokens=prompt, output_tokens=output, prefix_blocks=names,
            prefix_block_tokens=64,
        )
    ] * count  # fmt: skip


def test_vllm_preempts_who_came_last_and_computes_it_again() -> None:
    found = simulate(crowd(8), server(pool_tokens=2048, has_prefix_cache=False), usual)
    assert found.preemptions_count > 0
    assert found.recomputed_tokens >= 200 * found.preemptions_count
    assert found.computed_tokens == 8 * 200 + found.recomputed_tokens
    first, last = found.outcomes[0], found.outcomes[-1]
    assert first.preemptions_count == 0
    assert last.preemptions_count > 0


def test_vllm_finds_the_blocks_of_a_preempted_request_again_if_nobody_took_them() -> None:
    with_cache, without = (
        simulate(crowd(8), server(pool_tokens=2048, has_prefix_cache=has), usual) for has in (True, False)
    )
    assert with_cache.preemptions_count > 0
    assert with_cache.recomputed_tokens < without.recomputed_tokens


def test_sglang_computes_prompts_first_and_sends_the_youngest_back() -> None:
    found = simulate(crowd(8), server(scheduling="prompts first", pool_tokens=2048, block_tokens=1), usual)
    assert found.preemptions_count > 0
    roomy = server(scheduling="prompts first", step_tokens=2048, block_tokens=1)
    many = simulate(crowd(8, output=100), roomy, usual)
    assert len({o.first_token_s for o in many.outcomes}) == 1


def test_a_common_beginning_is_computed_once() -> None:
    names = (7, 8, 9)
    for scheduling in ("chunked", "prompts first"):
        where = server(scheduling=scheduling, step_tokens=256)
        requests = [
            Request(arrival_s=10.0 * n, prompt_tokens=200, output_tokens=4, prefix_blocks=names,
                    prefix_block_tokens=64)
            for n in range(5)
        ]  # fmt: skip
        found = simulate(requests, where, usual)
        assert [o.cached_tokens for o in found.outcomes] == [0, 192, 192, 192, 192]
        assert found.computed_tokens == 200 + 4 * 8


def test_a_prefix_that_was_pushed_out_is_computed_again() -> None:
    shared = Request(arrival_s=0.0, prompt_tokens=200, output_tokens=4, prefix_blocks=(7, 8, 9),
                     prefix_block_tokens=64)  # fmt: skip
    other = Request(arrival_s=10.0, prompt_tokens=1900, output_tokens=100)
    again = Request(arrival_s=1000.0, prompt_tokens=200, output_tokens=4, prefix_blocks=(7, 8, 9),
                    prefix_block_tokens=64)  # fmt: skip
    kept = simulate([shared, other, again], server(pool_tokens=4096), usual)
    pushed = simulate([shared, other, again], server(pool_tokens=2048), usual)
    assert [o.cached_tokens for o in kept.outcomes] == [0, 0, 192]
    assert [o.cached_tokens for o in pushed.outcomes] == [0, 0, 0]


def test_llama_server_gives_a_request_the_slot_that_knows_its_beginning() -> None:
    where = server(scheduling="slots", slots_count=2, block_tokens=1, is_unified=False)
    requests = [
        Request(arrival_s=20.0 * n, prompt_tokens=200, output_tokens=4, prefix_blocks=names,
                prefix_block_tokens=64)
        for n, names in enumerate([(1, 2, 3), (4, 5, 6), (1, 2, 3), (4, 5, 6)])
    ]  # fmt: skip
    assert [o.cached_tokens for o in simulate(requests, where, usual).outcomes] == [0, 0, 192, 192]


def test_llama_server_finds_prompts_again_that_it_saved_in_host_memory() -> None:
    requests = [
        Request(arrival_s=20.0 * n, prompt_tokens=200, output_tokens=4, prefix_blocks=names,
                prefix_block_tokens=64)
        for n, names in enumerate([(1, 2, 3), (4, 5, 6), (1, 2, 3), (4, 5, 6)])
    ]  # fmt: skip
    for saved, cached in ((1000, [0, 0, 192, 192]), (0, [0, 0, 0, 0]), (150, [0, 0, 0, 0])):
        where = server(scheduling="slots", slots_count=1, block_tokens=1, saved_tokens=saved)
        assert [o.cached_tokens for o in simulate(requests, where, usual).outcomes] == cached


def test_llama_server_ends_all_requests_when_the_shared_context_is_full() -> None:
    where = server(scheduling="slots", slots_count=4, block_tokens=1, pool_tokens=1500, is_unified=True)
    found = simulate(crowd(4), where, usual)
    assert {o.refused for o in found.outcomes} == {CONTEXT_FULL}
    apart = server(scheduling="slots", slots_count=4, block_tokens=1, pool_tokens=8192, is_unified=False)
    assert not any(o.refused for o in simulate(crowd(4), apart, usual).outcomes)


def test_a_user_asks_again_when_answered_and_after_a_while() -> None:
    turns = [
        Request(arrival_s=0.0, prompt_tokens=10, output_tokens=10, session="u", after_s=after)
        for after in (None, 5.0, 7.0)
    ]
    first, second, third = simulate(turns, server(), usual).outcomes
    assert second.arrived_s == first.finished_s + 5.0
    assert third.arrived_s == second.finished_s + 7.0


def test_a_loop_without_end_ends_with_the_time() -> None:
    start = Request(arrival_s=0.0, prompt_tokens=10, output_tokens=10)
    found = simulate([start], server(), usual, then=lambda o: start, until_s=30.0)
    assert 30.0 <= found.seconds < 31.0
    assert found.unfinished_count == 1
    assert len(found.outcomes) > 100


def test_requests_out_of_order_are_a_mistake_of_the_caller() -> None:
    late = [Request(arrival_s=t, prompt_tokens=1, output_tokens=1) for t in (5.0, 1.0)]
    with pytest.raises(ValueError, match="order"):
        simulate(late, server(), usual)


def goodput(found: LoadResult, within_s: float) -> float:
    return sum(o.ttft_s <= within_s for o in found.answered) / found.seconds


def test_past_saturation_more_load_brings_no_more_goodput() -> None:
    rates = (2.0, 6.0, 10.0, 14.0, 20.0, 40.0)
    found = [simulate(stream(r, 1500, output=200), server(pool_tokens=40_000), usual) for r in rates]
    answered = [len(f.answered) / f.seconds for f in found]
    good = [goodput(f, 1.0) for f in found]
    full = next(i for i, (r, a) in enumerate(zip(rates, answered, strict=True)) if a < 0.9 * r)
    assert 0 < full < len(rates) - 1
    assert all(later <= 1.02 * max(good[: full + 1]) for later in good[full + 1 :])
    assert max(answered[full:]) <= 1.05 * min(answered[full:])


def test_a_saved_prompt_that_finds_no_room_is_computed_again() -> None:
    """Restoring it into a full shared context fails, and never lets the clock run backwards."""
    where = server(
        scheduling="slots", slots_count=4, step_tokens=32, pool_tokens=600, block_tokens=1, saved_tokens=2000
    )
    requests = [
        Request(
            arrival_s=0.1 * n, prompt_tokens=150 + n, output_tokens=40, prefix_blocks=(1, 2),
            prefix_block_tokens=64,
        )
        for n in range(12)
    ]  # fmt: skip
    found = simulate(requests, where, usual)
    assert len(found.outcomes) == 12
    assert found.held_share_most <= 1
    assert all(o.arrived_s <= o.first_token_s for o in found.outcomes)
