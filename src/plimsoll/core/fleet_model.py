"""The placement of a fleet as linear rows over whole numbers, for any solver of such.

Every option is a variable 0 or 1; the others are hours of a site or place, whether a wish is kept, whether a
place is tight, and how full the fullest one is. `core.fleet` says what each of them means.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

from plimsoll.core.fleet import AIMS, Option, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """low <= sum of coefficient x variable <= high; None: no such end."""

    terms: Mapping[int, int]
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What is maximised, or minimised, before the aims after it: `constant` + the sum of the terms."""

    name: str
    terms: Mapping[int, int]
    is_more_better: bool
    constant: int = 0


@dataclass(slots=True)
class Linear:
    """Variables by their upper bounds (all start at 0), rows and aims."""

    uppers: list[int] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    aims: list[Aim] = field(default_factory=list)

    def variable(self, upper: int) -> int:
        """A new variable from 0 to `upper`."""
        self.uppers.append(upper)
        return len(self.uppers) - 1

    def at_most(self, terms: Mapping[int, int], high: int) -> None:
        """A row that cannot fail is left out."""
        most = sum(c * self.uppers[v] for v, c in terms.items() if c > 0)
        if most > high:
            self.rows.append(Row(terms=terms, high=high))


class _Index:
    """The options by role, site and place, each with its number."""

    def __init__(self, problem: Problem) -> None:
        self.of_task: dict[int, dict[int, Option]] = {}
        self.of_site: dict[int, dict[int, Option]] = {}
        self.of_task_at: dict[tuple[int, int], dict[int, Option]] = {}
        self.computing: dict[int, dict[int, Option]] = {}
        for i, option in enumerate(problem.options):
            self.of_task.setdefault(option.task, {})[i] = option
            self.of_site.setdefault(option.site, {})[i] = option
            self.of_task_at.setdefault((option.task, option.site), {})[i] = option
            for place in option.computes:
                self.computing.setdefault(place, {})[i] = option


def linear(problem: Problem) -> Linear:
    """The whole problem; the first variables are the options, in their order."""
    model, index = Linear(), _Index(problem)
    for _ in problem.options:
        model.variable(1)
    _copies(model, problem, index)
    _places(model, problem, index)
    _relations(model, problem, index)
    _alike(model, problem, index)
    costs = _costs(model, problem, index)
    if problem.budget is not None:
        model.at_most(costs, problem.budget)
    _aims(model, problem, index, costs)
    return model


def _copies(model: Linear, problem: Problem, index: _Index) -> None:
    """Up to so many copies of a role, each on places of its own."""
    for number, task in enumerate(problem.tasks):
        every = index.of_task.get(number, {})
        model.at_most(dict.fromkeys(every, 1), task.replicas)
        if task.least:
            model.rows.append(Row(terms=dict.fromkeys(every, 1), low=task.least))
        if task.replicas > 1:
            for here in index.computing.values():
                model.at_most({i: 1 for i, o in here.items() if o.task == number}, 1)


def _places(model: Linear, problem: Problem, index: _Index) -> None:
    """Memory, and who wants to be alone."""
    for number, place in enumerate(problem.places):
        held = {i: o.needs[number] for i, o in enumerate(problem.options) if o.needs.get(number)}
        model.at_most(held, place.capacity)
        here = index.computing.get(number, {})
        for task in sorted({o.task for o in here.values() if o.is_alone}):
            others = {i: 1 for i, o in here.items() if o.task != task}
            count = len({o.task for o in here.values() if o.task != task})
            alone = {i: count for i, o in here.items() if o.task == task and o.is_alone}
            model.at_most({**others, **alone}, count)


def _relations(model: Linear, problem: Problem, index: _Index) -> None:
    """Needs, together and apart. A role lies on a site when any option of it there is chosen."""
    for number, task in enumerate(problem.tasks):
        for i, option in index.of_task.get(number, {}).items():
            for needed in task.needs:
                model.at_most({i: 1, **dict.fromkeys(index.of_task.get(needed, {}), -1)}, 0)
            for other in task.together:
                beside = index.of_task_at.get((other, option.site), {})
                model.at_most({i: 1, **dict.fromkeys(beside, -1)}, 0)
        for other in task.apart:
            _apart(model, problem, index, number, other)


def _apart(model: Linear, problem: Problem, index: _Index, one: int, other: int) -> None:
    for site in range(len(problem.sites)):
        first, second = (index.of_task_at.get((t, site), {}) for t in (one, other))
        if not first or not second:
            continue
        lies = model.variable(1)  # 1: only the first may lie here, 0: only the second
        for i in first:
            model.at_most({i: 1, lies: -1}, 0)
        for i in second:
            model.at_most({i: 1, lies: 1}, 1)


def _alike(model: Linear, problem: Problem, index: _Index) -> None:
    """Of alike sites, and of alike devices, the earlier one holds no fewer options: one order of many."""
    sites = range(len(problem.sites))
    for a, b in itertools.pairwise(sites):
        if problem.sites[a].kind == problem.sites[b].kind:
            earlier, later = (dict.fromkeys(index.of_site.get(s, {}), 1) for s in (a, b))
            model.at_most({**later, **dict.fromkeys(earlier, -1)}, 0)
    for group in problem.twins:
        for a, b in itertools.pairwise(group):
            first, second = (index.computing.get(p, {}).keys() for p in (a, b))
            only = {**dict.fromkeys(second - first, 1), **dict.fromkeys(first - second, -1)}
            model.at_most({i: only[i] for i in sorted(only)}, 0)


def _costs(model: Linear, problem: Problem, index: _Index) -> dict[int, int]:
    """Hours of sites and places at least as long as each chosen option asks for, with what an hour costs."""
    terms: dict[int, int] = {}
    for number, site in enumerate(problem.sites):
        here = index.of_site.get(number, {})
        if site.hour_rate and here:
            terms[_hours(model, here)] = site.hour_rate
        if site.month_rate and here:
            had = model.variable(1)
            for i in here:
                model.at_most({i: 1, had: -1}, 0)
            terms[had] = site.month_rate
    for number, place in enumerate(problem.places):
        here = index.computing.get(number, {})
        if place.power_rate and here:
            terms[_hours(model, here)] = place.power_rate
    return terms


def _hours(model: Linear, here: Mapping[int, Option]) -> int:
    hours = model.variable(max(o.hours for o in here.values()))
    for i, option in here.items():
        model.at_most({i: option.hours, hours: -1}, 0)
    return hours


def _aims(model: Linear, problem: Problem, index: _Index, costs: Mapping[int, int]) -> None:
    options = list(enumerate(problem.options))
    for level in problem.levels:
        placed = {i: 1 for i, o in options if problem.tasks[o.task].priority == level}
        if any(t.replicas > 1 and t.priority == level for t in problem.tasks):
            roles = _roles(model, problem, index, level)
            model.aims.append(Aim(name=f"roles of priority {level} placed", terms=roles, is_more_better=True))
        model.aims.append(Aim(name=f"copies of priority {level} placed", terms=placed, is_more_better=True))
    # What is missing of a wish counts whole where the copy has no place: leaving it out is no way to save it.
    saved = {i: o.shortfall - 1000 * problem.tasks[o.task].has_wish for i, o in options}
    wished = sum(t.replicas for t in problem.tasks if t.has_wish)
    each = (
        _wishes(model, problem, index), {i: n for i, n in saved.items() if n}, costs,
        {i: o.rank for i, o in options if o.rank},
        {i: len(o.computes) for i, o in options},
        _tight(model, problem), _fullest(model, problem),
    )  # fmt: skip
    for (name, is_more_better), terms in zip(AIMS, each, strict=True):
        constant = 1000 * wished if name == "speed missing" else 0
        model.aims.append(Aim(name=name, terms=terms, is_more_better=is_more_better, constant=constant))


def _roles(model: Linear, problem: Problem, index: _Index, level: int) -> dict[int, int]:
    """A variable per role of a priority that has a copy somewhere."""
    terms: dict[int, int] = {}
    for number, task in enumerate(problem.tasks):
        if task.priority == level and number in index.of_task:
            some = model.variable(1)
            terms[some] = 1
            model.at_most({some: 1, **dict.fromkeys(index.of_task[number], -1)}, 0)
    return terms


def _wishes(model: Linear, problem: Problem, index: _Index) -> dict[int, int]:
    """A variable per option that can keep its wish: where it is chosen, and few enough others are busy."""
    terms: dict[int, int] = {}
    for i, option in enumerate(problem.options):
        if not problem.tasks[option.task].has_wish or option.slack < 0:
            continue
        met = model.variable(1)
        terms[met] = 1
        model.at_most({met: 1, i: -1}, 0)
        for place in option.computes:
            others = {k: o.task for k, o in index.computing[place].items() if o.task != option.task}
            busy = {k: problem.tasks[task].busy for k, task in others.items()}
            most = sum(problem.tasks[t].busy for t in set(others.values()))  # of each role one option at most
            if most > option.slack:
                model.at_most({**busy, met: most - option.slack}, most)
    return terms


def _tight(model: Linear, problem: Problem) -> dict[int, int]:
    terms: dict[int, int] = {}
    for number, place in enumerate(problem.places):
        high = {i: o.high[number] for i, o in enumerate(problem.options) if o.high.get(number)}
        most = sum(high.values())
        if most > place.certain:
            tight = model.variable(1)
            terms[tight] = 1
            model.at_most({**high, tight: -(most - place.certain)}, place.certain)
    return terms


def _fullest(model: Linear, problem: Problem) -> dict[int, int]:
    fullest = model.variable(1000)
    for number, place in enumerate(problem.places):
        held = {i: 1000 * o.needs[number] for i, o in enumerate(problem.options) if o.needs.get(number)}
        if held:
            model.at_most({**held, fullest: -place.capacity}, 0)
    return {fullest: 1}
