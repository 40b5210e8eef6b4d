"""Where a value came from."""

from __future__ import annotations

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
