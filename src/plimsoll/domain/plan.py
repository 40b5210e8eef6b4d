"""Nouns of a plan: what one wants of a machine, the ways to get it, and what each gives up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from plimsoll.domain.answer import ModelFacts, Verdict
from plimsoll.domain.deployment import Deployment
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.origin import Source
from plimsoll.domain.quality import QualityLoss
from plimsoll.domain.rule import Outcome
from plimsoll.domain.speed import Bottleneck

Goal = Literal["chat", "agents", "batch", "long-context", "max-quality"]
GOALS: tuple[Goal, ...] = get_args(Goal)
# 'alone': one model. 'beside': several at once. 'swapped': several, one after the other.
Arrangement = Literal["alone", "beside", "swapped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A predicted rate or time of a plan, what bounds it, and what the calibration had not seen.

    Without `is_measured` nobody measured this runtime on this kind of device: the figure is what the hardware
    allows at best, no prediction.
    """

    estimate: Estimate
    bottleneck: Bottleneck
    new: str
    is_measured: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Compatibility:
    """What the rules say about a runtime with these formats on this hardware, the worst of all aspects.

    `says` is what it costs ('penalty', 'inefficient') or why it does not run; `aspects` are those that
    decide, of 'unknown' those that no rule covers; `sources` are ids of the catalog.
    """

    outcome: Outcome
    says: tuple[str, ...] = ()
    aspects: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    checked_on: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One model of a plan, as it would be launched.

    `asked` are the fields of `ask.fit.FitQuestion` that give exactly this deployment again, `flags` what to
    type after `plimsoll fit`, `speed` or `launch`. `figures` by quantity: 'decode' (tokens/s of one sequence
    while all run, at a full context), 'decode_total', 'prefill', 'ttft', 'turn', 'throughput'.
    `loss` is of the weights, `cache_loss` of the KV cache: they do not add up.
    `longest_context_tokens` and `most_sequences_count` change one thing each and keep the rest.
    `compatibility` is what the rules say, `unchecked` are questions that none of them answers.
    """

    model: ModelFacts
    asked: Mapping[str, object]
    flags: str
    fingerprint: str
    weight_format: str
    kv_format: str
    split: str
    placement: str
    context_tokens: int
    sequences_count: int
    weights_bytes: int
    bits_per_weight: float
    loss: QualityLoss
    cache_loss: QualityLoss
    figures: Mapping[str, Figure]
    longest_context_tokens: int | None = None
    most_sequences_count: int | None = None
    load_seconds: float | None = None
    compatibility: Compatibility = Compatibility(outcome="unknown")
    unchecked: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    deployments: tuple[Deployment, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One way to reach the goal. `gains` and `gives_up` compare it with the first; `why` are the reasons of
    the first, in the order in which they decided. `is_on_front`: no other is at least as good in everything.
    `cost_per_month` is None where no price is known.
    """

    rank: int
    arrangement: Arrangement
    verdict: Verdict
    parts: tuple[Part, ...]
    memory_left_bytes: int
    is_on_front: bool
    cost_per_month: Estimate | None = None
    why: tuple[str, ...] = ()
    gains: tuple[str, ...] = ()
    gives_up: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanAnswer:
    """The answer of `plan`. `choices` are best first; with the verdict 'no_plan' they are the nearest misses.

    `objective` says how the goal ranks. `considered_count` combinations were looked at, `fitting_count` fit.
    `left_out` says what was not looked at, and why.
    """

    question: str
    asked: Mapping[str, object]
    goal: Goal
    objective: str
    verdict: str
    reason: str
    machine: str
    choices: tuple[Choice, ...]
    considered_count: int
    fitting_count: int
    front_count: int
    left_out: tuple[str, ...]
    notes: tuple[str, ...]
    unknowns: tuple[str, ...]
    sources: tuple[Source, ...]
    versions: Mapping[str, str]

    @property
    def exit_code(self) -> int:
        """0 there is a plan, 1 there is none, 3 unknown."""
        return {"no_plan": 1, "does_not_fit": 1, "unknown": 3}.get(self.verdict, 0)
