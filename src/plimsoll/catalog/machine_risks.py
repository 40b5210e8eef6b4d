"""Risks that come with a machine: `risks/machine.toml`, read through a generated index.

load() -> every MachineRisk. The file is described in docs/reference/risks.md.
"""

from __future__ import annotations

import json
import os.path
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from typing import Any

from plimsoll.domain.risk import CHANCES, COSTS, MachineRisk
from plimsoll.errors import CatalogError

FOLDER = os.path.join(os.path.dirname(__file__), "risks")
SYSTEMS = ("linux", "windows", "macos", "wsl")
_SETS = ("devices", "hardware", "systems")
_KEYS = {field.name for field in fields(MachineRisk)} - {"id"} | {"name"}
_NEEDED = {"name", "title", "chance", "cost", "why", "before", "notice", "urls"}


@cache
def load() -> tuple[MachineRisk, ...]:
    """All machine risks of the shipped catalog."""
    try:
        with open(os.path.join(FOLDER, "index.json"), "rb") as file:
            rows = json.loads(file.read())
    except (OSError, ValueError) as error:
        raise CatalogError(f"risks/index.json: {error}") from error
    return tuple(risk_from(row) for row in rows)


def risk_from(row: Mapping[str, Any]) -> MachineRisk:
    """A row of the index as a MachineRisk."""
    sets: dict[str, Any] = {name: frozenset(row.get(name, ())) for name in _SETS}
    rest = {k: v for k, v in row.items() if k not in (*_SETS, "urls")}
    return MachineRisk(**rest, **sets, urls=tuple(row["urls"]))


def rows_from(data: Mapping[str, Any], where: str) -> Iterator[dict[str, Any]]:
    """The risks of the file as rows of the index; CatalogError for what is wrong with them."""
    if unknown := set(data) - {"checked_on", "risks"}:
        raise CatalogError(f"{where}: unknown keys {', '.join(sorted(unknown))}")
    seen: set[str] = set()
    for entry in data.get("risks", ()):
        name = entry.get("name", "?")
        wrong = [*problems(entry), *(["the name is given twice"] if name in seen else [])]
        if wrong:
            raise CatalogError(f"{where}: {name}: {'; '.join(wrong)}")
        seen.add(name)
        row = {k: v for k, v in entry.items() if k != "name"}
        row["id"] = f"machine/{name}"
        row.setdefault("checked_on", data.get("checked_on", ""))
        yield row


def problems(entry: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with one risk as written in the file."""
    if unknown := set(entry) - _KEYS:
        yield f"unknown keys {', '.join(sorted(unknown))}"
    if missing := _NEEDED - set(entry):
        yield f"lacks {', '.join(sorted(missing))}"
        return
    if entry["chance"] not in CHANCES[1:]:
        yield f"chance is {entry['chance']!r}, not one of {', '.join(CHANCES[1:])}"
    if entry["cost"] not in COSTS:
        yield f"cost is {entry['cost']!r}, not one of {', '.join(COSTS)}"
    if not entry["urls"] or not all(str(u).startswith("https://") for u in entry["urls"]):
        yield "urls must name at least one https address"
    if not any(entry.get(name) for name in _SETS):
        yield "it must say which devices, hardware or systems have it"
    if unknown := set(entry.get("systems", ())) - set(SYSTEMS):
        yield f"no system {', '.join(sorted(unknown))}"
