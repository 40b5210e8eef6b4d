"""What one release of a project says about itself: tables of names, each with the file it was read in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Value = str | int | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One fact: its value (True where only being there counts) and the path inside the package."""

    value: Value
    path: str


Table = dict[str, Entry]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All tables of one release; the names of the tables are those of a harvest's report."""

    project: str
    version: str
    tables: Mapping[str, Table] = field(default_factory=dict)

    def table(self, name: str) -> Table:
        """A table, empty where this project has none of that name."""
        return self.tables.get(name, {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """How one project is read: its name on the index, the runtime it is, the files that are needed."""

    name: str
    runtime: str
    upstream: str  # where the released source stands for people, with {version}
    title: str
    wanted: str
    read: Callable[[Mapping[str, str]], dict[str, Table]]


def table(names: Mapping[str, tuple[Value, str]]) -> Table:
    """A table from name -> (value, path), in the order of the names."""
    return {name: Entry(value=value, path=path) for name, (value, path) in sorted(names.items())}


def facts_from(data: Mapping[str, Any]) -> Facts:
    """Facts as `asdict` gave them."""
    tables = {
        name: {key: Entry(**entry) for key, entry in entries.items()}
        for name, entries in data["tables"].items()
    }
    return Facts(project=data["project"], version=data["version"], tables=tables)
