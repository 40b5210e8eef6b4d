"""Several models on one machine: side by side, or one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from plimsoll.ask.fit import FitQuestion
from plimsoll.ask.plan_candidates import Candidate
from plimsoll.ask.plan_question import PlanQuestion, asked_of, flags_of
from plimsoll.core import fit as core
from plimsoll.core.plan import ranked
from plimsoll.domain.bill import HOST
from plimsoll.domain.deployment import Deployment
from plimsoll.domain.plan import Choice, Goal, Part
from plimsoll.runtimes import memory_of

# How many ways of each model are combined, best first, and how many sets are looked for.
_TRIED_COUNT = 24
_WANTED_COUNT = 6
_CLAIMS = ("gpu_memory_utilization", "mem_fraction_static")


def beside(found: Sequence[Sequence[Candidate]], goal: Goal, least_tokens_per_s: float) -> list[Choice]:
    """Sets of one way per model that fit together, by the first model's ranking, then the second's, ...

    The first model gets its best way with which the others still fit in some way; then the second; and so on.
    Sums of what each takes alone rule most sets out before they are judged together.
    """
    ordered = [_ordered(candidates, goal, least_tokens_per_s) for candidates in found]
    made: list[Choice] = []
    for first in ordered[0]:
        together = next(_sets([first], ordered[1:]), None)
        if together:
            made.append(together)
        if len(made) == _WANTED_COUNT:
            break
    return made


def _ordered(candidates: Sequence[Candidate], goal: Goal, least: float) -> list[Candidate]:
    """The best ways first, and the smallest one at the end whatever its rank: it decides whether all fit."""
    able = [_sharing(c) for c in candidates if not c.part.placement]
    by_print = {c.part.fingerprint: c for c in able}
    choices = [_choice([c], 0, "alone") for c in able]
    best = [by_print[c.parts[0].fingerprint] for c in ranked(choices, goal, least)]
    smallest = sorted(best, key=lambda c: max(_taken(c).values(), default=0))[:2]
    return [*best[:_TRIED_COUNT], *(c for c in smallest if c not in best[:_TRIED_COUNT])]


def _sharing(candidate: Candidate) -> Candidate:
    """Told that it shares its cards: an engine that claims a share of the card must not claim its default."""
    deployment = candidate.deployment
    defaults = memory_of(deployment.runtime.id).DEFAULTS
    claims = {name: 1.0 for name in _CLAIMS if name in defaults}
    if not claims:
        return candidate
    shared = replace(deployment, settings={**claims, **deployment.settings})
    asked = dict(candidate.part.asked)
    question = FitQuestion(**{**asked, "settings": dict(shared.settings)})  # type: ignore[arg-type]
    part = replace(
        candidate.part, asked=asked_of(question), flags=flags_of(question), fingerprint=shared.fingerprint,
        deployments=(shared,),
    )  # fmt: skip
    return replace(candidate, part=part, deployment=shared)


def _taken(candidate: Candidate) -> dict[str, int]:
    """Bytes per device that the model itself takes at the high end."""
    taken: dict[str, int] = {}
    for line in memory_of(candidate.deployment.runtime.id).lines(candidate.deployment):
        taken[line.device] = taken.get(line.device, 0) + line.high_bytes
    return taken


def _sets(chosen: list[Candidate], rest: Sequence[Sequence[Candidate]]) -> Iterator[Choice]:
    """Completions of the chosen ways that fit, best first."""
    if not rest:
        deployments = [c.deployment for c in chosen]
        judgement = core.judge(deployments)
        if judgement.verdict in ("fits", "tight") and not core.problems_of(deployments):
            parts = [replace(c, part=_claimed(c)) for c in chosen]
            yield replace(_choice(parts, judgement.headroom_bytes, "beside"), verdict=judgement.verdict)
        return
    for candidate in rest[0]:
        if _may_fit([*chosen, candidate]):
            yield from _sets([*chosen, candidate], rest[1:])


def _may_fit(chosen: Sequence[Candidate]) -> bool:
    """Whether the sums per device leave each within its memory."""
    machine = chosen[0].deployment.machine
    sums: dict[str, int] = {d.id: d.reserved_bytes for d in machine.devices}
    for candidate in chosen:
        for line in _low(candidate.deployment).items():
            sums[line[0]] = sums.get(line[0], 0) + line[1]
    capacity = {d.id: d.memory_bytes for d in machine.devices}
    if machine.ram_bytes is not None:
        capacity[HOST] = machine.ram_bytes
    return all(size <= capacity[device] for device, size in sums.items() if device in capacity)


def _low(deployment: Deployment) -> dict[str, int]:
    taken: dict[str, int] = {}
    for line in memory_of(deployment.runtime.id).lines(deployment):
        taken[line.device] = taken.get(line.device, 0) + line.size_bytes
    return taken


def _claimed(candidate: Candidate) -> Part:
    """What to tell an engine that claims memory at its start: the share of the fullest card that it needs."""
    deployment = candidate.deployment
    if not any(name in deployment.settings for name in _CLAIMS):
        return candidate.part
    taken = _taken(candidate)
    share = max(taken.get(d.id, 0) / d.memory_bytes for d in deployment.machine.devices)
    name = next(n for n in _CLAIMS if n in deployment.settings)
    return replace(candidate.part, notes=(f"give it at least {name} {share:.2f} of the card, not all of it",))


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
