"""Known failures: `failures/<runtime>.toml`, read through a generated index.

load() -> every KnownFailure. The files are described in docs/reference/failures.md.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from plimsoll.catalog import entries
from plimsoll.domain.failure import CAUSE_BASES, SEVERITIES, TIERS, WILDCARD, KnownFailure

FOLDER = os.path.join(os.path.dirname(__file__), "failures")
ANY = "any"
CLASSES = "class"
# What a piece between wildcards needs at least, so that it does not match by chance.
LEAST_LETTERS = 10
# And the longest piece of a phrase, of which lines that tell of errors are searched only.
LEAST_PHRASE_LETTERS = 3

_FILE_KEYS = {"runtime", "checked_on", "failures"}
_KEYS = {
    "name", "title", "texts", "phrases", "never", "tier", "breadth", "may_follow", "runtimes", "hardware",
    "models", "versions", "fixed_in", "symptom", "cause", "cause_basis", "fix", "severity", "urls",
    "checked_on", "is_reread",
}  # fmt: skip
_NEEDED = {"name", "title", "cause", "cause_basis", "fix", "severity", "urls"}


@cache
def load() -> tuple[KnownFailure, ...]:
    """All known failures of the shipped catalog."""
    return tuple(failure_from(row) for row in entries.read(FOLDER))


def failure_from(row: Mapping[str, Any]) -> KnownFailure:
    """A row of the index as a KnownFailure."""
    sets: dict[str, Any] = {k: frozenset(row.get(k, ())) for k in ("runtimes", "hardware", "models")}
    rest = {k: v for k, v in row.items() if k not in (*sets, "texts", "phrases", "never", "urls")}
    return KnownFailure(
        **rest, **sets, texts=tuple((t,) if isinstance(t, str) else tuple(t) for t in row.get("texts", ())),
        phrases=tuple(tuple(phrase.split(WILDCARD)) for phrase in row.get("phrases", ())),
        never=tuple(row.get("never", ())), urls=tuple(row["urls"]),
    )  # fmt: skip


def rows_from(data: Mapping[str, Any], where: str) -> Iterator[dict[str, Any]]:
    """The failures of one file as rows of the index; CatalogError for what is wrong with them."""
    entries.refuse_unknown(data, _FILE_KEYS, where)
    runtime = data.get("runtime", "")
    found = entries.rows_from(
        data.get("failures", ()), where, prefix=runtime, checked_on=data.get("checked_on", ""),
        problems=problems,
    )  # fmt: skip
    for row in found:
        row.setdefault("runtimes", [] if runtime in (ANY, CLASSES) else [runtime])
        yield row


def problems(entry: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with one failure as written in a file."""
    yield from entries.key_problems(entry, _KEYS, _NEEDED)
    if not set(entry) >= _NEEDED:
        return
    if entry["severity"] not in SEVERITIES:
        yield f"severity is {entry['severity']!r}, not one of {', '.join(SEVERITIES)}"
    if entry["cause_basis"] not in CAUSE_BASES:
        yield f"cause_basis is {entry['cause_basis']!r}, not one of {', '.join(CAUSE_BASES)}"
    if entry.get("tier", "exact") not in TIERS:
        yield f"tier is {entry['tier']!r}, not one of {', '.join(TIERS)}"
    yield from entries.url_problems(entry)
    for key in ("title", "cause", "fix", "symptom"):
        text = entry.get(key, "")
        if text and key != "title" and not text.endswith("."):
            yield f"{key} is not a sentence"
    if not entry["title"] or (entry["cause_basis"] != "unknown" and not entry["cause"]):
        yield "title and cause must be said (or cause_basis 'unknown')"
    yield from _text_problems(entry)


def _text_problems(entry: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the texts and phrases by which it is recognised."""
    if not entry.get("texts") and not entry.get("phrases"):
        yield "needs texts or phrases"
    if entry.get("phrases") and entry.get("tier", "exact") == "exact":
        yield "phrases are for classes and symptoms: an exact failure has texts"
    for phrase in entry.get("phrases", ()):
        if len(longest_piece(phrase)) < LEAST_PHRASE_LETTERS or phrase != phrase.lower() or "\n" in phrase:
            yield f"{phrase!r} needs {LEAST_PHRASE_LETTERS} small letters in a row, on one line"
    for text in entry.get("texts", ()):
        for pattern in [text] if isinstance(text, str) else text:
            if len(longest_piece(pattern)) < LEAST_LETTERS or "\n" in pattern:
                yield f"{pattern!r} needs {LEAST_LETTERS} letters in a row, on one line"


def longest_piece(pattern: str) -> str:
    """The longest text between the wildcards of a pattern."""
    return max(pattern.split(WILDCARD), key=len)
