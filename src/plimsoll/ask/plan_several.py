"""Several models on one machine: side by side, or one after the other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from plimsoll.ask.fit import FitQuestion
from plimsoll.ask.plan_candidates import Candidate
from plimsoll.ask.plan_question import PlanQuestion, asked_of, flags_of
from plimsoll.core import fit as core
from plimsoll.core.plan import ranked
from plimsoll.domain.bill import HOST
from plimsoll.domain.plan import Choice, Goal, Part
from plimsoll.runtimes import memory_of

# How many ways of each model are combined, best first, and how many sets are looked for.
_TRIED_COUNT = 24
_WANTED_COUNT = 6
_JUDGED_COUNT = 50
_CLAIM = "gpu_memory_utilization"
# What share of a card these take when they are not alone on it is not modelled.
_ALONE_ONLY = ("sglang", "tensorrt_llm")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Option:
    """A way with the bytes per device that it takes beside others, as stated and at the high end."""

    candidate: Candidate
    taken: Mapping[str, int]
    most_taken: Mapping[str, int]

    @property
    def sum_bytes(self) -> int:
        """On all devices together."""
        return sum(self.taken.values())


def beside(found: Sequence[Sequence[Candidate]], goal: Goal, least_tokens_per_s: float) -> list[Choice]:
    """Sets of one way per model that fit together, by the first model's ranking, then the second's, ...

    The first model gets its best way with which the others still fit in some way; then the second; and so on.
    Sums of what each takes, and the least that the models still to come can take, rule most sets out before
    they are judged together.
    """
    ordered = [_ordered(candidates, goal, least_tokens_per_s) for candidates in found]
    made: list[Choice] = []
    for first in ordered[0]:
        together = next(filter(None, islice(_sets([first], ordered[1:]), _JUDGED_COUNT)), None)
        if together:
            made.append(together)
        if len(made) == _WANTED_COUNT:
            break
    return made


def _ordered(candidates: Sequence[Candidate], goal: Goal, least: float) -> list[_Option]:
    """The best ways first, and the smallest at the end whatever their rank: they decide whether all fit."""
    able = [
        _option(c) for c in candidates if not c.part.placement and c.deployment.runtime.id not in _ALONE_ONLY
    ]
    by_print = {x.candidate.part.fingerprint: x for x in able}
    choices = [_choice([x.candidate], 0, "alone") for x in able]
    best = [by_print[c.parts[0].fingerprint] for c in ranked(choices, goal, least)]
    smallest = sorted(best[_TRIED_COUNT:], key=lambda x: x.sum_bytes)[:2]
    return [*best[:_TRIED_COUNT], *smallest]


def _option(candidate: Candidate) -> _Option:
    shared = _sharing(candidate)
    taken: dict[str, int] = {}
    most: dict[str, int] = {}
    for line in memory_of(shared.deployment.runtime.id).lines(shared.deployment):
        taken[line.device] = taken.get(line.device, 0) + line.size_bytes
        most[line.device] = most.get(line.device, 0) + line.high_bytes
    return _Option(candidate=shared, taken=taken, most_taken=most)


def _sharing(candidate: Candidate) -> Candidate:
    """For the bill: vLLM claims its default share of a card whatever it needs, unless it is told another."""
    deployment = candidate.deployment
    if _CLAIM not in memory_of(deployment.runtime.id).DEFAULTS:
        return candidate
    shared = replace(deployment, settings={_CLAIM: 1.0, **deployment.settings})
    return replace(candidate, deployment=shared)


def _claimed(option: _Option) -> Part:
    """For the launch: the share of the fullest card that it needs at the high end, rounded up to 1 %."""
    candidate = option.candidate
    deployment = candidate.deployment
    if _CLAIM not in deployment.settings:
        return candidate.part
    share = max(option.most_taken.get(d.id, 0) / d.memory_bytes for d in deployment.machine.devices)
    settings = {**deployment.settings, _CLAIM: min(math.ceil(100 * share) / 100, 1.0)}
    told = replace(deployment, settings=settings)
    question = FitQuestion(**{**candidate.part.asked, "settings": settings})  # type: ignore[arg-type]
    return replace(
        candidate.part, asked=asked_of(question), flags=flags_of(question), fingerprint=told.fingerprint,
        deployments=(told,),
    )  # fmt: skip


def _sets(chosen: list[_Option], rest: Sequence[Sequence[_Option]]) -> Iterator[Choice | None]:
    """Completions of the chosen ways, best first: judged together; None for one that does not fit."""
    if not _may_fit(chosen, rest):
        return
    if not rest:
        deployments = [x.candidate.deployment for x in chosen]
        judgement = core.judge(deployments)
        fits = judgement.verdict in ("fits", "tight") and not core.problems_of(deployments)
        parts = [replace(x.candidate, part=_claimed(x)) for x in chosen] if fits else []
        together = _choice(parts, judgement.headroom_bytes, "beside") if fits else None
        yield replace(together, verdict=judgement.verdict) if together else None
        return
    for option in rest[0]:
        yield from _sets([*chosen, option], rest[1:])


def _may_fit(chosen: Sequence[_Option], rest: Sequence[Sequence[_Option]]) -> bool:
    """Whether the sums leave each device, and the least of the others all devices together, within memory."""
    machine = chosen[0].candidate.deployment.machine
    sums: dict[str, int] = {d.id: d.reserved_bytes for d in machine.devices}
    for option in chosen:
        for device, size in option.taken.items():
            sums[device] = sums.get(device, 0) + size
    capacity = {d.id: d.memory_bytes for d in machine.devices}
    if machine.ram_bytes is not None:
        capacity[HOST] = machine.ram_bytes
    if any(size > capacity[device] for device, size in sums.items() if device in capacity):
        return False
    told = [d for d in capacity if d in sums]
    coming = sum(min((_on(x, told) for x in options), default=0) for options in rest)
    return sum(sums[d] for d in told) + coming <= sum(capacity[d] for d in told)


def _on(option: _Option, devices: Sequence[str]) -> int:
    return sum(option.taken.get(d, 0) for d in devices)


def swapped(best: Sequence[Candidate]) -> Choice:
    """Each model alone in its best way, one loaded after the other: what is left is of the largest."""
    room = min(c.judgement.headroom_bytes for c in best)
    return _choice(list(best), room, "swapped")


def _choice(candidates: Sequence[Candidate], room: int, arrangement: str) -> Choice:
    offload = any(c.part.placement for c in candidates)
    verdicts = [c.judgement.verdict for c in candidates]
    verdict = "offload" if offload else "tight" if "tight" in verdicts else verdicts[0]
    return Choice(
        rank=0, arrangement=arrangement, verdict=verdict, parts=tuple(c.part for c in candidates),  # type: ignore[arg-type]
        memory_left_bytes=room, is_on_front=False,
    )  # fmt: skip


def all_of(question: PlanQuestion, found: Sequence[Sequence[Candidate]], least: float) -> list[Choice]:
    """Every way for all models together; nothing where one of them fits in none."""
    if not all(found):
        return []
    together = beside(found, question.goal, least)
    best = []
    for candidates in found:
        by_print = {c.part.fingerprint: c for c in candidates}
        choices = [_choice([c], c.judgement.headroom_bytes, "alone") for c in candidates]
        best.append(by_print[ranked(choices, question.goal, least)[0].parts[0].fingerprint])
    return [*together, swapped(best)]
