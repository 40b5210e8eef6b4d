"""Which lines of a log tell of an error, and which phrases such a line holds.

A phrase is a tuple of pieces in small letters that a line holds in this order, each at the start of a word.
Phrases are what engines have in common when they refuse or fail ('is not supported', 'must be divisible
by'); the same words stand in harmless lines too, so that only lines that tell of an error are searched. A
short text without any such line is what somebody quoted: all of it is searched.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

FIRST_COUNT = 300
LAST_COUNT = 100
QUOTED_COUNT = 40
_MOST_LETTERS = 3000

_WORDS = (
    b"rror", b"RROR", b"xception", b"ail", b"AIL", b"atal", b"FATAL", b"panic", b"CRITICAL", b"bort",
    b"rash", b"illed", b"Assert", b"assert", b"ASSERT", b"annot", b"ould not", b"nable to", b"supported",
    b"nvalid", b"denied", b"refused", b"imed out", b"imeout", b"TIMEOUT", b"ot found", b"issing",
    b"ismatch", b"emory", b"SIG", b"Xid", b"fault", b"ust be", b"o module named", b"o such", b"nstall",
    b"o space", b"lready", b"nknown", b"xpected", b"requires", b"efusing", b"orrupt", b"too ", b"does not",
)  # fmt: skip
# A line that names an exception or a level of error tells of one whatever else it says.
_SURE = re.compile(
    r"[A-Z]\w{0,60}(?:Error|Exception|Interrupt|Exit)\b(?!=)|\bERROR\b|\[E\]|level=error|level=ERROR"
    r"|\bCRITICAL\b|\bFATAL\b|\berror\b ?[:=]|\bError\b ?[:=]|^E\d{4} |\bfatal\b|\bpanic\b|GGML_ASSERT"
    r"|what\(\):|terminate called"
)
_HARMLESS = re.compile(
    r"^[^A-Za-z]{0,3}(?:\([^)]{0,60}\) ?){0,3}[\[\d:T.,+Z /\]-]{0,40}\s*(?:\w{1,12} ?\| ?)?\[?"
    r"(?:INFO|WARNING|WARN|DEBUG|TRACE|info|warning|warn|debug|I|W|D)\b|level=(?:INFO|WARN|DEBUG|info|warn|debug)"
    r"|\b(?:User|Future|Deprecation|Runtime)Warning\b|^\s*File \"|^\s*(?:from|import) \w"
)
# A place in code: where a line was logged or raised, not what it says.
_PLACE = re.compile(r"\.(?:py|go|cpp|cc|cu|cuh|hpp|h|rs|js)(?::\d{1,6}){0,2}\W{0,3}$")


@dataclass(slots=True)
class ErrorLines:
    """The first and the last lines that tell of an error, and a short text's lines: (number, line) each."""

    first: list[tuple[int, bytes]] = field(default_factory=list)
    last: deque[tuple[int, bytes]] = field(default_factory=lambda: deque(maxlen=LAST_COUNT))
    quoted: list[tuple[int, bytes]] = field(default_factory=list)

    def add(self, number: int, line: bytes) -> None:
        """Keep a line that may tell of an error."""
        (self.first if len(self.first) < FIRST_COUNT else self.last).append((number, line[:_MOST_LETTERS]))

    def certain(self) -> list[tuple[int, str]]:
        """Lines that tell of an error, in order."""
        return _telling([*self.first, *self.last])

    def lines(self) -> list[tuple[int, str]]:
        """Lines that tell of an error, in order; of a short quotation without any: what is no lower level."""
        found = self.certain()
        return found if found or len(self.quoted) > QUOTED_COUNT else _telling(self.quoted)


def _telling(lines: Iterable[tuple[int, bytes]]) -> list[tuple[int, str]]:
    decoded = ((number, raw.decode("utf-8", "replace")) for number, raw in lines)
    return [(number, line) for number, line in decoded if tells_of_error(line)]


def candidates(text: bytes) -> Iterator[tuple[int, bytes]]:
    """(position, line) of the lines that hold one of the words that errors are told in."""
    found: dict[int, int] = {}
    for word in _WORDS:
        at = text.find(word)
        while at >= 0:
            end = text.find(b"\n", at)
            end = len(text) if end < 0 else end
            found[text.rfind(b"\n", 0, at) + 1] = end
            at = text.find(word, end)
    for start in sorted(found):
        yield start, text[start : found[start]]


def tells_of_error(line: str) -> bool:
    """Does it name an exception or an error, or is at least no message of a lower level?"""
    return bool(_SURE.search(line)) or not _HARMLESS.search(line)


def message(line: str) -> str:
    """What phrases are searched in: small letters, without places in code, addresses and folders."""
    words = (_last_part(word) for word in line.lower().split(" ") if "://" not in word)
    return " ".join(word for word in words if not _PLACE.search(word))


def _last_part(word: str) -> str:
    """A path's last part; other words, and devices, as they are."""
    parts = word.replace("\\", "/").split("/")
    is_path = len(parts) > 2 or (len(parts) == 2 and parts[0].strip("'\"(") in ("", ".", "~"))
    return parts[-1] if is_path and "/dev/" not in word else word


def holds(phrase: Sequence[str], line: str) -> bool:
    """Are the pieces in the line (small letters), one after the other, each at the start of a word?

    A phrase whose first piece is empty ('*devicelost') may begin within a word.
    """
    start = 0
    for i, piece in enumerate(phrase):
        at = line.find(piece, start)
        while at > 0 and line[at - 1].isalnum() and piece[:1].isalnum() and (i == 0 or phrase[i - 1]):
            at = line.find(piece, at + 1)
        if at < 0:
            return False
        start = at + len(piece)
    return True


def first_with(
    phrases: Iterable[Sequence[str]], lines: Sequence[tuple[int, str]]
) -> dict[Sequence[str], int]:
    """For each phrase that some line (small letters) holds: the place of the first such line."""
    found: dict[Sequence[str], int] = {}
    for phrase in phrases:
        for place, (_, line) in enumerate(lines):
            if holds(phrase, line):
                found[phrase] = place
                break
    return found
