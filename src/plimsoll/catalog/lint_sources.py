"""What the lint asks of sources: each file on its own, and every fact that names one."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Protocol

_KINDS = {"code", "docs", "issue", "vendor", "measurement", "post", "config"}


class SourcedFile(Protocol):
    """A parsed file, and the day each source of the catalog was opened."""

    @property
    def data(self) -> Mapping[str, Any]: ...
    @property
    def sources(self) -> Mapping[str, str]: ...


def days(paths: Iterable[Path]) -> dict[str, str]:
    """Source id -> the day it was opened, '' where the file does not say or cannot be read."""
    found = {}
    for path in paths:
        try:
            found[path.stem] = str(tomllib.loads(path.read_text("utf-8")).get("seen_on", ""))
        except ValueError:
            found[path.stem] = ""
    return found


def check_source_file(entry: SourcedFile) -> Iterator[str]:
    """A source has exactly these keys, a known kind, a web address and the day it was opened."""
    keys = {"id", "kind", "url", "commit", "seen_on", "title"}
    if not {"id", "kind", "url", "title"} <= set(entry.data) <= keys:
        yield f"keys are {sorted(entry.data)}, wanted {sorted(keys)}"
    if entry.data.get("kind") not in _KINDS:
        yield f"kind {entry.data.get('kind')!r} is not one of {sorted(_KINDS)}"
    if not str(entry.data.get("url", "")).startswith(("https://", "http://")):
        yield "url is not a web address"


def check_sources_exist(entry: SourcedFile) -> Iterator[str]:
    """Every source named has its file."""
    for reference in references(entry.data):
        if reference.partition("#")[0] not in entry.sources:
            yield f"source {reference!r} has no file in sources/"


def check_sources_opened(entry: SourcedFile) -> Iterator[str]:
    """Every source that a verdict rests on was opened, on the day that the fact was checked or later."""
    for checked_on, reference in _dated(entry.data, ""):
        seen_on = entry.sources.get(reference.partition("#")[0], "")
        if not _is_day(seen_on):
            yield f"source {reference!r} was never opened: its file has no seen_on"
        elif checked_on > seen_on:
            yield f"source {reference!r} was opened on {seen_on}, before it was checked on {checked_on}"


def _dated(value: Any, day: str) -> Iterator[tuple[str, str]]:
    """(checked_on, reference) of every table; a table without a day or sources has those above it."""
    if isinstance(value, Mapping):
        day = str(value.get("checked_on") or day)
        yield from ((day, str(reference)) for reference in value.get("sources", ()))
        for inner in value.values():
            yield from _dated(inner, day)
    elif isinstance(value, list):
        for inner in value:
            yield from _dated(inner, day)


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def references(value: Any) -> Iterator[str]:
    """All source references in a record: lists and tables under 'sources', texts under 'source'."""
    if isinstance(value, list):
        for inner in value:
            yield from references(inner)
    if not isinstance(value, Mapping):
        return
    for key, inner in value.items():
        if key == "config":
            continue
        if key == "source":
            yield str(inner)
        elif key == "sources":
            groups = inner.values() if isinstance(inner, Mapping) else [inner]
            yield from (str(reference) for group in groups for reference in group)
        else:
            yield from references(inner)
