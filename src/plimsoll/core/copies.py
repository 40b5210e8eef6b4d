"""What comes of each way to share out the cards: figures of a load, who is best at which, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from plimsoll.core.load_figures import Pace, percentile
from plimsoll.domain.copies import Kind, LayoutResult, Point, Winner
from plimsoll.domain.load import LoadResult
from plimsoll.domain.speed import Terms
from plimsoll.units import format_bytes, format_count

# A layout keeps up as long as its slow requests take at most so many times what they take on the best one
# without load: our choice, to be set otherwise.
SLOWER = 3.0
# Layouts whose p95 differ by less are told as alike: so much it moves from seed to seed.
ALIKE = 0.05
TOLD_SHARE = 0.005
_EXCHANGES = ("exchange", "exchanged tokens")


def point(
    results: Sequence[LoadResult], paces: Sequence[Pace], rate_per_s: float, *, since_s: float = 0.0
) -> Point | None:
    """All copies together at one load, of requests since `since_s`; None where none of them was answered."""
    every = [
        (outcome, pace)
        for result, pace in zip(results, paces, strict=True)
        for outcome in result.outcomes
        if outcome.arrived_s >= since_s
    ]
    counted = [(outcome, pace) for outcome, pace in every if not outcome.refused]
    answered = [outcome for outcome, _ in counted]
    if not answered:
        return None
    waits = ((pace.ttft_s(o), pace.tpot_s(o), pace.total_s(o)) for o, pace in counted)
    ttft, tpot, total = (sorted(each) for each in zip(*waits, strict=True))
    begin = min(o.arrived_s for o in answered)
    seconds = max(o.finished_s for o in answered) - begin
    return Point(
        rate_per_s=rate_per_s, requests_count=len(answered),
        refused_count=len(every) - len(answered),
        ttft_p50_s=percentile(ttft, 50), ttft_p95_s=percentile(ttft, 95), tpot_p50_s=percentile(tpot, 50),
        tpot_p95_s=percentile(tpot, 95), total_p50_s=percentile(total, 50),
        total_p95_s=percentile(total, 95),
        tokens_per_s=sum(o.request.output_tokens for o in answered) / seconds if seconds else 0.0,
        held_share_most=max(r.held_share_most for r in results),
        cached_share=sum(o.cached_tokens for o in answered) / sum(o.request.prompt_tokens for o in answered),
        preemptions_count=sum(r.preemptions_count for r in results),
    )  # fmt: skip


def with_most(one: LayoutResult) -> LayoutResult:
    """The layout with the highest of its loads that it keeps up with, and an interval.

    Where every step takes f times as long, a load of rate / f does what the rate did, all f times as long:
    time itself is stretched. So the interval is most / slow_times to most / fast_times, of the copies that
    gain least where they are unlike. What does not stretch with it (how long people read, what counts as
    slow) is left as it is.
    """
    most = None
    for at in one.points:
        if not at.is_kept_up:
            break
        most = at.rate_per_s
    if most is None:
        return one
    return replace(
        one, most_per_s=most, most_low_per_s=most / max(kind.slow_times for kind in one.kinds),
        most_high_per_s=most / max(kind.fast_times for kind in one.kinds),
    )  # fmt: skip


def nice_rate(rate: float) -> float:
    """The largest of ..., 0.1, 0.2, 0.5, 1, 2, 5, ... that is not above the rate."""
    power = 10.0 ** math.floor(math.log10(rate))
    return max(step * power for step in (0.5, 1.0, 2.0, 5.0) if step * power <= rate * (1 + 1e-9))


def next_rate(rate: float) -> float:
    """The one after it in that series: about twice as many."""
    return nice_rate(rate * 2.6)


def exchange_share(step: Terms, coefficients: Mapping[str, float]) -> float:
    """Of a step, the part in which cards wait for what others computed."""
    spent = {True: 0.0, False: 0.0}
    for part in step.parts:
        seconds = part.seconds * math.exp(sum(coefficients.get(e, 0.0) for e in part.effects))
        spent[part.name in _EXCHANGES] += seconds
    return spent[True] / (spent[True] + spent[False])


def with_exchange(step: Terms, coefficients: Mapping[str, float], factor: float) -> dict[str, float]:
    """The coefficients with which waiting for each other takes so many times as long: each of its parts has a
    first effect of its own, which lengthens it by e to the coefficient."""
    own = {part.effects[0] for part in step.parts if part.name in _EXCHANGES}
    return {**coefficients, **{name: coefficients.get(name, 0.0) + math.log(factor) for name in own}}


def is_exchange_known(step: Terms, coefficients: Mapping[str, float], device: str) -> bool:
    """Whether cards of this kind were measured together: then a coefficient is theirs."""
    found = [e for part in step.parts if part.name in _EXCHANGES for e in part.effects]
    return not found or any(e in coefficients and f" {device}" in e for e in found if "exchange" in e)


def winners(layouts: Sequence[LayoutResult]) -> tuple[Winner, ...]:
    """Load by load the layout with the least p95 from arrival to the last token, of those that keep up.

    One that was best at the load before stays so while another is hardly faster.
    """
    found: list[Winner] = []
    for rate in sorted({p.rate_per_s for one in layouts for p in one.points}):
        kept = sorted(
            (p.total_p95_s, one.layout.text)
            for one in layouts
            for p in one.points
            if p.rate_per_s == rate and p.is_kept_up
        )
        near = [text for total, text in kept if total <= (1 + ALIKE) * kept[0][0]]
        best = found[-1].text if found and found[-1].text in near else near[0] if near else ""
        others = tuple(text for text in near if text != best)
        found.append(Winner(rate_per_s=rate, text=best, near=others))
    return tuple(found)


def reasons(layouts: Sequence[LayoutResult], won: Sequence[Winner]) -> tuple[str, ...]:
    """The figures behind the order, each a sentence."""
    held = [one for one in layouts if one.points]
    return (*_changes(won), *_alone(held), *_exchanged(held), *_room(held), *_pressed(held))


def _changes(won: Sequence[Winner]) -> list[str]:
    """Where the best layout is another than at the load before."""
    out: list[str] = []
    for before, after in pairwise(won):
        if before.text and after.text and before.text != after.text:
            out.append(
                f"the order changes between {rate(before.rate_per_s)} and {rate(after.rate_per_s)}:"
                f" {before.text} is best below, {after.text} above"
            )
    best = {w.text for w in won if w.text}
    if len(best) == 1:
        out.append(f"{best.pop()} is best at every load that any of them keeps up with")
    most = [w for w in won if w.text]
    if most and most[-1] is not won[-1]:
        out.append(f"above {rate(most[-1].rate_per_s)} none of them keeps up")
    return out


def _alone(held: Sequence[LayoutResult]) -> list[str]:
    """How fast the copies are for one person."""
    if len({len(one.layout.copies) for one in held}) < 2:
        return []
    told = [f"{one.layout.text} {_steps(one.kinds)}" for one in held]
    few, many = (
        chosen((kind for one in held for kind in one.kinds), key=lambda kind: kind.cards_count)
        for chosen in (min, max)
    )
    if many.cards_count == few.cards_count:
        return []
    if many.step_seconds < few.step_seconds:
        why = "more cards read the weights together"
    else:
        why = "what more cards save by reading the weights together, they lose waiting for each other"
    return [f"a token for one person alone takes: {'; '.join(told)}: {why}"]


def _steps(kinds: Sequence[Kind]) -> str:
    return " or ".join(dict.fromkeys(f"{1e3 * k.step_seconds:.3g} ms" for k in kinds))


def _exchanged(held: Sequence[LayoutResult]) -> list[str]:
    """What cards that work on one token spend on each other."""
    told = [
        f"{one.layout.text} {kind.exchange_share:.0%} of a step of {kind.busy_count} sequences"
        for one in held
        for kind in one.kinds
        if kind.exchange_share >= TOLD_SHARE
    ]
    return [f"cards wait for each other's results: {'; '.join(told)}; copies never do"] if told else []


def _room(held: Sequence[LayoutResult]) -> list[str]:
    """Weights that are held more than once leave less room for the cache."""
    told = [
        f"{one.layout.text} {_times(len(one.layout.copies))} ({format_bytes(one.weights_bytes)}) and has room"
        f" for {format_count(one.pool_tokens)} tokens"
        for one in held
    ]
    return [f"weights are held: {'; '.join(told)}"] if len(told) > 1 else []


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _pressed(held: Sequence[LayoutResult]) -> list[str]:
    """Whose cache runs full first, and who refuses requests."""
    out = []
    for one in held:
        first = next((p for p in one.points if p.preemptions_count), None)
        if first:
            out.append(
                f"{one.layout.text}: from {rate(first.rate_per_s)} on its KV cache is too small"
                f" ({format_count(first.preemptions_count)} preemptions)"
            )
        refused = max(p.refused_count for p in one.points)
        if refused:
            out.append(f"{one.layout.text}: {format_count(refused)} requests are longer than it can serve")
    return out


def rate(per_s: float) -> str:
    """'0.5/s'."""
    return f"{per_s:g}/s"
