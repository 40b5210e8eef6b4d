"""What the ways onward come to, in sentences with numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from plimsoll.core.pareto import compared
from plimsoll.domain.plan import Choice, Goal, Part
from plimsoll.domain.scale import BreakEven, Possible, Rented, ScaleAnswer, Way
from plimsoll.units import format_count, format_money


def compared_with(own: Way, way: Way, goal: Goal) -> Way:
    """The way with what each model gains and gives up against the machine as it is."""
    if way.kind == "own":
        return way
    models = [
        _against(there, m, goal) if there.part and m.part else m
        for there, m in zip(own.models, way.models, strict=True)
    ]
    return replace(way, models=tuple(models))


def _against(there: Possible, other: Possible, goal: Goal) -> Possible:
    if there.part is None or other.part is None:
        return other
    gains, losses = compared(_choice(other.part), _choice(there.part), goal)
    return replace(other, gains=gains, gives_up=losses)


def _choice(part: Part) -> Choice:
    return Choice(
        rank=0, arrangement="alone", verdict="fits", parts=(part,), memory_left_bytes=0, is_on_front=False
    )


def summary(answer: ScaleAnswer) -> tuple[str, ...]:
    """The cheapest, the fastest, what one more card changes, what waiting would bring."""
    if answer.rented:
        return tuple(_of_rented(answer, answer.rented))
    known = [w for w in answer.ways if w.first.cost_per_million and w.first.is_measured]
    out = []
    if len(answer.models) > 1:
        out.append(f"of {answer.models[0]}, the first that was asked for:")
    if known:
        out += _cheapest(answer, known)
    more = next((w for w in answer.ways if w.kind == "same card" and w.first.part), None)
    if more:
        out += _one_more(answer, more)
    if answer.announced:
        out.append(_waiting(answer))
    return tuple(out)


def _cheapest(answer: ScaleAnswer, known: Sequence[Way]) -> list[str]:
    bought = [w for w in known if w.kind != "own"]
    out = []
    for name, ways in (("new", bought), ("as it is", [w for w in known if w.kind == "own"])):
        if not ways:
            continue
        best = min(ways, key=lambda w: w.first.cost_per_million.value if w.first.cost_per_million else 0.0)
        cost = best.first.cost_per_million
        amount = format_money(cost.value if cost else 0.0, answer.currency)
        if name == "new":
            out.append(f"cheapest of what is bought or rented: {best.label}, {amount} for a million tokens")
        else:
            out.append(f"the machine as it is: {amount} for a million tokens, electricity alone")
    fastest = max(known, key=lambda w: w.first.tokens_per_s.value if w.first.tokens_per_s else 0.0)
    speed = fastest.first.tokens_per_s
    out.append(f"fastest: {fastest.label}, {speed.value if speed else 0:,.3g} tokens/s")
    return out


def _one_more(answer: ScaleAnswer, more: Way) -> list[str]:
    first = more.first
    changes = [*first.gains, *(f"but {x}" for x in first.gives_up)]
    out = [f"{more.label}: {'; '.join(changes) or 'runs it the same way'}"]
    if first.break_even:
        out.append(f"{more.label} {even_words(first.break_even, answer)}")
    spread = first.as_copies
    if spread and spread.part and spread.tokens_per_s:
        count = format_count(spread.copies_count * spread.part.sequences_count)
        rate = f"{spread.tokens_per_s.value:,.3g} tokens/s of {count} sequences"
        even = f"; {even_words(spread.break_even, answer)}" if spread.break_even else ""
        out.append(f"as {spread.copies_count} copies, one on each card: {rate}{even}")
    return out


def even_words(even: BreakEven, answer: ScaleAnswer) -> str:
    """'costs as much as renting 2x RTX (RunPod, community) at 263 hours a month: ...'."""
    rented = next((w.label for w in answer.ways if w.id == even.rented), even.rented)
    if even.hours is None:
        return f"against renting {rented} ({even.offer}): {even.says}"
    mine = format_count(round(answer.hours_per_month))
    at = format_count(round(even.hours.value))
    said = even.says.replace("your hours", f"your {mine}")
    return f"costs as much as renting {rented} ({even.offer}) at {at} hours a month: {said}"


def _waiting(answer: ScaleAnswer) -> str:
    names = ", ".join(x.name for x in answer.announced if x.status == "announced")
    said = f"to wait for: {names}; nobody measured any of it, and where prices go is unknown"
    own = next((w.device for w in answer.ways if w.kind in ("same card", "own") and w.device), "")
    rent = next((w for w in answer.ways if w.kind == "rent" and w.device == own and w.cost_per_month), None)
    if rent is None or rent.cost_per_month is None:
        return said
    month = format_money(rent.cost_per_month.value, answer.currency)
    return f"{said}; until then renting {rent.label} costs {month} a month at your hours"


def _of_rented(answer: ScaleAnswer, found: Sequence[Rented]) -> list[str]:
    able = [r for r in found if r.models[0].part]
    if not able:
        return []
    best = able[0]
    offer = best.offers[0]
    cost = format_money(offer.cost.value, answer.currency)
    said = f"cheapest: {best.label} at {offer.price.provider} ({offer.price.tier}), {cost} for the whole time"
    return [said, _pays(best)]


def _pays(best: Rented) -> str:
    offer = best.offers[0]
    if offer.break_even is None:
        return f"buying {best.label}: {offer.break_even_says}"
    hours = format_count(round(offer.break_even.value))
    return f"buying {best.label} costs as much as {hours} hours of that rent"
