"""Which ways are not beaten in everything, and what one gives up against another, in words with numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from plimsoll.core.goals import loss_level, loss_words, quality_rank
from plimsoll.domain.plan import Choice, Goal, Part
from plimsoll.units import format_bytes, format_count

# Differences below these are not worth a word.
_SPEED_SHARE = 0.05
_MEMORY_BYTES = 2**30
_WORDS = {
    "decode": "generates {0:,.3g} instead of {1:,.3g} tokens/s",
    "ttft": "first token after {0:.2g} instead of {1:.2g} s",
    "turn": "a turn takes {0:.3g} instead of {1:.3g} s",
    "throughput": "{0:,.0f} instead of {1:,.0f} tokens/s in all",
}
_TOLD: dict[Goal, tuple[str, ...]] = {
    "chat": ("decode", "ttft"), "agents": ("decode", "turn"), "batch": ("throughput",),
    "long-context": ("decode", "ttft"), "max-quality": ("decode", "ttft"),
}  # fmt: skip


class Merit(NamedTuple):
    """One thing that more of is better; None where nobody knows."""

    name: str
    value: tuple[float, ...] | None


def merits(choice: Choice) -> tuple[Merit, ...]:
    """Quality, speed, first token, context, sequences, memory left and cost of a choice, all its models'."""
    found: list[Merit] = []
    for part in choice.parts:
        found += [
            Merit("quality", _quality(part)),
            *(Merit(name, _figure(part, name)) for name in ("decode", "decode_total", "ttft")),
            Merit("context", _count(part.longest_context_tokens or part.context_tokens)),
            Merit("sequences", _count(part.most_sequences_count or part.sequences_count)),
        ]
    cost = choice.cost_per_month
    found.append(Merit("memory", (float(choice.memory_left_bytes),)))
    found.append(Merit("cost", (-cost.value,) if cost else None))
    return tuple(found)


def _quality(part: Part) -> tuple[float, ...]:
    return tuple(-x for x in quality_rank(part))


def _figure(part: Part, name: str) -> tuple[float, ...] | None:
    figure = part.figures.get(name)
    if figure is None or not figure.is_measured:
        return None
    return (-figure.estimate.value if figure.estimate.unit == "s" else figure.estimate.value,)


def _count(value: int) -> tuple[float, ...]:
    return (float(value),)


def dominates(a: tuple[Merit, ...], b: tuple[Merit, ...]) -> bool:
    """a is at least as good as b in everything and better in something; unknown is worse than known."""
    if len(a) != len(b):
        return False
    is_better = False
    for x, y in zip(a, b, strict=True):
        if x.value == y.value:
            continue
        if x.value is None or (y.value is not None and x.value < y.value):
            return False
        is_better = True
    return is_better


def front(choices: Sequence[Choice]) -> tuple[bool, ...]:
    """For each choice whether no other dominates it."""
    each = [merits(c) for c in choices]
    return tuple(not any(dominates(b, a) for b in each if b is not a) for a in each)


def compared(other: Choice, first: Choice, goal: Goal) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(what the other gains, what it gives up) against the first."""
    gains: list[str] = []
    losses: list[str] = []
    several = len(first.parts) > 1
    for mine, its in zip(other.parts, first.parts, strict=False):
        who = f"{mine.model.id.rpartition('/')[2]}: " if several else ""
        for better, words in _part_words(mine, its, goal):
            (gains if better else losses).append(who + words)
    room = other.memory_left_bytes - first.memory_left_bytes
    if abs(room) >= _MEMORY_BYTES:
        (gains if room > 0 else losses).append(
            f"{format_bytes(abs(room))} {'more' if room > 0 else 'less'} memory left"
        )
    return tuple(gains), tuple(losses)


def _part_words(mine: Part, its: Part, goal: Goal) -> list[tuple[bool, str]]:
    found = [*_quality_words(mine, its)]
    for name in _TOLD[goal]:
        words = _WORDS[name]
        a, b = mine.figures.get(name), its.figures.get(name)
        if a is None or b is None or not (a.is_measured and b.is_measured):
            continue
        x, y = a.estimate, b.estimate
        if abs(x.value / y.value - 1) < _SPEED_SHARE:
            continue
        is_better = (x.value > y.value) == (x.unit != "s")
        found.append((is_better, words.format(x.value, y.value)))
        if is_better and name == "decode" and x.low < (1 - _SPEED_SHARE) * y.low:
            found.append((False, f"less certain: at least {x.low:,.3g} instead of {y.low:,.3g} tokens/s"))
    return [*found, *_unmeasured_words(mine, its), *_limit_words(mine, its)]


def _unmeasured_words(mine: Part, its: Part) -> list[tuple[bool, str]]:
    a, b = mine.figures.get("decode"), its.figures.get("decode")
    if a is None or not a.is_measured:
        best = f" (the hardware allows {a.estimate.value:,.3g} tokens/s)" if a else ""
        return [] if b is None else [(False, f"nobody measured its speed{best}")]
    first, other = mine.figures.get("ttft"), its.figures.get("ttft")
    if other and other.is_measured and (first is None or not first.is_measured):
        return [(False, "nobody measured how fast it reads prompts")]
    return [] if b and b.is_measured else [(True, f"its speed is known: {a.estimate.value:,.3g} tokens/s")]


def _quality_words(mine: Part, its: Part) -> list[tuple[bool, str]]:
    found = []
    if mine.weight_format != its.weight_format:
        words = f"{mine.weight_format} instead of {its.weight_format} weights: {loss_words(mine.loss)}"
        if loss_words(mine.loss) != loss_words(its.loss):
            words += f", not {loss_words(its.loss)}"
        found.append((_loss_rank(mine) > _loss_rank(its), words))
    kept, other = mine.cache_loss.basis == "reference", its.cache_loss.basis == "reference"
    if kept != other:
        words = (
            "an unquantised cache" if kept else f"cache in {mine.kv_format}: {loss_words(mine.cache_loss)}"
        )
        found.append((kept, words))
    return found


def _loss_rank(part: Part) -> tuple[float, ...]:
    is_unknown = part.loss.basis == "unknown"
    return (-loss_level(part.loss), -float(is_unknown), part.bits_per_weight if is_unknown else 0.0)


def _limit_words(mine: Part, its: Part) -> list[tuple[bool, str]]:
    found = []
    a, b = mine.longest_context_tokens, its.longest_context_tokens
    if a and b and a != b:
        found.append((a > b, f"up to {format_count(a)} instead of {format_count(b)} tokens of context"))
    a, b = mine.most_sequences_count, its.most_sequences_count
    if a and b and a != b:
        found.append((a > b, f"up to {format_count(a)} instead of {format_count(b)} sequences at once"))
    return found
