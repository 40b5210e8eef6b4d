"""Several copies of one model on one machine, and what comes of each way to make them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from plimsoll.domain.answer import ModelFacts
from plimsoll.domain.deployment import SplitKind
from plimsoll.domain.origin import Source

# How requests are spread over copies.
Routing = Literal["round robin", "least outstanding", "session"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One engine: the model over `cards_count` cards, split like this where there are several."""

    cards_count: int
    split: SplitKind = "none"

    def __post_init__(self) -> None:
        if self.cards_count < 1:
            raise ValueError("a copy runs on a card at least")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the cards of a machine are shared out; `text` is how it was written."""

    text: str
    copies: tuple[Copy, ...]

    @property
    def cards_count(self) -> int:
        """Cards that work."""
        return sum(copy.cards_count for copy in self.copies)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Copies of one shape: what each holds and how fast it is alone.

    `step_seconds` is a step that decodes one sequence of the middle length, `exchange_share` the part of a
    step of `busy_count` sequences in which cards wait for each other; it was measured of such cards, or is
    learnt from others. At the ends of their 80 % interval steps take `slow_times` and `fast_times` as long.
    """

    count: int
    cards_count: int
    split: SplitKind
    weights_bytes: int
    pool_tokens: int
    slots_count: int
    step_seconds: float
    busy_count: int
    busy_step_seconds: float
    exchange_share: float
    slow_times: float = 1.0
    fast_times: float = 1.0
    is_exchange_measured: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What a layout does at one load. Times in seconds, shares of one; of the requests that were answered.

    `is_kept_up` says whether its slow requests stay within what was called slow.
    """

    rate_per_s: float
    requests_count: int
    refused_count: int
    ttft_p50_s: float
    ttft_p95_s: float
    tpot_p50_s: float
    tpot_p95_s: float
    total_p50_s: float
    total_p95_s: float
    tokens_per_s: float
    held_share_most: float
    cached_share: float
    preemptions_count: int
    is_kept_up: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutResult:
    """One layout: does it fit, what is in it, and how it behaves load by load.

    `most_per_s` is the highest load of those tried that it keeps up with, None for none of them; the low and
    the high one is where steps are as slow or as fast as their interval has them.
    """

    layout: Layout
    verdict: str
    reason: str = ""
    idle_cards_count: int = 0
    weights_bytes: int = 0
    pool_tokens: int = 0
    kinds: tuple[Kind, ...] = ()
    points: tuple[Point, ...] = ()
    most_per_s: float | None = None
    most_low_per_s: float | None = None
    most_high_per_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Winner:
    """The layout whose slow requests are answered soonest at a load, '' where none keeps up.

    `near` are others that are hardly slower.
    """

    rate_per_s: float
    text: str
    near: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiesAnswer:
    """One model over all cards, copies of it, or something between: load by load, and why."""

    question: str
    asked: Mapping[str, object]
    verdict: Literal["compared", "does_not_fit", "unknown"]
    reason: str = ""
    model: tuple[ModelFacts, ...] = ()
    machine: str = ""
    habit: str = ""
    routing: str = ""
    slow_s: float = 0.0
    layouts: tuple[LayoutResult, ...] = ()
    winners: tuple[Winner, ...] = ()
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unknowns: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 compared, 1 nothing of it fits, 3 unknown."""
        return {"compared": 0, "does_not_fit": 1, "unknown": 3}[self.verdict]
