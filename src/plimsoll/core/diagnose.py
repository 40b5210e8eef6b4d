"""Recognises known failures in a log that is read block by block.

A signature is plain text with `*` for anything within a line. Servers repeat themselves: of lines that differ
in digits only, the first few are searched. A block is searched for the longest piece of every pattern not yet
found (a plain substring search, so that no log can make it slow); only lines that hold it are matched whole.
Nothing but the first match of each pattern is kept, whatever the size of the log.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from plimsoll.core.secrets import masked
from plimsoll.domain.failure import WILDCARD, KnownFailure, Recognised

LONGEST_LINE = 4000
SUSPECTS_COUNT = 12
CONDITION = 20
ENDS_IT = ("stops", "hangs")
_ALIKE_COUNT = 16
_MOST_KINDS = 200_000
_COLOURS = re.compile(rb"\x1b\[[0-9;?]{0,20}[A-Za-z]")
_SUSPECT = re.compile(
    rb"^[^\n]{0,300}?(?:\b[A-Z][A-Za-z]{2,40}(?:Error|Exception)\b|\bERROR\b|\berror:|\bfatal\b|\bFATAL\b|GGML_ASSERT"
    rb"|Segmentation fault|core dumped|\bKilled\b|\bXid\b|\bpanic:)[^\n]{0,3000}",
    re.MULTILINE,
)

_SUSPECT_WORDS = (
    b"rror", b"ERROR", b"xception", b"atal", b"FATAL", b"GGML_ASSERT", b"fault", b"Killed", b"Xid", b"panic:",
    b"core dumped",
)  # fmt: skip


@dataclass(slots=True)
class Scan:
    """What was found so far: of each pattern its first line, and lines that look like errors.

    `first` maps a pattern to (line number, line); `lines_count` counts ends of lines; `alike` counts lines
    by the hash of their text without digits.
    """

    patterns: tuple[str, ...]
    first: dict[str, tuple[int, str]] = field(default_factory=dict)
    suspects: list[tuple[int, str]] = field(default_factory=list)
    lines_count: int = 0
    alike: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """The lines of a block that were worth searching, and their numbers in the log."""

    text: bytes
    numbers: tuple[int, ...]

    def number_at(self, position: int) -> int:
        """The number in the log of the line that holds this byte."""
        return self.numbers[self.text.count(b"\n", 0, position)]


def scan_for(failures: Iterable[KnownFailure]) -> Scan:
    """An empty scan for all patterns of the failures, each once."""
    wanted = (p for f in failures for p in (*f.never, *(p for text in f.texts for p in text)))
    return Scan(patterns=tuple(dict.fromkeys(wanted)))


def scanned(scan: Scan, block: bytes) -> Fresh:
    """Search one block, whole lines of UTF-8; returns what of it was searched."""
    fresh = _fresh(scan, _COLOURS.sub(b"", block) if b"\x1b" in block else block)
    text = fresh.text
    for pattern in scan.patterns:
        if pattern not in scan.first and (found := _first(pattern, text)):
            scan.first[pattern] = (fresh.number_at(found[0]), found[1])
    if len(scan.suspects) < SUSPECTS_COUNT and any(word in text for word in _SUSPECT_WORDS):
        for m in _SUSPECT.finditer(text):
            scan.suspects.append((fresh.number_at(m.start()), _text(m[0])))
            if len(scan.suspects) == SUSPECTS_COUNT:
                break
    return fresh


def _fresh(scan: Scan, block: bytes) -> Fresh:
    """The lines of which fewer than _ALIKE_COUNT were seen, digits aside."""
    lines = block.split(b"\n")
    kept, numbers, alike = [], [], scan.alike
    if len(alike) > _MOST_KINDS:
        alike.clear()
    for i, kind in enumerate(block.translate(None, b"0123456789").split(b"\n")):
        key = hash(kind)
        count = alike.get(key, 0)
        if count < _ALIKE_COUNT:
            alike[key] = count + 1
            kept.append(lines[i])
            numbers.append(scan.lines_count + i + 1)
    scan.lines_count += len(lines) - 1
    return Fresh(text=b"\n".join(kept), numbers=tuple(numbers))


def _first(pattern: str, block: bytes) -> tuple[int, str] | None:
    """Where the first line that matches begins, and the line."""
    pieces = [p.encode() for p in pattern.split(WILDCARD) if p]
    rarest = max(pieces, key=len)
    at = block.find(rarest)
    while at >= 0:
        start, end = block.rfind(b"\n", 0, at) + 1, block.find(b"\n", at)
        end = len(block) if end < 0 else end
        if _holds(pieces, block, start, end):
            return start, _text(block[max(start, at - LONGEST_LINE // 2) : min(end, at + LONGEST_LINE // 2)])
        at = block.find(rarest, end)
    return None


def _holds(pieces: Sequence[bytes], block: bytes, start: int, end: int) -> bool:
    """Are the pieces between start and end, one after the other?"""
    for piece in pieces:
        at = block.find(piece, start, end)
        if at < 0:
            return False
        start = at + len(piece)
    return True


def _text(line: bytes) -> str:
    return masked(line.decode("utf-8", "replace").strip()[:LONGEST_LINE])[0]


def recognised(
    scan: Scan, failures: Iterable[KnownFailure], *, runtime: str = "",
    hardware: frozenset[str] = frozenset(), models: frozenset[str] = frozenset(),
) -> tuple[Recognised, ...]:  # fmt: skip
    """The failures whose signature is in the log: those that end a run before those that only slow it or
    change its answers, of these the most specific first and generic ones last. A generic one on a line that a
    specific one explains adds nothing to it, and comes last of all.

    What the log or the user tells of runtime, hardware and model ('' or empty: nothing) excludes failures of
    others.
    """
    found = []
    for failure in failures:
        if any(p in scan.first for p in failure.never) or not _is_about(failure, runtime, hardware, models):
            continue
        matches = [text for text in failure.texts if all(p in scan.first for p in text)]
        if matches:
            best = max(matches, key=specificity)
            line_number, line = min(scan.first[p] for p in best)
            found.append(
                Recognised(failure=failure, line_number=line_number, line=line, specificity=specificity(best))
            )
    told = (bool(runtime), bool(hardware), bool(models))
    explained = {r.line_number for r in found if not r.failure.is_generic}
    return tuple(sorted(found, key=lambda r: (
        r.failure.severity not in ENDS_IT or (r.failure.is_generic and r.line_number in explained),
        r.failure.is_generic, -_weight(r, told), r.line_number,
    )))  # fmt: skip


def _weight(found: Recognised, told: tuple[bool, bool, bool]) -> int:
    """Letters that matched; a condition that the log met counts CONDITION letters more, one on hardware or
    model that nothing told counts as many less, so that the general entry comes first.
    """
    failure = found.failure
    runtime, hardware, models = told
    weight = found.specificity + CONDITION * (runtime and bool(failure.runtimes))
    for is_told, condition in ((hardware, failure.hardware), (models, failure.models)):
        weight += CONDITION * (1 if is_told else -1) * bool(condition)
    return weight


def _is_about(failure: KnownFailure, runtime: str, hardware: frozenset[str], models: frozenset[str]) -> bool:
    """Does nothing that is told speak against it?"""
    return (
        (not runtime or not failure.runtimes or runtime in failure.runtimes)
        and (not hardware or not failure.hardware or bool(hardware & failure.hardware))
        and (not models or not failure.models or bool(models & failure.models))
    )


def specificity(text: Sequence[str]) -> int:
    """Letters that must match: the sum over patterns, wildcards aside."""
    return sum(len(p.replace(WILDCARD, "")) for p in text)


def lines_with(fresh: Fresh, trigger: bytes, most: int) -> Iterator[tuple[int, str]]:
    """(number, text) of the first `most` lines that hold the trigger."""
    text = fresh.text
    at = text.find(trigger)
    for _ in range(most):
        if at < 0:
            return
        start, end = text.rfind(b"\n", 0, at) + 1, text.find(b"\n", at)
        end = len(text) if end < 0 else end
        yield fresh.number_at(start), text[start : min(end, start + LONGEST_LINE)].decode("utf-8", "replace")
        at = text.find(trigger, end)
