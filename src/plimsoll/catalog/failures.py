"""Known failures: `failures/<runtime>.toml`, read through a generated index.

load() -> every KnownFailure. The files are described in docs/reference/failures.md.
"""

from __future__ import annotations

import json
import os.path
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from plimsoll.domain.failure import CAUSE_BASES, SEVERITIES, WILDCARD, KnownFailure
from plimsoll.errors import CatalogError

FOLDER = os.path.join(os.path.dirname(__file__), "failures")
ANY = "any"
# What a piece between wildcards needs at least, so that it does not match by chance.
LEAST_LETTERS = 10

_FILE_KEYS = {"runtime", "checked_on", "failures"}
_KEYS = {
    "name", "title", "texts", "never", "is_generic", "runtimes", "hardware", "models", "versions", "fixed_in",
    "symptom", "cause", "cause_basis", "fix", "severity", "urls", "checked_on", "is_reread",
}  # fmt: skip
_NEEDED = {"name", "title", "texts", "cause", "cause_basis", "fix", "severity", "urls"}


@cache
def load() -> tuple[KnownFailure, ...]:
    """All known failures of the shipped catalog."""
    try:
        with open(os.path.join(FOLDER, "index.json"), "rb") as file:
            rows = json.loads(file.read())
    except (OSError, ValueError) as error:
        raise CatalogError(f"failures/index.json: {error}") from error
    return tuple(failure_from(row) for row in rows)


def failure_from(row: Mapping[str, Any]) -> KnownFailure:
    """A row of the index as a KnownFailure."""
    sets: dict[str, Any] = {k: frozenset(row.get(k, ())) for k in ("runtimes", "hardware", "models")}
    rest = {k: v for k, v in row.items() if k not in (*sets, "texts", "never", "urls")}
    texts = tuple((t,) if isinstance(t, str) else tuple(t) for t in row["texts"])
    return KnownFailure(
        **rest, **sets, texts=texts, never=tuple(row.get("never", ())), urls=tuple(row["urls"])
    )


def rows_from(data: Mapping[str, Any], where: str) -> Iterator[dict[str, Any]]:
    """The failures of one file as rows of the index; CatalogError for what is wrong with them."""
    if unknown := set(data) - _FILE_KEYS:
        raise CatalogError(f"{where}: unknown keys {', '.join(sorted(unknown))}")
    runtime, seen = data.get("runtime", ""), set()
    for entry in data.get("failures", ()):
        name = entry.get("name", "?")
        wrong = list(problems(entry))
        if name in seen:
            wrong.append("the name is given twice")
        if wrong:
            raise CatalogError(f"{where}: {name}: {'; '.join(wrong)}")
        seen.add(name)
        row = {k: v for k, v in entry.items() if k != "name"}
        row["id"] = f"{runtime}/{name}"
        row.setdefault("checked_on", data.get("checked_on", ""))
        row.setdefault("runtimes", [] if runtime == ANY else [runtime])
        yield row


def problems(entry: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with one failure as written in a file."""
    if unknown := set(entry) - _KEYS:
        yield f"unknown keys {', '.join(sorted(unknown))}"
    if missing := _NEEDED - set(entry):
        yield f"lacks {', '.join(sorted(missing))}"
        return
    if entry["severity"] not in SEVERITIES:
        yield f"severity is {entry['severity']!r}, not one of {', '.join(SEVERITIES)}"
    if entry["cause_basis"] not in CAUSE_BASES:
        yield f"cause_basis is {entry['cause_basis']!r}, not one of {', '.join(CAUSE_BASES)}"
    if not entry["urls"] or not all(str(u).startswith("https://") for u in entry["urls"]):
        yield "urls must name at least one https address"
    for key in ("title", "cause", "fix", "symptom"):
        text = entry.get(key, "")
        if text and key != "title" and not text.endswith("."):
            yield f"{key} is not a sentence"
    if not entry["title"] or (entry["cause_basis"] != "unknown" and not entry["cause"]):
        yield "title and cause must be said (or cause_basis 'unknown')"
    for text in entry["texts"]:
        for pattern in [text] if isinstance(text, str) else text:
            if len(longest_piece(pattern)) < LEAST_LETTERS or "\n" in pattern:
                yield f"{pattern!r} needs {LEAST_LETTERS} letters in a row, on one line"


def longest_piece(pattern: str) -> str:
    """The longest text between the wildcards of a pattern."""
    return max(pattern.split(WILDCARD), key=len)
