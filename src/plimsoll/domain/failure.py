"""Failures that somebody met, how to recognise them in a log, and what a log says besides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Severity = Literal["stops", "hangs", "slows", "wrong answers"]
CauseBasis = Literal["code", "maintainer", "thread", "inferred", "unknown"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
CAUSE_BASES: tuple[CauseBasis, ...] = get_args(CauseBasis)
WILDCARD = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFailure:
    """One failure with its signatures.

    `texts` are alternatives; each is a tuple of patterns that must all be in the log, each on one line.
    A pattern is plain text in which `*` stands for anything within the line. `never` are patterns that
    must not be there. `is_generic` marks what often follows from another failure: it counts last.
    `runtimes`, `hardware` and `models` restrict it where they are not empty: a log that tells another
    runtime, card or model is not this failure. `fixed_in` is a version of the first of `runtimes` ('' =
    not told). `cause_basis` says who found the cause. `urls` are where it was read.
    """

    id: str
    title: str
    texts: tuple[tuple[str, ...], ...]
    cause: str
    fix: str
    cause_basis: CauseBasis
    severity: Severity
    urls: tuple[str, ...]
    checked_on: str
    symptom: str = ""
    never: tuple[str, ...] = ()
    is_generic: bool = False
    runtimes: frozenset[str] = frozenset()
    hardware: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    versions: str = ""
    fixed_in: str = ""
    is_reread: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFact:
    """Something the log states: `name` ('vllm version', 'KV cache tokens'), the value, and the line."""

    name: str
    value: str
    line_number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """A failure found in the log: where, the line (secrets masked), and how specific the match is.

    `specificity` counts the letters that had to match.
    """

    failure: KnownFailure
    line_number: int
    line: str
    specificity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnoseAnswer:
    """The answer of `diagnose`: causes, the likeliest first; without any, `suspects` are lines that look
    like errors."""

    question: str
    asked: Mapping[str, object]
    verdict: Literal["recognised", "unknown"]
    reason: str
    causes: tuple[Recognised, ...]
    suspects: tuple[tuple[int, str], ...]
    facts: tuple[LogFact, ...]
    lines_count: int
    size_bytes: int
    masked_count: int
    notes: tuple[str, ...]
    versions: Mapping[str, str]

    @property
    def exit_code(self) -> int:
        """0 recognised, 3 unknown."""
        return 0 if self.verdict == "recognised" else 3
