"""The placement of a fleet as integers, and what a choice of ways is worth: no solver in here.

Sizes are MiB, rounded up for needs and down for capacities; money is 10^-6 of the currency; shares are
thousandths. Roles, sites (single machines), places (a device, or a site's host memory) and options are called
by their index.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from plimsoll.core.fit import TIGHT_SHARE

__all__ = ["AIMS", "TIGHT_SHARE", "Option", "Place", "Problem", "Score", "Site", "Task", "broken", "score"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A device or host memory: `capacity` is free for roles, `certain` may be used at the high end of every
    size before it is tight. An hour in which it works costs `power_rate`."""

    site: int
    capacity: int
    certain: int
    power_rate: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One machine: an hour costs `hour_rate`, having it at all `month_rate`; alike ones share `kind`."""

    kind: int
    hour_rate: int = 0
    month_rate: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A role: `replicas` copies wanted, at least `least` of them whatever it costs. `busy` thousandths of the
    time it computes. `apart` and `together` are roles by index, about sites; `needs` about being placed."""

    replicas: int = 1
    least: int = 0
    priority: int = 1
    busy: int = 1000
    has_wish: bool = False
    apart: tuple[int, ...] = ()
    together: tuple[int, ...] = ()
    needs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One way of a role on certain places. `computes` are the places it works on.

    `slack` is how many others may be busy there, in thousandths, before the wished speed is missed; negative:
    it is missed alone. `shortfall` is how many thousandths of the wish are missing alone.
    """

    task: int
    site: int
    computes: tuple[int, ...]
    needs: Mapping[int, int]
    high: Mapping[int, int]
    hours: int = 730
    rank: int = 0
    slack: int = -1
    shortfall: int = 0
    is_alone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Everything to choose from. `twins` are groups of alike devices that are free to change places."""

    tasks: tuple[Task, ...]
    sites: tuple[Site, ...]
    places: tuple[Place, ...]
    options: tuple[Option, ...]
    budget: int | None = None
    twins: tuple[tuple[int, ...], ...] = field(default=())

    @property
    def levels(self) -> tuple[int, ...]:
        """The priorities in order, the weightiest first."""
        return tuple(sorted({t.priority for t in self.tasks}))


# The aims in order, each (name, whether more is better); those of priorities come before them.
AIMS = (
    ("speed wishes met", True), ("speed missing", False), ("cost", False), ("model and format", False),
    ("devices they are spread over", False), ("tight places", False), ("fullest place", False),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a choice is worth, in the order of the aims: roles and copies placed by priority, wishes met,
    thousandths of speed missing, cost, ranks, devices that copies are spread over, tight places, thousandths
    of the fullest.
    """

    placed: tuple[int, ...]
    wishes: int
    shortfall: int
    cost: int
    rank: int
    devices: int
    tight: int
    fullest: int

    @property
    def key(self) -> tuple[int, ...]:
        """Larger is better, place by place."""
        worse = (self.shortfall, self.cost, self.rank, self.devices, self.tight, self.fullest)
        return (*self.placed, self.wishes, *(-x for x in worse))


def broken(problem: Problem, chosen: Collection[int]) -> str:
    """The first rule that a choice of options breaks, or ''."""
    options = [problem.options[i] for i in sorted(chosen)]
    counts = _counts(problem, options)
    for number, task in enumerate(problem.tasks):
        if not task.least <= counts[number] <= task.replicas:
            return f"role {number}: {counts[number]} copies"
        if counts[number] and not all(counts[n] for n in task.needs):
            return f"role {number}: what it needs is not placed"
    for number, place in enumerate(problem.places):
        here = [o for o in options if number in o.computes]
        if len({o.task for o in here}) < len(here):
            return f"place {number}: two copies of one role"
        if len(here) > 1 and any(o.is_alone for o in here):
            return f"place {number}: not alone"
        if sum(o.needs.get(number, 0) for o in options) > place.capacity:
            return f"place {number}: too full"
    for o in options:
        beside = {other.task for other in options if other.site == o.site}
        task = problem.tasks[o.task]
        if beside & set(task.apart) or not set(task.together) <= beside:
            return f"role {o.task}: not apart or not together"
    if problem.budget is not None and cost_of(problem, options) > problem.budget:
        return "budget"
    return ""


def score(problem: Problem, chosen: Collection[int]) -> Score:
    """What a choice of options is worth, by plain sums."""
    options = [problem.options[i] for i in sorted(chosen)]
    counts = _counts(problem, options)
    placed: list[int] = []
    for level in problem.levels:
        here = [c for c, t in zip(counts, problem.tasks, strict=True) if t.priority == level]
        placed += [sum(c > 0 for c in here), sum(here)]
    return Score(
        placed=tuple(placed), wishes=sum(is_met(problem, options, o) for o in options),
        shortfall=_missing_speed(problem, options, counts), cost=cost_of(problem, options),
        rank=sum(o.rank for o in options),
        devices=sum(len(o.computes) for o in options),
        tight=sum(_is_tight(p, i, options) for i, p in enumerate(problem.places)),
        fullest=max((_fullness(p, i, options) for i, p in enumerate(problem.places)), default=0),
    )  # fmt: skip


def _missing_speed(problem: Problem, options: Sequence[Option], counts: Sequence[int]) -> int:
    """Thousandths of wished speeds that are missing; all of a copy's that has no place."""
    wished = [(t.replicas, c) for t, c in zip(problem.tasks, counts, strict=True) if t.has_wish]
    return sum(o.shortfall for o in options) + sum(1000 * (wanted - c) for wanted, c in wished)


def _counts(problem: Problem, options: Iterable[Option]) -> list[int]:
    counts = [0] * len(problem.tasks)
    for o in options:
        counts[o.task] += 1
    return counts


def is_met(problem: Problem, options: Sequence[Option], option: Option) -> bool:
    """Whether an option keeps its wished speed beside the others."""
    if not problem.tasks[option.task].has_wish or option.slack < 0:
        return False
    return others_busy(problem, options, option) <= option.slack


def others_busy(problem: Problem, options: Sequence[Option], option: Option) -> int:
    """How many others compute on its most disputed place on average, in thousandths.

    A device runs the work of one process at a time and gives each its turn (the processes are not merged by
    NVIDIA's MPS), so beside others that are busy a share b of the time a pass takes 1 + the sum of b as long.
    """
    each = (
        sum(problem.tasks[o.task].busy for o in options if o.task != option.task and place in o.computes)
        for place in option.computes
    )
    return max(each, default=0)


def cost_of(problem: Problem, options: Sequence[Option]) -> int:
    """Rent of the hours that the longest role of each site asks for, and power of the places likewise."""
    total = 0
    for number, site in enumerate(problem.sites):
        hours = max((o.hours for o in options if o.site == number), default=0)
        total += hours * site.hour_rate + (site.month_rate if hours else 0)
    for number, place in enumerate(problem.places):
        total += place.power_rate * max((o.hours for o in options if number in o.computes), default=0)
    return total


def _is_tight(place: Place, number: int, options: Sequence[Option]) -> bool:
    high = sum(o.high.get(number, 0) for o in options)
    return high > place.certain


def _fullness(place: Place, number: int, options: Sequence[Option]) -> int:
    """Thousandths of the free memory in use, rounded up."""
    used = sum(o.needs.get(number, 0) for o in options)
    return -(-1000 * used // place.capacity) if place.capacity else 0
