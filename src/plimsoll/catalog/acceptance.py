"""Published acceptance of drafted tokens: `acceptance/acceptance.csv`, one figure a row with its source."""

from __future__ import annotations

import os.path
from typing import Any

from plimsoll.catalog import csv_rows
from plimsoll.domain.speculation import AcceptanceMeasurement
from plimsoll.errors import CatalogError

PATH = os.path.join(os.path.dirname(__file__), "acceptance", "acceptance.csv")


def load(path: str = PATH) -> tuple[AcceptanceMeasurement, ...]:
    """All figures; raises CatalogError naming the line of the first bad row."""
    return tuple(row_from(row, line) for line, row in enumerate(csv_rows.read(path), start=2))


def row_from(row: dict[str, Any], line: int) -> AcceptanceMeasurement:
    """The figure in a row; raises CatalogError for a wrong column, number, method or source."""
    where = f"acceptance.csv line {line}"
    found = csv_rows.row_as(AcceptanceMeasurement, row, where)
    problem = _problem(found)
    if problem:
        raise CatalogError(f"{where}: {problem}")
    return found


def _problem(row: AcceptanceMeasurement) -> str:
    if row.method not in ("mtp", "eagle3", "draft"):
        return f"method {row.method!r} is not mtp, eagle3 or draft"
    if (row.method == "mtp") == bool(row.draft):
        return "an MTP layer has no other model that drafts; everything else has"
    if not 1 <= row.drafted_tokens <= 32:
        return f"{row.drafted_tokens} drafted tokens"
    if bool(row.tokens_per_step) == bool(row.acceptance_rate):
        return "tells tokens per step or the share accepted, one of them"
    if not 0 <= row.acceptance_rate <= 1 or not 0 <= row.tokens_per_step <= row.drafted_tokens + 1:
        return "more is accepted than was drafted"
    return "" if row.source.startswith("https://") else f"source {row.source!r} is not a web address"
