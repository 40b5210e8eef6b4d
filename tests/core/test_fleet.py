"""The placement of a fleet: the solver against every choice tried, and each rule alone."""

from __future__ import annotations

import builtins
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plimsoll.core.fleet import Option, Place, Problem, Site, Task, broken, score
from plimsoll.core.fleet_model import linear
from plimsoll.core.fleet_solver import is_possible, solve
from plimsoll.errors import BadSetting
from tests.core.fleet_rivals import brute_force, drawn, first_fit

GPU = Place(site=0, capacity=24_000, certain=23_000)


def option(task: int, size: int, *, place: int = 0, site: int = 0, **more: Any) -> Option:
    return Option(task=task, site=site, computes=(place,), needs={place: size}, high={place: size}, **more)


def problem(tasks: list[Task], options: list[Option], places: int = 1, **more: Any) -> Problem:
    sites = more.pop("sites", tuple(Site(kind=i) for i in range(places)))
    return Problem(
        tasks=tuple(tasks), sites=sites, places=tuple(replace(GPU, site=i) for i in range(places)),
        options=tuple(options), **more,
    )  # fmt: skip


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 2))
def test_no_choice_is_better_than_the_solvers(seed: int, tasks: int, sites: int) -> None:
    tiny = drawn(seed, tasks=tasks, sites=sites, formats=2)
    if len(tiny.options) > 16:
        tiny = replace(tiny, options=tiny.options[::2][:16])
    found = solve(tiny)
    assert found.is_proven
    assert not broken(tiny, found.chosen)
    assert score(tiny, found.chosen).key == score(tiny, brute_force(tiny)).key


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_first_fit_is_never_better_and_a_second_run_is_the_same(seed: int) -> None:
    small = drawn(seed, tasks=4, sites=3)
    found = solve(small)
    assert not broken(small, found.chosen)
    assert score(small, found.chosen).key >= score(small, first_fit(small)).key
    assert solve(small) == found


def test_the_stages_say_what_the_plain_sums_say() -> None:
    some = drawn(5, tasks=5, sites=3)
    found = solve(some)
    told = {s.aim: s.value for s in found.stages}
    by_hand = score(some, found.chosen)
    assert told["cost"] == by_hand.cost
    assert told["speed wishes met"] == by_hand.wishes
    assert told["fullest place"] == by_hand.fullest


def test_priority_goes_before_number() -> None:
    """One role of priority 1 fills the card that two of priority 2 would share."""
    tasks = [Task(priority=1), Task(priority=2), Task(priority=2)]
    found = solve(problem(tasks, [option(0, 20_000), option(1, 10_000), option(2, 10_000)]))
    assert found.chosen == (0,)


def test_a_wish_goes_before_cost() -> None:
    sites = (Site(kind=0), Site(kind=1, hour_rate=10))
    ways = [option(0, 1, shortfall=500), option(0, 1, place=1, site=1, slack=0)]
    assert solve(problem([Task(has_wish=True)], ways, 2, sites=sites)).chosen == (1,)
    assert solve(problem([Task()], ways, 2, sites=sites)).chosen == (1,)  # it falls short of what it wishes
    same = [replace(w, shortfall=0) for w in ways]
    assert solve(problem([Task()], same, 2, sites=sites)).chosen == (0,)


def test_leaving_a_role_out_does_not_save_what_is_missing_of_its_wish() -> None:
    tasks = [Task(has_wish=True), Task(has_wish=True)]
    ways = [option(0, 20_000, shortfall=400), option(1, 20_000, shortfall=700)]
    found = solve(problem(tasks, ways))
    assert found.chosen == (0,)
    assert {s.aim: s.value for s in found.stages}["speed missing"] == 400 + 1000
    one = problem([Task(has_wish=True)], ways[:1])
    assert solve(one).chosen == (0,)


def test_a_busy_neighbour_takes_a_wish_away() -> None:
    """Beside one that is busy half the time, 1.4 times the wish is not enough and 1.6 times is."""
    tasks = [Task(has_wish=True), Task(busy=500)]
    for slack, met in ((400, 0), (600, 1)):
        crowded = problem(tasks, [option(0, 1, slack=slack), option(1, 1)])
        found = solve(crowded)
        assert found.chosen == (0, 1)
        assert score(crowded, found.chosen).wishes == met
    apart = problem(tasks, [option(0, 1, slack=400), option(1, 1), option(1, 1, place=1, site=1)], 2)
    assert solve(apart).chosen == (0, 2)


def test_rules_between_roles() -> None:
    both = [option(0, 1), option(1, 1)]
    assert len(solve(problem([Task(), Task(apart=(0,))], both)).chosen) == 1
    assert len(solve(problem([Task(), Task()], [replace(both[0], is_alone=True), both[1]])).chosen) == 1
    split = [option(0, 1), option(1, 1, place=1, site=1)]
    assert len(solve(problem([Task(), Task(together=(0,))], split, 2)).chosen) == 1
    big = [option(0, 30_000), option(1, 1)]
    assert solve(problem([Task(), Task(needs=(0,))], big)).chosen == ()


def test_copies_lie_on_different_places_and_a_budget_holds() -> None:
    sites = (Site(kind=0, hour_rate=1), Site(kind=1, month_rate=500))
    ways = [option(0, 1), option(0, 2), option(0, 1, place=1, site=1)]
    wanted = problem([Task(replicas=3)], ways, 2, sites=sites)
    assert len(solve(wanted).chosen) == 2
    assert score(wanted, solve(wanted).chosen).cost == 730 + 500
    assert solve(replace(wanted, budget=600)).chosen == (2,)


def test_alike_machines_are_filled_in_order() -> None:
    sites = (Site(kind=0), Site(kind=0))
    ways = [option(0, 1), option(0, 1, place=1, site=1)]
    assert solve(problem([Task()], ways, 2, sites=sites)).chosen == (0,)


def test_what_must_be_placed_and_cannot() -> None:
    full = problem([Task(least=1), Task(least=1)], [option(0, 20_000), option(1, 20_000)])
    assert not is_possible(full)
    assert not solve(full).is_possible
    assert is_possible(problem([Task(least=1)], [option(0, 20_000)]))


def test_a_search_cut_short_says_how_far_the_bound_is() -> None:
    large = drawn(3, tasks=12, sites=6)
    found = solve(large, effort=0.02)
    assert not found.is_proven
    assert not broken(large, found.chosen)
    assert any(s.gap > 0 for s in found.stages)


def test_rows_that_cannot_fail_are_left_out() -> None:
    """One small role on a large card: only how full it is has to be said."""
    assert len(linear(problem([Task()], [option(0, 1)])).rows) == 1


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_one_order_of_alike_devices_and_machines_loses_nothing(seed: int) -> None:
    free = alike(seed)
    ordered = replace(free, twins=((0, 1), (2, 3)), sites=tuple(replace(s, kind=0) for s in free.sites))
    assert score(ordered, solve(ordered).chosen).key == score(free, solve(free).chosen).key


def alike(seed: int) -> Problem:
    """Two alike machines with two alike cards each: what holds of the first card holds of all."""
    first = drawn(seed, tasks=4, sites=1, formats=2, devices=1)
    places = tuple(replace(first.places[0], site=i // 2) for i in range(4))
    options = [
        replace(o, site=p // 2, computes=(p,), needs={p: o.needs[0]}, high={p: o.high[0]})
        for o in first.options
        for p in range(4)
    ]
    sites = tuple(replace(first.sites[0], kind=i) for i in range(2))
    return replace(first, sites=sites, places=places, options=tuple(options))


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("ortools"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BadSetting) as error:
        solve(problem([Task()], [option(0, 1)]))
    assert "plimsoll-llm[fleet]" in error.value.hint
