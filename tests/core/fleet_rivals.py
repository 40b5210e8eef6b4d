"""What the solver is compared with: every choice tried, and first fit by hand; and fleets drawn at random."""

from __future__ import annotations

import random
from collections.abc import Sequence

from plimsoll.core.fleet import Option, Place, Problem, Site, Task, broken, score


def brute_force(problem: Problem) -> tuple[int, ...]:
    """The best choice of all, by trying every set of options that breaks no limit on the way.

    Rules that a further option can still mend (together, needs, copies that must be placed) are judged at
    the end.
    """
    best: tuple[tuple[int, ...], tuple[int, ...]] | None = None

    def tried(number: int, chosen: tuple[int, ...], left: Sequence[int], copies: Sequence[int]) -> None:
        nonlocal best
        if number == len(problem.options):
            if not broken(problem, chosen):
                key = score(problem, chosen).key
                if best is None or key > best[0]:
                    best = (key, chosen)
            return
        tried(number + 1, chosen, left, copies)
        option = problem.options[number]
        rest = list(left)
        for place, size in option.needs.items():
            rest[place] -= size
        if min(rest) < 0 or not copies[option.task]:
            return
        fewer = [n - (i == option.task) for i, n in enumerate(copies)]
        tried(number + 1, (*chosen, number), rest, fewer)

    tried(0, (), [p.capacity for p in problem.places], [t.replicas for t in problem.tasks])
    assert best is not None
    return best[1]


def first_fit(problem: Problem) -> tuple[int, ...]:
    """Roles by priority, the largest first; each takes the first option that breaks nothing, those that keep
    its wish and cost nothing more first. As one would do by hand; what needs others waits for a second round.
    """
    chosen: list[int] = []
    sizes = [
        max((sum(o.needs.values()) for o in problem.options if o.task == t), default=0)
        for t in range(len(problem.tasks))
    ]
    order = sorted(range(len(problem.tasks)), key=lambda t: (problem.tasks[t].priority, -sizes[t]))
    for _ in range(2):
        for task in order:
            ways = [i for i, o in enumerate(problem.options) if o.task == task]
            ways.sort(key=lambda i: _wish(problem, chosen, i))
            for i in ways:
                if i not in chosen and not broken(problem, [*chosen, i]):
                    chosen.append(i)
    return tuple(sorted(chosen))


def _wish(problem: Problem, chosen: Sequence[int], number: int) -> tuple[int, ...]:
    option = problem.options[number]
    more = score(problem, [*chosen, number]).cost - score(problem, chosen).cost
    return option.slack < 0, option.shortfall, more, option.rank


def drawn(
    seed: int, *, tasks: int, sites: int, formats: int = 3, devices: int = 2, is_tied: bool = True
) -> Problem:
    """A fleet at random: cards of 24 to 96 GB, models of 2 to 60, some rented, with wishes and ties."""
    r = random.Random(seed)
    found_sites, places, on = [], list[Place](), []
    for number in range(sites):
        found_sites.append(Site(kind=number, hour_rate=r.choice([0, 0, 2_500_000, 900_000])))
        size, count = r.choice([24, 48, 80, 96]) * 1000, r.randint(1, devices)
        power = r.choice([0, 105_000])
        on.append(tuple(range(len(places), len(places) + count)))
        places += [
            Place(site=number, capacity=size, certain=int(size * 0.98), power_rate=power)
            for _ in range(count)
        ]
    roles = [_task(r, number, is_tied=is_tied) for number in range(tasks)]
    options = [o for t in range(tasks) for o in _options(r, t, on, places, formats)]
    return Problem(
        tasks=tuple(roles), sites=tuple(found_sites), places=tuple(places), options=tuple(options),
        budget=r.choice([None, None, 2_500_000_000]) if is_tied else None,
    )  # fmt: skip


def _task(r: random.Random, number: int, *, is_tied: bool) -> Task:
    def other(chance: float) -> tuple[int, ...]:
        return (r.randrange(number),) if is_tied and number and r.random() < chance else ()

    apart, together = other(0.2), other(0.15)
    return Task(
        replicas=r.choice([1, 1, 1, 2]), priority=r.choice([1, 2, 3]), busy=r.choice([1000, 300, 50]),
        has_wish=r.random() < 0.6, apart=apart, together=() if apart == together else together,
        needs=other(0.2),
    )  # fmt: skip


def _options(
    r: random.Random, task: int, on: Sequence[tuple[int, ...]], places: Sequence[Place], formats: int
) -> list[Option]:
    base, alone, hours = r.choice([2, 5, 10, 20, 40, 60]) * 1000, r.random() < 0.1, r.choice([730, 200])
    found = []
    for site, here in enumerate(on):
        for computes in [(p,) for p in here] + ([here] if len(here) > 1 else []):
            for rank in range(formats):
                size = int(base * (1 - 0.3 * rank) / len(computes) * 1.05) + r.randint(0, 900)
                if size > places[computes[0]].capacity:
                    continue
                share = r.uniform(0.6, 3) * (1 + 0.2 * rank)
                found.append(
                    Option(
                        task=task, site=site, computes=computes, needs=dict.fromkeys(computes, size),
                        high=dict.fromkeys(computes, int(size * 1.1)), hours=hours, rank=rank,
                        slack=int(1000 * (share - 1)) if share >= 1 else -1,
                        shortfall=0 if share >= 1 else int(1000 * (1 - share)), is_alone=alone,
                    )
                )  # fmt: skip
    return found
