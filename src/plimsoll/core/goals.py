"""What each goal asks of a machine, and how it ranks the ways to get there.

Every ranking is a list of criteria, compared one after the other; a criterion has a value to sort by and
words to say it with. Speeds count with the slow end of their interval: what nine of ten machines reach, not
what one may hope for. The defaults are conventions of ours, each can be set: contexts and sequences
(`--context`, `--users`), the speed that counts as comfortable (`--min-tps`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from plimsoll.core.plan_figures import slow_end
from plimsoll.domain.plan import Choice, Goal, Part
from plimsoll.domain.quality import QualityLoss, QualityMetric
from plimsoll.units import format_bytes, format_count

# The steps that count as one class of loss, by what was measured: a choice of ours. In the llama.cpp
# measurements of Llama 3 8B q8_0 and q6_k lie below the first step of divergence, q4_k_m below the second,
# q3_k_m below the third; the steps of benchmark scores are what FP8, 4-bit and 3-bit weights lose of them.
LOSS_STEPS: dict[QualityMetric, tuple[float, float, float]] = {
    "mean_kld_nats": (0.01, 0.05, 0.15), "ppl_ratio": (0.01, 0.05, 0.15), "score_percent": (0.5, 2.0, 5.0),
}  # fmt: skip
_UNITS: dict[QualityMetric, str] = {
    "mean_kld_nats": "nats", "ppl_ratio": "nats of perplexity", "score_percent": "% of benchmark scores lost",
}  # fmt: skip
# What a step ends at, in nats: a loss on another scale counts as the worst of its step.
_STEP_ENDS = (0.0, *LOSS_STEPS["mean_kld_nats"], 0.5)
_STEP_WORDS = ("as published", "hardly measurable loss", "slight loss", "noticeable loss", "heavy loss")
_LEAST_LOSS = 0.004
_STEP_OF_SPEED = 1.25
_STEP_WORDS = ("as published", "hardly measurable loss", "slight loss", "noticeable loss", "heavy loss")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The defaults of a goal: None for the context is 'the longest that fits', None for the sequences is 'as
    many as fit and anybody measured'. `prompt_tokens` are new ones to read, `output_tokens` to write."""

    objective: str
    context_tokens: int | None
    sequences_count: int | None
    prompt_tokens: int
    output_tokens: int
    least_tokens_per_s: float


PROFILES: dict[Goal, Profile] = {
    "chat": Profile(
        objective="one person reads along: at least a comfortable speed, then the least quality loss, then "
        "generation at a full context, then the first token",
        context_tokens=16_384, sequences_count=1, prompt_tokens=1024, output_tokens=256,
        least_tokens_per_s=10,
    ),
    "agents": Profile(
        objective="several sequences with long contexts that read much and write little: no more than hardly "
        "measurable loss where that is possible, then the shortest turn (4,096 new tokens read, 256 written, "
        "all sequences at once)",
        context_tokens=65_536, sequences_count=4, prompt_tokens=4096, output_tokens=256,
        least_tokens_per_s=10,
    ),
    "batch": Profile(
        objective="nobody waits: no more than hardly measurable loss where that is possible, then the most "
        "tokens per second over all sequences (1,024 read, 256 written each)",
        context_tokens=4096, sequences_count=None, prompt_tokens=1024, output_tokens=256,
        least_tokens_per_s=0,
    ),
    "long-context": Profile(
        objective="no more than slight loss where that is possible, then the longest context that fits, then "
        "the least quality loss, then generation at that depth",
        context_tokens=None, sequences_count=1, prompt_tokens=1024, output_tokens=256, least_tokens_per_s=0,
    ),
    "max-quality": Profile(
        objective="the least quality loss, then generation at a full context",
        context_tokens=16_384, sequences_count=1, prompt_tokens=1024, output_tokens=256,
        least_tokens_per_s=0,
    ),
}  # fmt: skip


class Criterion(NamedTuple):
    """One step of a ranking: smaller values are better."""

    name: str
    value: tuple[float, ...]
    words: str


def loss_step(loss: QualityLoss) -> int:
    """0 as published, then by `LOSS_STEPS`; an unknown loss counts as at least what more bits lose."""
    if loss.basis == "reference":
        return 0
    return 1 + sum(loss.at_least > step for step in LOSS_STEPS[loss.metric])


def loss_level(loss: QualityLoss) -> float:
    """Nats of divergence to rank by: what was measured, or the worst of its step where that was on another
    scale, since scales are never mixed."""
    return loss.at_least if loss.metric == "mean_kld_nats" else _STEP_ENDS[loss_step(loss)]


def loss_class(loss: QualityLoss) -> int:
    """Finer than the steps, for where quality comes first: 0 as published, 1 up to 0.004 nats, then one more
    for each doubling, so that a few percent of speed do not buy twice the loss."""
    if loss.basis == "reference":
        return 0
    return 1 + max(0, math.ceil(math.log2(max(loss_level(loss), _LEAST_LOSS) / _LEAST_LOSS)))


def loss_words(loss: QualityLoss) -> str:
    """'as published', '0.031 nats (slight loss, measured)', 'loss unknown, at least 0.031 nats'."""
    if loss.basis == "reference":
        return "as published"
    if loss.value is None:
        return f"loss unknown, at least {loss.low:.2g} nats" if loss.low else "loss unknown"
    basis = "measured" if loss.basis == "measured" else "on other models"
    return f"{loss.value:.2g} {_UNITS[loss.metric]} ({_STEP_WORDS[loss_step(loss)]}, {basis})"


def quality_words(part: Part) -> str:
    """The loss of the weights, and the cache's where it is quantised."""
    if part.cache_loss.basis == "reference":
        return loss_words(part.loss)
    return f"{loss_words(part.loss)}; cache in {part.kv_format}: {loss_words(part.cache_loss)}"


def quality_rank(part: Part) -> tuple[float, ...]:
    """Smaller is better: the worse step of weights and cache; how many of them nobody measured, as unknown
    ranks after known of the same step; then the losses, and more bits where they are not known."""
    losses = (part.loss, part.cache_loss)
    unknown = sum(x.basis == "unknown" for x in losses)
    bits = part.bits_per_weight if part.loss.basis == "unknown" else 0.0
    step = max(map(loss_step, losses))
    return (float(step), float(unknown), *map(loss_level, losses), -bits)


def criteria(choice: Choice, goal: Goal, least_tokens_per_s: float) -> tuple[Criterion, ...]:
    """The steps of a goal's ranking for one choice, of its first model first."""
    found = [_at_once(choice), _worst(choice)] if len(choice.parts) > 1 else []
    found += [] if goal == "max-quality" else [_safe(choice)]
    for part in choice.parts:
        found += _of_part(part, goal, least_tokens_per_s)
    room = choice.memory_left_bytes
    return (*found, Criterion("memory", (-room,), f"leaves {format_bytes(room)}"))


def _at_once(choice: Choice) -> Criterion:
    if choice.arrangement == "beside":
        return Criterion("at once", (0.0,), "all models are loaded at once")
    return Criterion("at once", (1.0,), "one model is loaded at a time")


def _worst(choice: Choice) -> Criterion:
    """The most that any of the models loses, by its step: the first must not starve the others."""
    worst = max(choice.parts, key=lambda p: loss_step(p.loss))
    name = worst.model.id.rpartition("/")[2]
    return Criterion("worst loss", (float(loss_step(worst.loss)),), f"{name}: {loss_words(worst.loss)}")


def _safe(choice: Choice) -> Criterion:
    if choice.verdict == "tight":
        return Criterion("room", (1.0,), "it fits at the stated sizes, not at their high ends")
    return Criterion("room", (0.0,), "it fits at the high end of every size")


def _of_part(part: Part, goal: Goal, least: float) -> list[Criterion]:
    quality, speed = _quality(part), _decode(part)
    fast = [_fast_enough(part, least)] if least else []
    if goal == "chat":
        return [*fast, quality, speed, _first_token(part)]
    if goal == "agents":
        return [*fast, _at_most(part, 0), _turn(part), quality, speed]
    if goal == "batch":
        return [*fast, _at_most(part, 0), _throughput(part), quality]
    if goal == "long-context":
        return [*fast, _at_most(part, 1), _context(part), quality, speed]
    return [*fast, _exact_quality(part), speed]


def _fast_enough(part: Part, least: float) -> Criterion:
    """By how many steps of 25 % the expected speed falls short: 0 for less than one, as nobody feels that.

    Unknown lies between fast enough and not, unless even the hardware does not allow it.
    """
    figure = part.figures.get("decode")
    if figure is None:
        return Criterion("fast enough", (0.5,), "its speed is not known")
    value = figure.estimate.value
    steps = int(math.log(max(least / value, 1.0)) / math.log(_STEP_OF_SPEED))
    if not figure.is_measured and not steps:
        return Criterion("fast enough", (0.5,), "nobody measured its speed")
    words = f"generates {value:.3g} tokens/s" + (f", short of {least:.3g}" if steps else "")
    return Criterion("fast enough", (float(steps),), words)


def _at_most(part: Part, steps: int) -> Criterion:
    """Equal up to so many steps of loss above none; beyond, and where it is unknown, by quality."""
    rank = quality_rank(part)
    over = max(rank[0] - 1 - steps, 0.0)
    return Criterion("quality kept", (over, *rank[1:]) if over or rank[1] else (0.0,), quality_words(part))


def _quality(part: Part) -> Criterion:
    _, unknown, *rest = quality_rank(part)
    level = float(max(loss_class(part.loss), loss_class(part.cache_loss)))
    return Criterion("quality", (level, unknown, *(rest if unknown else ())), quality_words(part))


def _exact_quality(part: Part) -> Criterion:
    _, unknown, weights, cache, bits = quality_rank(part)
    return Criterion("quality", (max(weights, cache), unknown, bits), quality_words(part))


def _decode(part: Part) -> Criterion:
    deep = format_count(part.context_tokens)
    return _figure(
        part, "decode", "speed", f"generates {{0:,.3g}} tokens/s at {deep} tokens (at least {{1:,.3g}})"
    )


def _first_token(part: Part) -> Criterion:
    return _figure(part, "ttft", "first token", "first token after {0:.2g} s (at most {2:.2g})")


def _turn(part: Part) -> Criterion:
    return _figure(part, "turn", "turn", "a turn takes {0:.3g} s (at most {2:.3g})")


def _throughput(part: Part) -> Criterion:
    words = f"{{0:,.0f}} tokens/s over {part.sequences_count} sequences (at least {{1:,.0f}})"
    return _figure(part, "throughput", "throughput", words)


def _figure(part: Part, quantity: str, name: str, words: str) -> Criterion:
    """By the slow end; after measured runtimes those that nobody measured, then those without a figure."""
    figure = part.figures.get(quantity)
    if figure is None:
        return Criterion(name, (2.0, 0.0), "its speed is not known")
    e = figure.estimate
    if not figure.is_measured:
        at_best = f"{e.value:,.3g} {e.unit}"
        runtime = part.model.runtime.replace("llama_cpp", "llama.cpp")
        said = f"{at_best} is what the hardware allows; nobody measured {runtime} for this"
        return Criterion(name, (1.0, -slow_end(figure)), said)
    return Criterion(name, (0.0, -slow_end(figure)), words.format(e.value, e.low, e.high))


def _context(part: Part) -> Criterion:
    return Criterion(
        "context", (-part.context_tokens,), f"{format_count(part.context_tokens)} tokens of context"
    )
