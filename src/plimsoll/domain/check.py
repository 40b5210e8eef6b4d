"""What `check` answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from plimsoll.domain.origin import Source
from plimsoll.domain.rule import Outcome, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """What to change so that it works, and how well; `flags` is what to type after the same question.

    `is_too_large`: the weights alone exceed the memory of the devices. `is_lossy`: they must be quantised
    further than they are now.
    """

    change: str
    flags: str
    outcome: Outcome
    is_too_large: bool = False
    is_lossy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckAnswer:
    """One exact thing one could launch: a verdict per aspect, and the answer to all of them.

    `oldest_check` is the day of the oldest fact used.
    """

    question: str
    asked: Mapping[str, Any]
    outcome: Outcome
    reason: str
    model: str
    machine: str
    hardware: str
    runtime: str
    version: str
    weights: str
    verdicts: tuple[Verdict, ...]
    alternatives: tuple[Alternative, ...] = ()
    notes: tuple[str, ...] = ()
    oldest_check: str = ""
    sources: tuple[Source, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 it runs, 1 it does not, 3 unknown."""
        return {"unsupported": 1, "unknown": 3}.get(self.outcome, 0)
