"""Who is best at which load, and the sentences that say why."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.core import copies as core
from plimsoll.core.copies_chart import chart
from plimsoll.core.load import simulate
from plimsoll.core.load_figures import Pace
from plimsoll.domain.answer import ModelFacts
from plimsoll.domain.copies import CopiesAnswer, Copy, Kind, Layout, LayoutResult, Point, Winner
from plimsoll.domain.load import Server
from plimsoll.domain.speed import Term, Terms
from plimsoll.domain.traffic import Request

POINT = Point(
    rate_per_s=1.0, requests_count=10, refused_count=0, ttft_p50_s=0.1, ttft_p95_s=0.2, tpot_p50_s=0.01,
    tpot_p95_s=0.02, total_p50_s=1.0, total_p95_s=2.0, tokens_per_s=100.0, held_share_most=0.5,
    cached_share=0.0, preemptions_count=0,
)  # fmt: skip
KIND = Kind(
    count=1, cards_count=1, split="none", weights_bytes=2**30, pool_tokens=1000, slots_count=8,
    step_seconds=0.01, busy_count=4, busy_step_seconds=0.02, exchange_share=0.0,
)  # fmt: skip


def _layout(text: str, *points: tuple[float, float, bool], copies: int = 1, **kind: float) -> LayoutResult:
    return LayoutResult(
        layout=Layout(text=text, copies=(Copy(cards_count=1),) * copies), verdict="fits",
        weights_bytes=copies * 2**30, pool_tokens=copies * 1000,
        kinds=(replace(KIND, count=copies, **kind),),  # type: ignore[arg-type]
        points=tuple(
            replace(POINT, rate_per_s=rate, total_p95_s=total, is_kept_up=kept)
            for rate, total, kept in points
        ),
    )  # fmt: skip


def test_the_best_is_the_soonest_of_those_that_keep_up() -> None:
    one = _layout("one", (1, 1.0, True), (2, 2.0, True), (5, 9.0, False), (10, 20.0, False))
    many = _layout("many", (1, 2.0, True), (2, 2.05, True), (5, 3.0, True), (10, 30.0, False), copies=8)
    found = core.winners([one, many])
    assert found == (
        Winner(rate_per_s=1, text="one"), Winner(rate_per_s=2, text="one", near=("many",)),
        Winner(rate_per_s=5, text="many"), Winner(rate_per_s=10, text=""),
    )  # fmt: skip
    told = core.reasons([one, many], found)
    assert "the order changes between 2/s and 5/s: one is best below, many above" in told
    assert "above 5/s none of them keeps up" in told
    assert any("many 8 times (8.00 GiB)" in t for t in told)


def test_one_that_was_best_stays_so_while_another_is_hardly_faster() -> None:
    found = core.winners(
        [_layout("a", (1, 1.0, True), (2, 1.04, True)), _layout("b", (1, 1.2, True), (2, 1.0, True))]
    )
    assert [w.text for w in found] == ["a", "a"]
    assert found[1].near == ("b",)


def test_why_follows_the_figures() -> None:
    slower = [
        _layout("tp8", (1, 1.0, True), cards_count=8, step_seconds=0.03, exchange_share=0.42, busy_count=32),
        _layout("8x tp1", (1, 2.0, True), copies=8),
    ]
    told = core.reasons(slower, core.winners(slower))
    assert any("what more cards save by reading the weights together, they lose" in t for t in told)
    assert any("tp8 42% of a step of 32 sequences" in t for t in told)
    faster = [replace(slower[0], kinds=(replace(slower[0].kinds[0], step_seconds=0.003),)), slower[1]]
    assert any(
        "more cards read the weights together" in t for t in core.reasons(faster, core.winners(faster))
    )
    pressed = [_layout("a", (1, 1.0, True)), _layout("b", (1, 2.0, True))]
    pressed[1] = replace(pressed[1], points=(replace(POINT, preemptions_count=7, refused_count=2),))
    told = core.reasons(pressed, core.winners(pressed))
    assert "b: from 1/s on its KV cache is too small (7 preemptions)" in told
    assert "b: 2 requests are longer than it can serve" in told


def test_a_point_is_of_all_copies_since_the_load_is_steady() -> None:
    server = Server(scheduling="chunked", slots_count=4, step_tokens=64, pool_tokens=4096, context_tokens=64)
    pace = Pace(server=server, steps=lambda *step: 1.0)
    some = [Request(arrival_s=float(50 * n), prompt_tokens=10, output_tokens=5) for n in range(4)]
    long = Request(arrival_s=170.0, prompt_tokens=60, output_tokens=5)
    results = [simulate(some[:2], server, pace.steps), simulate([*some[2:], long], server, pace.steps)]
    found = core.point(results, [pace, pace], 1.0, since_s=40.0)
    assert found is not None
    assert (found.requests_count, found.refused_count) == (3, 1)
    assert (found.ttft_p50_s, found.tpot_p50_s, found.total_p95_s) == (1.0, 1.0, 5.0)
    assert found.tokens_per_s == pytest.approx(15 / 105)  # from 50 s, when the first came, to 155 s
    assert core.point([simulate([long], server, pace.steps)], [pace], 1.0) is None


def test_what_is_kept_up_stretches_with_the_steps() -> None:
    one = _layout(
        "a", (1, 1.0, True), (2, 2.0, True), (5, 9.0, False), (10, 1.0, True), slow_times=2.0, fast_times=0.5
    )
    found = core.with_most(one)
    assert (found.most_low_per_s, found.most_per_s, found.most_high_per_s) == (1.0, 2.0, 4.0)
    assert core.with_most(_layout("b", (1, 9.0, False))).most_per_s is None


@pytest.mark.parametrize("times", [0.4, 3.0])
def test_time_itself_is_stretched(times: float) -> None:
    """The formula of `with_most`: slower steps at a load as much smaller do the same, only slower."""
    server = Server(scheduling="chunked", slots_count=4, step_tokens=64, pool_tokens=4096, context_tokens=128)

    def step(count: int, depth: float, tokens: int, seen: float) -> float:
        return 0.01 + 0.001 * count + 1e-5 * depth * count + 1e-4 * tokens

    some = [
        Request(arrival_s=0.13 * n, prompt_tokens=30 + n % 50, output_tokens=5 + n % 9) for n in range(80)
    ]
    slow = [replace(r, arrival_s=times * r.arrival_s) for r in some]
    one = simulate(some, server, step)
    other = simulate(slow, server, lambda *what: times * step(*what))
    assert [o.total_s for o in other.outcomes] == pytest.approx([times * o.total_s for o in one.outcomes])


def test_exchange_is_a_part_of_the_step_by_its_own_coefficient() -> None:
    step = Terms(
        phase="decode", effects=(),
        parts=(
            Term(name="weights", bottleneck="bandwidth", seconds=3.0, effects=("w", "all")),
            Term(name="exchange", bottleneck="link", seconds=1.0,
                effects=("decode exchange: vllm", "x rtx", "all")),
        ),
    )  # fmt: skip
    known = {"all": math.log(2), "decode exchange: vllm": math.log(3)}
    assert core.exchange_share(step, known) == pytest.approx(0.5)
    quicker = core.with_exchange(step, known, 0.25)
    assert core.exchange_share(step, quicker) == pytest.approx(0.75 / 3.75)
    assert quicker["all"] == known["all"]


@given(st.floats(1e-4, 1e4))
def test_rates_are_round_and_grow(rate: float) -> None:
    nice = core.nice_rate(rate)
    assert nice <= rate * 1.000001 < nice * 2.51
    assert f"{nice:.1e}"[0] in "125"
    assert 1.9 < core.next_rate(nice) / nice < 2.6


def test_the_chart_has_a_line_per_layout() -> None:
    facts = ModelFacts(
        id="m", revision="", architecture="a", parameters_count=1, active_parameters_count=1,
        weight_format="bf16", trained_context_tokens=None, runtime="vllm", runtime_version="", fingerprint="",
    )  # fmt: skip
    done = (_layout("a", (1, 1.0, True), (2, 2.0, True)), _layout("b", (1, 2.0, True)))
    refused = LayoutResult(layout=Layout(text="c", copies=(Copy(cards_count=1),)), verdict="does_not_fit")
    answer = CopiesAnswer(
        question="load copies", asked={}, verdict="compared", model=(facts,), machine="x", habit="chat",
        routing="session", layouts=(*done, refused),
    )  # fmt: skip
    drawn = chart(answer)
    assert len(drawn.panels) == 3
    assert [s.name for s in drawn.panels[0].series] == ["a", "b"]
    assert drawn.panels[0].series[0].ys == (1.0, 2.0)
