"""What `check` answers to questions about many things at once: tables, chains, front-ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from plimsoll.domain.origin import Source
from plimsoll.domain.rule import Outcome, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One field of a matrix."""

    row: str
    column: str
    outcome: Outcome
    note: str
    checked_on: str = ""
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Verdicts of rows by columns: formats by runtimes on a machine, or machines by runtimes."""

    question: str
    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[Cell, ...]
    notes: tuple[str, ...] = ()
    oldest_check: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StackFact:
    """One link of a dependency chain: what the release wants, and what is installed ('' not read).

    `differs` None means that the two cannot be compared.
    """

    name: str
    wanted: str
    installed: str = ""
    differs: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StackAnswer:
    """What a release is built on. `install` are lines of a requirements file that satisfy it."""

    question: str
    runtime: str
    version: str
    machine: str
    outcome: Outcome
    verdict: Verdict
    facts: tuple[StackFact, ...]
    breaks: tuple[str, ...]
    install: tuple[str, ...]
    notes: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 it holds, 1 it does not, 3 nothing is known."""
        if self.outcome == "unsupported":
            return 1
        return 3 if self.outcome == "unknown" and not self.facts else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontierRow:
    """A model on a machine: its unquantised bytes, else the format that fits and runs, with its verdict."""

    model: str
    unquantised_bytes: int
    runs_unquantised: bool
    format: str = ""
    outcome: Outcome = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """Which models run unquantised on a machine, and which need a format."""

    question: str
    machine: str
    memory_bytes: int
    rows: tuple[FrontierRow, ...]
    notes: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class UiFeature:
    """What a front-end does about one feature, with its source."""

    name: str
    outcome: Outcome
    note: str
    sources: tuple[str, ...] = ()
    checked_on: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ui:
    """A front-end for people, and what it does."""

    id: str
    name: str
    features: tuple[UiFeature, ...]
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UiAnswer:
    """Front-ends by features, and what a model needs of them."""

    question: str
    model: str
    features: tuple[str, ...]
    uis: tuple[Ui, ...]
    notes: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
