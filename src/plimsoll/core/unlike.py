"""A layer split over cards of different kinds: each card's layers at its own ceilings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from plimsoll.domain.speed import SpeedCase, Term, Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One card with its share of the layers. Cards of one kind are a single stage with all of them."""

    case: SpeedCase
    share: float = 1.0


def as_one(stages: Sequence[Stage]) -> SpeedCase:
    """The case that stands for all stages where intervals are looked up: no such device was measured."""
    if len(stages) == 1:
        return stages[0].case
    names = dict.fromkeys(stage.case.device for stage in stages)
    return replace(stages[0].case, device=" + ".join(names))


def stage_terms(stages: Sequence[Stage], each: Callable[[SpeedCase], Terms]) -> Terms:
    """The parts of a pass: every stage's, in proportion to its layers, with its own effects.

    A generated token goes through the stages one after the other. The chunks of a prompt fill them all, so
    that the slowest bounds the products: like cards take 1 / n of the time, unlike ones the slowest's.
    Parts of a later card carry its name; a pass starts once.
    """
    if len(stages) == 1:
        return each(stages[0].case)
    parts: list[list[Term]] = []
    for number, stage in enumerate(stages):
        found = each(stage.case)
        phase = found.phase
        kept = [p for p in found.parts if not number or p.name not in ("pass", "exchange")]
        parts.append([_of_stage(p, stage, number, found.effects) for p in kept])
    slowed = _uneven(parts) if phase == "prefill" else 1.0
    even = [
        replace(p, seconds=p.seconds * slowed) if p.bottleneck == "compute" else p
        for one in parts
        for p in one
    ]
    return Terms(phase=phase, parts=tuple(even), effects=())


def _uneven(parts: Sequence[Sequence[Term]]) -> float:
    """How much longer the slowest stage's products take than an even share of all."""
    products = [sum(p.seconds for p in one if p.bottleneck == "compute") for one in parts]
    return len(parts) * max(products) / sum(products) if any(products) else 1.0


def _of_stage(part: Term, stage: Stage, number: int, effects: tuple[str, ...]) -> Term:
    share = 1.0 if part.name in ("pass", "exchange") else stage.share
    name = part.name if not number else f"{part.name}, {stage.case.device} ({number + 1})"
    return replace(part, name=name, seconds=part.seconds * share, effects=(*part.effects, *effects))
