"""Recognises known failures in a log that is read block by block.

A signature is plain text with `*` for anything within a line. Servers repeat themselves: of lines that
differ in digits only, the first few are searched. Of the patterns not yet found those are tried whose
longest whole word is in the block, by a plain substring search for the pattern's longest piece, so that no
log can make it slow; only lines that hold it are matched whole. Nothing but the first match of each pattern
and some hundred lines that tell of errors are kept, whatever the size of the log.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

from plimsoll.core.error_lines import QUOTED_COUNT, ErrorLines, candidates, first_with, message
from plimsoll.core.secrets import masked
from plimsoll.domain.failure import BARE, WILDCARD, KnownFailure, Recognised

LONGEST_LINE = 4000
SUSPECTS_COUNT = 12
CONDITION = 20
ENDS_IT = ("stops", "hangs")
_ALIKE_COUNT = 16
_MOST_KINDS = 200_000
_COLOURS = re.compile(rb"\x1b\[[0-9;?]{0,20}[A-Za-z]")
_BOUNDED = re.compile(rb"(?<=[^0-9A-Za-z])[0-9A-Za-z]{3,}(?=[^0-9A-Za-z])")
_TO_WORDS = bytes(c if chr(c).isalnum() and c < 128 else 32 for c in range(256))


@dataclass(slots=True)
class Scan:
    """What was found so far: of each pattern its first line, and lines that look like errors.

    `wanted` are the patterns by a word that a line needs to hold for them ('' = any line). `first` maps a
    pattern to (line number, line); `lines_count` counts ends of lines; `alike` counts lines by the hash of
    their text without digits.
    """

    wanted: Mapping[bytes, tuple[str, ...]]
    first: dict[str, tuple[int, str]] = field(default_factory=dict)
    errors: ErrorLines = field(default_factory=ErrorLines)
    lines_count: int = 0
    alike: dict[int, int] = field(default_factory=dict)

    @property
    def suspects(self) -> tuple[tuple[int, str], ...]:
        """The first lines that tell of an error: (number, line with secrets masked)."""
        return tuple(
            (number, _text(line.encode())) for number, line in self.errors.certain()[:SUSPECTS_COUNT]
        )


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
    patterns = dict.fromkeys(p for f in failures for p in (*f.never, *(p for text in f.texts for p in text)))
    wanted: dict[bytes, list[str]] = {}
    for pattern in patterns:
        wanted.setdefault(_whole_word(pattern), []).append(pattern)
    return Scan(wanted={word: tuple(found) for word, found in wanted.items()})


def _whole_word(pattern: str) -> bytes:
    """The longest word that stands whole in the pattern, between two characters that no word holds."""
    words = (word for piece in pattern.encode().split(WILDCARD.encode()) for word in _BOUNDED.findall(piece))
    return max(words, key=len, default=b"")


def scanned(scan: Scan, block: bytes) -> Fresh:
    """Search one block, whole lines of UTF-8; returns what of it was searched."""
    fresh = _fresh(scan, _COLOURS.sub(b"", block) if b"\x1b" in block else block)
    text = fresh.text
    for word in scan.wanted.keys() & {b"", *text.translate(_TO_WORDS).split()}:
        for pattern in scan.wanted[word]:
            if pattern not in scan.first and (found := _first(pattern, text)):
                scan.first[pattern] = (fresh.number_at(found[0]), found[1])
    place = searched = 0
    for position, line in candidates(text):
        place += text.count(b"\n", searched, position)
        searched = position
        scan.errors.add(fresh.numbers[place], line)
    if len(scan.errors.quoted) <= QUOTED_COUNT:
        kept = [
            (number, line) for number, line in zip(fresh.numbers, text.split(b"\n"), strict=False) if line
        ]
        scan.errors.quoted += kept[: QUOTED_COUNT + 1]
    return fresh


def _fresh(scan: Scan, block: bytes) -> Fresh:
    """The lines of which fewer than _ALIKE_COUNT were seen, digits aside."""
    kinds = block.translate(None, b"0123456789").split(b"\n")
    kept, numbers, alike = [], [], scan.alike
    if len(alike) > _MOST_KINDS:
        alike.clear()
    seen = {kind: alike.get(hash(kind), 0) for kind in set(kinds)}
    if any(count < _ALIKE_COUNT for count in seen.values()):
        for i, (kind, line) in enumerate(zip(kinds, block.split(b"\n"), strict=True)):
            if seen[kind] < _ALIKE_COUNT:
                seen[kind] += 1
                kept.append(line)
                numbers.append(scan.lines_count + i + 1)
        alike.update((hash(kind), count) for kind, count in seen.items())
    scan.lines_count += len(kinds) - 1
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
    change its answers; of these the exact ones (the most specific first), then classes (the first in the log
    first), then symptoms. A class or symptom on a line that an exact one explains comes last of all, and an
    exact one that may follow from another comes after what stands further up.

    What the log or the user tells of runtime, hardware and model ('' or empty: nothing) excludes failures of
    others.
    """
    possible = [
        f for f in failures
        if not any(p in scan.first for p in f.never) and _is_about(f, runtime, hardware, models)
    ]  # fmt: skip
    lines = scan.errors.lines() if any(f.phrases for f in possible) else []
    small = [(number, message(line)) for number, line in lines]
    phrases = first_with(dict.fromkeys(p for f in possible for p in f.phrases), small)
    found = [r for f in possible for r in (_by_texts(scan, f) or _by_phrases(f, phrases, lines))]
    symptoms = {r.line_number for r in found if r.failure.tier == "symptom" and r.failure.texts}
    found = [r for r in found if not (_is_bare(r.failure) and r.line_number in symptoms)]
    told = (bool(runtime), bool(hardware), bool(models))
    explained = {r.line_number for r in found if r.failure.tier == "exact"}
    return tuple(sorted(found, key=lambda r: _place(r, found, explained, told)))


def _is_bare(failure: KnownFailure) -> bool:
    """Does it rest on nothing but common words of refusal ('unknown', 'must be')?"""
    return failure.breadth == BARE and not failure.texts


def _by_texts(scan: Scan, failure: KnownFailure) -> tuple[Recognised, ...]:
    matches = [text for text in failure.texts if all(p in scan.first for p in text)]
    if not matches:
        return ()
    best = max(matches, key=specificity)
    number, line = min(scan.first[p] for p in best)
    return (Recognised(failure=failure, line_number=number, line=line, specificity=specificity(best)),)


def _by_phrases(
    failure: KnownFailure, places: Mapping[Sequence[str], int], lines: Sequence[tuple[int, str]]
) -> tuple[Recognised, ...]:
    matches = [phrase for phrase in failure.phrases if phrase in places]
    if not matches:
        return ()
    best = min(matches, key=lambda phrase: (places[phrase], -specificity(phrase)))
    number, line = lines[places[best]]
    return (Recognised(
        failure=failure, line_number=number, line=_text(line.encode()), specificity=specificity(best)
    ),)  # fmt: skip


def _place(
    found: Recognised, others: Sequence[Recognised], explained: Set[int], told: tuple[bool, bool, bool]
) -> tuple[bool, int, int, int]:
    """What `recognised` sorts by."""
    failure = found.failure
    rank = {"exact": 0, "class": 1 + failure.breadth, "symptom": 6}[failure.tier]
    ends = failure.severity in ENDS_IT and not (rank and found.line_number in explained)
    if failure.may_follow and any(
        o.line_number < found.line_number and o.failure.severity in ENDS_IT
        and o.failure.tier != "symptom" and not o.failure.may_follow for o in others
    ):  # fmt: skip
        rank = max(rank, 5)
    weight = -_weight(found, told)
    return (
        not ends,
        rank,
        *((found.line_number, weight) if failure.tier == "class" else (weight, found.line_number)),
    )


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
