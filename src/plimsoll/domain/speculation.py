"""Nouns of speculative decoding: what drafts, how much is accepted, and what that makes of the speed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Method = Literal["mtp", "eagle3", "draft"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptanceMeasurement:
    """A published figure: with `drafted_tokens` a step, the tokens a step gave, or the share accepted.

    `tokens_per_step` counts the target's own token too; it or `acceptance_rate` is 0 (not told). `draft` is
    the drafting model or head, '' for the model's own MTP layers. Speeds are 0 where they were not told.
    """

    target: str
    method: Method
    draft: str
    drafted_tokens: int
    tokens_per_step: float
    acceptance_rate: float
    task: str
    temperature: str
    runtime: str
    hardware: str
    plain_tokens_per_s: float
    speculative_tokens_per_s: float
    date: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """The chance that a drafted token is accepted where those before it were; `origin` says who says so."""

    value: float
    low: float
    high: float
    origin: str
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedAt:
    """The speed at one acceptance, and how much faster than without drafting."""

    acceptance: float
    tokens_per_step: float
    tokens_per_s: float
    speedup: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Speculation:
    """What drafting does: `acceptance` None = nobody measured it. Below `break_even` it slows down.

    `break_even` is None where even full acceptance does not pay.
    """

    method: Method
    draft: str
    drafted_tokens: int
    draft_seconds: float
    verify_seconds: float
    plain_seconds: float
    acceptance: Acceptance | None
    break_even: float | None
    points: tuple[SpeedAt, ...]
