"""What an edit of config.json does: verdicts per engine, numbers before and after, overrides, sweeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from plimsoll.domain.origin import Source

EditVerdict = Literal[
    "safe", "changes_behaviour", "load_error", "breaks_silently", "not_settable", "unknown"
]  # fmt: skip
ChangeKind = Literal["shape", "missing", "unused"]
OverrideKind = Literal["flag", "code", "file", "cannot"]

# From harmless to worst. What breaks without a word is worse than what refuses to load.
SEVERITY: tuple[EditVerdict, ...] = (
    "not_settable", "safe", "unknown", "changes_behaviour", "load_error", "breaks_silently",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One key of config.json and its new value. `key` is the dotted path from the root.

    `text` is the edit as typed; `was_present` tells a key set to null from a key that was not there.
    """

    key: str
    before: Any
    after: Any
    text: str
    was_present: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorChange:
    """A tensor on which checkpoint and edited model disagree; a shape is None where a side lacks it."""

    name: str
    kind: ChangeKind
    held_shape: tuple[int, ...] | None
    wanted_shape: tuple[int, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineVerdict:
    """What one engine does. `tensors` are the first few that disagree, `tensors_count` all of them."""

    engine: str
    version: str
    verdict: EditVerdict
    reason: str
    tensors: tuple[TensorChange, ...] = ()
    tensors_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The verdicts on one set of edits: one of the question alone, or all of them together."""

    edits: tuple[Edit, ...]
    verdict: EditVerdict
    reason: str
    engines: tuple[EngineVerdict, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """How a runtime is told without editing the file; `note` says what it cannot take over."""

    runtime: str
    kind: OverrideKind
    text: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number before and after; None is unknown, and `note` says why."""

    quantity: str
    label: str
    unit: str
    before: float | int | None
    after: float | int | None
    formula: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityFact:
    """Something that was measured about an edit like this one. Sensitivity says how far outputs move,
    not whether they get worse."""

    about: Literal["quality", "sensitivity"]
    claim: str
    value: float | None
    unit: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPoint:
    """One value of the swept quantity with its figures' after-values by quantity."""

    value: int
    verdict: EditVerdict
    figures: Mapping[str, float | int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A row of points along one key or along the context."""

    axis: str
    unit: str
    present: int | None
    points: tuple[SweepPoint, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """The answer of `whatif`. `verdict` is of all edits together; `judged` has each edit alone."""

    question: str
    asked: Mapping[str, Any]
    model: str
    revision: str
    architecture: str
    verdict: EditVerdict
    together: Judged | None
    judged: tuple[Judged, ...]
    context_tokens: int
    machine: str = ""
    runtime: str = ""
    figures: tuple[Figure, ...] = ()
    overrides: tuple[Override, ...] = ()
    quality: tuple[QualityFact, ...] = ()
    sweep: Sweep | None = None
    notes: tuple[str, ...] = ()
    unknowns: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 it loads and works, 1 it breaks or does not load, 3 unknown."""
        codes = {"load_error": 1, "breaks_silently": 1, "unknown": 3, "not_settable": 3}
        return codes.get(self.verdict, 0)
