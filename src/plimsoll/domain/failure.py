"""Failures that somebody met, how to recognise them in a log, and what a log says besides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from plimsoll.domain.origin import Source

Severity = Literal["stops", "hangs", "slows", "wrong answers"]
Tier = Literal["exact", "class", "symptom"]
CauseBasis = Literal["code", "maintainer", "thread", "inferred", "unknown"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
TIERS: tuple[Tier, ...] = get_args(Tier)
CAUSE_BASES: tuple[CauseBasis, ...] = get_args(CauseBasis)
WILDCARD = "*"
# The breadth of a class that only says that the program refused or failed by itself.
BARE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFailure:
    """One failure with its signatures.

    `texts` are alternatives; each is a tuple of patterns that must all be in the log, each on one line. A
    pattern is plain text in which `*` stands for anything within the line. `never` are patterns that must
    not be there. `phrases` are alternatives too, tuples of pieces in small letters that one line must hold
    in this order, each at the start of a word; only lines that look like errors are searched for them.
    `tier` says what a match tells: 'exact' a failure whose cause is known; 'class' a kind of failure that
    any engine may have, so that the cause is certain at that level and the exact case is not; 'symptom'
    only what was seen (often what follows from another failure), not why. `breadth` ranks classes: 0 says
    what went wrong, 1 what it is about, 2 that it is not supported, 3 (BARE) only that the program refused
    or failed by itself, which tells no cause. `may_follow` marks what a failure further up often brings
    about: where one stands there, that comes first. `runtimes`, `hardware` and `models` restrict it where
    they are not empty: a log that tells another runtime, card or model is not this failure. `fixed_in` is a
    version of the first of `runtimes` ('' = not told). `cause_basis` says who found the cause. `urls` are
    where it was read.
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
    phrases: tuple[tuple[str, ...], ...] = ()
    tier: Tier = "exact"
    breadth: int = 0
    may_follow: bool = False
    runtimes: frozenset[str] = frozenset()
    hardware: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    versions: str = ""
    fixed_in: str = ""
    is_reread: bool = True

    @property
    def tells_why(self) -> bool:
        """Does it state a cause? A symptom and a bare class do not."""
        return self.tier == "exact" or (self.tier == "class" and self.breadth < BARE)


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
    """The answer of `diagnose`: causes, the likeliest first, and of what `tier` the first is ('' = none).

    `verdict` is 'recognised' where the first cause tells why (an exact failure, or a class that is not
    bare). Else `suspects` are lines that look like errors, and `causes` tell at most what happened.
    """

    question: str
    asked: Mapping[str, object]
    verdict: Literal["recognised", "unknown"]
    tier: Tier | Literal[""]
    reason: str
    causes: tuple[Recognised, ...]
    suspects: tuple[tuple[int, str], ...]
    facts: tuple[LogFact, ...]
    lines_count: int
    size_bytes: int
    masked_count: int
    notes: tuple[str, ...]
    unknowns: tuple[str, ...]
    sources: tuple[Source, ...]
    versions: Mapping[str, str]

    @property
    def exit_code(self) -> int:
        """0 recognised, 3 unknown."""
        return 0 if self.verdict == "recognised" else 3
