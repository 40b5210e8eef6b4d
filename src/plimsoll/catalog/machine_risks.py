"""Risks that come with a machine: `risks/machine.toml`, read through a generated index.

load() -> every MachineRisk. The file is described in docs/reference/risks.md.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from typing import Any

from plimsoll.catalog import entries
from plimsoll.domain.risk import CHANCES, COSTS, MachineRisk

FOLDER = os.path.join(os.path.dirname(__file__), "risks")
SYSTEMS = ("linux", "windows", "macos", "wsl")
_SETS = ("devices", "hardware", "systems")
_KEYS = {field.name for field in fields(MachineRisk)} - {"id"} | {"name"}
_NEEDED = {"name", "title", "chance", "cost", "why", "before", "notice", "urls"}


@cache
def load() -> tuple[MachineRisk, ...]:
    """All machine risks of the shipped catalog."""
    return tuple(risk_from(row) for row in entries.read(FOLDER))


def risk_from(row: Mapping[str, Any]) -> MachineRisk:
    """A row of the index as a MachineRisk."""
    sets: dict[str, Any] = {name: frozenset(row.get(name, ())) for name in _SETS}
    rest = {k: v for k, v in row.items() if k not in (*_SETS, "urls")}
    return MachineRisk(**rest, **sets, urls=tuple(row["urls"]))


def rows_from(data: Mapping[str, Any], where: str) -> Iterator[dict[str, Any]]:
    """The risks of the file as rows of the index; CatalogError for what is wrong with them."""
    entries.refuse_unknown(data, {"checked_on", "risks"}, where)
    yield from entries.rows_from(
        data.get("risks", ()), where, prefix="machine", checked_on=data.get("checked_on", ""),
        problems=problems,
    )  # fmt: skip


def problems(entry: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with one risk as written in the file."""
    yield from entries.key_problems(entry, _KEYS, _NEEDED)
    if not set(entry) >= _NEEDED:
        return
    if entry["chance"] not in CHANCES[1:]:
        yield f"chance is {entry['chance']!r}, not one of {', '.join(CHANCES[1:])}"
    if entry["cost"] not in COSTS:
        yield f"cost is {entry['cost']!r}, not one of {', '.join(COSTS)}"
    yield from entries.url_problems(entry)
    if not any(entry.get(name) for name in _SETS):
        yield "it must say which devices, hardware or systems have it"
    if unknown := set(entry.get("systems", ())) - set(SYSTEMS):
        yield f"no system {', '.join(sorted(unknown))}"
