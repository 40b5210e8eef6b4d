"""Which way is first, and why: ranking by the goal, the front, and the nearest miss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from plimsoll.core.goals import Criterion, criteria, loss_step
from plimsoll.core.pareto import compared
from plimsoll.domain.plan import Choice, Goal, Part
from plimsoll.units import format_count

_NOTICEABLE_STEP = 3


def ranked(choices: Sequence[Choice], goal: Goal, least_tokens_per_s: float) -> list[Choice]:
    """Best first by the goal's criteria, numbered; equal ones in the order in which they came."""
    by_key = sorted(choices, key=lambda c: [x.value for x in criteria(c, goal, least_tokens_per_s)])
    return [replace(choice, rank=number) for number, choice in enumerate(by_key, start=1)]


def never_better(part: Part, others: Sequence[Part]) -> Part:
    """The part, with a loss that only other models tell raised to what a format with more bits loses on the
    same scale: how few were measured, not fewer bits, makes it look better."""
    loss = part.loss
    if loss.basis != "neighbour" or loss.value is None:
        return part
    larger = [
        p.loss for p in others
        if p.bits_per_weight > part.bits_per_weight and p.loss.metric == loss.metric
        and p.loss.value is not None and p.loss.value > loss.value
    ]  # fmt: skip
    if not larger:
        return part
    worst = max(larger, key=lambda x: x.at_least)
    why = f"{loss.reason}; raised to that of {worst.weight_format}, which has more bits"
    high = max(loss.at_most, worst.at_least)
    return replace(part, loss=replace(loss, value=worst.value, high=high, reason=why))


def ranked_models(choices: Sequence[Choice], least_tokens_per_s: float) -> list[Choice]:
    """Different models, best first: fast enough, at most noticeable loss, then the most parameters."""

    def key(choice: Choice) -> tuple[object, ...]:
        part = choice.parts[0]
        fast, *_ = (c.value for c in criteria(choice, "chat", max(least_tokens_per_s, 1e-9)))
        is_lossy = loss_step(part.loss) > _NOTICEABLE_STEP
        return (fast, is_lossy, -part.model.parameters_count, part.model.id)

    return [replace(c, rank=n) for n, c in enumerate(sorted(choices, key=key), start=1)]


def explained(
    choices: Sequence[Choice], among: Sequence[Choice], goal: Goal, least_tokens_per_s: float
) -> list[Choice]:
    """The first with the reasons why it is first among all, the others with what they gain and give up."""
    if not choices:
        return []
    first = replace(choices[0], why=_why(among, goal, least_tokens_per_s))
    out = [first]
    for other in choices[1:]:
        gains, losses = compared(other, first, goal)
        out.append(replace(other, gains=gains, gives_up=losses))
    return out


def _why(choices: Sequence[Choice], goal: Goal, least: float) -> tuple[str, ...]:
    """What it has, step by step, with how many others that step leaves behind."""
    first = criteria(choices[0], goal, least)
    left = list(choices[1:])
    reasons = []
    for step, criterion in enumerate(first):
        same = [c for c in left if _at(c, goal, least, step).value == criterion.value]
        behind = len(left) - len(same)
        if behind:
            nearest = next((_at(c, goal, least, step) for c in left if c not in same), None)
            reasons.append(_reason(criterion, behind, nearest))
        left = same
        if not left:
            break
    if not reasons:
        reasons = [f"{first[0].words}; it is the only way that fits"]
    return tuple(reasons)


def _at(choice: Choice, goal: Goal, least: float, step: int) -> Criterion:
    return criteria(choice, goal, least)[step]


def _reason(criterion: Criterion, behind: int, nearest: Criterion | None) -> str:
    others = "1 other falls" if behind == 1 else f"{format_count(behind)} others fall"
    beside = f"; the next: {nearest.words}" if nearest and nearest.words != criterion.words else ""
    return f"{criterion.name}: {criterion.words} ({others} behind here{beside})"


def reaches(choice: Choice, min_tokens_per_s: float | None, max_first_token_s: float | None) -> bool | None:
    """Whether every model of a choice is as fast as was asked, by expected value; None where that is unknown,
    as for a runtime that nobody measured unless even the hardware does not allow it."""
    known: list[bool | None] = []
    for part in choice.parts:
        for name, wish in (("decode", min_tokens_per_s), ("ttft", max_first_token_s)):
            figure = part.figures.get(name)
            if wish is None or figure is None:
                known += [] if wish is None else [None]
                continue
            value = figure.estimate.value
            is_met = value >= wish if name == "decode" else value <= wish
            known.append(is_met if figure.is_measured or not is_met else None)
    if False in known:
        return False
    return None if None in known else True


def missed(choices: Sequence[Choice], min_tokens_per_s: float | None, max_first_token_s: float | None) -> str:
    """'no plan reaches 500 tokens/s; the nearest is ..., limited by bandwidth': of all that fit."""
    wanted = []
    if min_tokens_per_s is not None:
        wanted.append(f"reaches {min_tokens_per_s:.4g} tokens/s")
    if max_first_token_s is not None:
        wanted.append(f"answers within {max_first_token_s:.3g} s")
    near = nearest(choices, min_tokens_per_s, max_first_token_s)
    if not near:
        return f"no plan {' and '.join(wanted)} that is known: no speed is"
    best = near[0].parts[0]
    figures = [best.figures[n] for n in ("decode", "ttft") if n in best.figures]
    numbers = ", ".join(f"{f.estimate.value:,.3g} {f.estimate.unit}" for f in figures)
    what = f"{best.weight_format} on {best.model.runtime.replace('llama_cpp', 'llama.cpp')}"
    bound = _bound(best, min_tokens_per_s)
    return f"no plan {' and '.join(wanted)}; the nearest is {what} with {numbers}, limited by {bound}"


def _bound(part: Part, min_tokens_per_s: float | None) -> str:
    name = "decode" if min_tokens_per_s is not None else "ttft"
    return part.figures[name].bottleneck if name in part.figures else "what is not known"


def nearest(
    choices: Sequence[Choice], min_tokens_per_s: float | None, max_first_token_s: float | None
) -> list[Choice]:
    """Those with known speeds, smallest shortfall first: the worst of asked / reached over both wishes."""

    def shortfall(choice: Choice) -> float:
        worst = 1.0
        for part in choice.parts:
            if min_tokens_per_s is not None:
                worst = max(worst, min_tokens_per_s / part.figures["decode"].estimate.value)
            if max_first_token_s is not None:
                worst = max(worst, part.figures["ttft"].estimate.value / max_first_token_s)
        return worst

    needed = [n for n, w in (("decode", min_tokens_per_s), ("ttft", max_first_token_s)) if w is not None]
    known = [
        c for c in choices
        if all(n in p.figures and p.figures[n].is_measured for p in c.parts for n in needed)
    ]  # fmt: skip
    return sorted(known, key=shortfall)
