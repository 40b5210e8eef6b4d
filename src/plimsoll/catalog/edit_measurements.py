"""What somebody measured about an edit: rows of `edit_measurements.json`, each with its source."""

from __future__ import annotations

import json
import os.path
from collections.abc import Sequence
from typing import Any

from plimsoll.domain.whatif import Edit, QualityFact
from plimsoll.errors import CatalogError

FILE = os.path.join(os.path.dirname(__file__), "edit_measurements.json")
_FIELDS = frozenset({"key", "architectures", "after", "about", "claim", "value", "unit", "source"})


def find(architecture: str, edits: Sequence[Edit]) -> tuple[QualityFact, ...]:
    """Measurements about these keys on this architecture, where there are any only those
    of the very value."""
    wanted = {edit.key.rpartition(".")[2]: edit.after for edit in edits}
    if not wanted:
        return ()
    rows = [r for r in load() if r["key"] in wanted and architecture in r["architectures"]]
    exact = {r["key"] for r in rows if r["after"] == wanted[r["key"]]}
    rows = [r for r in rows if r["key"] not in exact or r["after"] == wanted[r["key"]]]
    return tuple(
        QualityFact(about=r["about"], claim=r["claim"], value=r["value"], unit=r["unit"], source=r["source"])
        for r in rows
    )


def load() -> list[dict[str, Any]]:
    """All rows; raises CatalogError for one with a missing or unknown field."""
    try:
        with open(FILE, "rb") as file:
            rows: list[dict[str, Any]] = json.loads(file.read())["rows"]
    except (OSError, ValueError, KeyError) as error:
        raise CatalogError(f"edit_measurements.json: {error}") from error
    for row in rows:
        if row.keys() != _FIELDS:
            raise CatalogError(f"edit_measurements.json: {sorted(row.keys() ^ _FIELDS)} in {row.get('key')}")
    return rows
