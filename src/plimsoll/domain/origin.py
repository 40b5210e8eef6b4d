"""Where a value came from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

OriginKind = Literal["file", "catalog", "user", "detected", "measured", "default"]
SourceKind = Literal["code", "docs", "issue", "vendor", "measurement", "post", "config"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where one value was read: `where` is a path with a fragment, e.g. `config.json#head_dim`."""

    kind: OriginKind
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A document that a fact was read in."""

    id: str
    kind: SourceKind
    url: str
    commit: str = ""
    seen_on: str = ""


def source_at(url: str, seen_on: str = "") -> Source:
    """The document at an address; its kind is what the address tells (a thread, code, else documentation)."""
    kind: SourceKind = "docs"
    if "/issues/" in url or "/pull/" in url or "/discussions/" in url:
        kind = "issue"
    elif "/blob/" in url or "/tree/" in url:
        kind = "code"
    return Source(id=url.removeprefix("https://"), kind=kind, url=url, seen_on=seen_on)


def sources_at(seen: Iterable[tuple[str, str]]) -> tuple[Source, ...]:
    """The documents at (address, day read), each once."""
    return tuple(source_at(url, day) for url, day in dict(seen).items())
