"""Whether something runs: one rule, the situation it is asked about, and the verdict.

A rule says one thing about a part of all situations. Its conditions are sets and ranges; an empty set
means *whatever it is*. Two rules of one topic must not hold for the same situation, so that a topic
never contradicts itself; a situation that no rule covers is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Says = Literal["native", "supported", "penalty", "inefficient", "unsupported"]
Outcome = Literal["native", "supported", "penalty", "inefficient", "unsupported", "unknown"]
Aspect = Literal[
    "device", "weights", "kv", "attention", "moe", "model", "lora", "tools", "stack", "ui", "os", "features",
]  # fmt: skip
RuleOrigin = Literal["hand", "harvest"]
ASPECTS: tuple[Aspect, ...] = get_args(Aspect)
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

Numbers = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Dotted numbers from `low` on and below `high`; None leaves that end open."""

    low: Numbers | None = None
    high: Numbers | None = None

    def holds(self, value: Numbers) -> bool:
        """Is the number in the range?"""
        return (self.low is None or value >= self.low) and (self.high is None or value < self.high)

    def meets(self, other: Range) -> bool:
        """Is there a number in both ranges?"""
        return not (
            (self.high is not None and other.low is not None and other.low >= self.high)
            or (other.high is not None and self.low is not None and self.low >= other.high)
        )


EVERYTHING = Range()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing that is known, when it holds, and where it was read.

    `id` is `<file>#<name>`; `runtime` is '' for what holds whatever runs the model. `topic` separates
    independent facts of one aspect, such as a loader's gate and the kernel behind it.
    `releases` are places in the runtime's release list, for llama.cpp build numbers: see
    `catalog/rules.py`. `hardware` are the names of `rules/vocabulary.toml`. All of `features` must be
    there. `needs` is what must be done or present besides.
    """

    id: str
    runtime: str
    aspect: Aspect
    says: Says
    sources: tuple[str, ...]
    checked_on: str
    topic: str = ""
    note: str = ""
    needs: str = ""
    origin: RuleOrigin = "hand"
    versions: str = ""
    releases: Range = EVERYTHING
    formats: frozenset[str] = frozenset()
    hardware: frozenset[str] = frozenset()
    backends: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    features: frozenset[str] = frozenset()
    systems: frozenset[str] = frozenset()
    driver: Range = EVERYTHING
    cuda: Range = EVERYTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What is asked about, in the words of the rules. '' or None: not told, or there is none.

    `release` is the place of the version in the runtime's release list. `models` are all names of the
    model's architecture: its class, its model_type, its name in GGUF. `features` are what the model or
    the question brings along ('sinks', 'latent-attention', 'moe', 'lora', 'lora-experts').
    """

    runtime: str
    release: Numbers | None = None
    weights: str = ""
    kv: str = ""
    hardware: str = ""
    backend: str = ""
    models: frozenset[str] = frozenset()
    features: frozenset[str] = frozenset()
    system: str = ""
    driver: Numbers | None = None
    cuda: Numbers | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer to one aspect: one sentence, what must be done for it, where it was read and when."""

    aspect: Aspect
    outcome: Outcome
    note: str
    needs: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    checked_on: str = ""
    rules: tuple[str, ...] = ()


def covers(rule: Rule, asked: Situation) -> bool:
    """Does the rule hold in this situation? What was not told meets only rules that do not ask for it."""
    return (
        covers_in_some_release(rule, asked)
        and _in(rule.releases, asked.release)
        and _in(rule.cuda, asked.cuda)
    )


def covers_in_some_release(rule: Rule, asked: Situation) -> bool:
    """Does the rule hold in this situation, with whatever release and the CUDA that comes with it?"""
    format_asked = asked.kv if rule.aspect == "kv" else asked.weights
    return (
        rule.runtime in ("", asked.runtime)
        and (not rule.formats or format_asked in rule.formats)
        and (not rule.hardware or asked.hardware in rule.hardware)
        and (not rule.backends or asked.backend in rule.backends)
        and (not rule.models or not rule.models.isdisjoint(asked.models))
        and rule.features <= asked.features
        and (not rule.systems or asked.system in rule.systems)
        and _in(rule.driver, asked.driver)
    )


def _in(wanted: Range, value: Numbers | None) -> bool:
    return wanted is EVERYTHING or wanted == EVERYTHING or (value is not None and wanted.holds(value))


def overlap(one: Rule, other: Rule) -> bool:
    """Can both rules of one topic hold for the same situation?

    `features` never separate two rules, because a situation may have all of them at once.
    """
    sets = ("formats", "hardware", "backends", "models", "systems")
    ranges = ("releases", "driver", "cuda")
    return (
        (one.runtime, one.aspect, one.topic) == (other.runtime, other.aspect, other.topic)
        and all(_share(getattr(one, name), getattr(other, name)) for name in sets)
        and all(getattr(one, name).meets(getattr(other, name)) for name in ranges)
    )


def _share(one: frozenset[str], other: frozenset[str]) -> bool:
    return not one or not other or not one.isdisjoint(other)
