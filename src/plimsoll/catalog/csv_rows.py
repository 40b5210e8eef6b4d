"""Rows of CSV files as dataclasses: a column per field, numbers where the field is one."""

from __future__ import annotations

import csv
import os.path
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any, TypeVar

from plimsoll.errors import CatalogError

_Row = TypeVar("_Row")
_READ = {"float": float, "int": int}


def read(path: str) -> list[dict[str, Any]]:
    """The rows of one file as texts; raises CatalogError where it cannot be read."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise CatalogError(f"{os.path.basename(path)}: {error}") from error


@lru_cache
def _readers(kind: Any) -> dict[str, Callable[[str], float] | None]:
    return {f.name: _READ.get(str(f.type)) for f in fields(kind)}


def row_as(kind: type[_Row], row: Mapping[str, Any], where: str) -> _Row:
    """A row as a `kind` whose fields are texts, ints and floats (an empty cell is 0); raises CatalogError for
    an unknown or missing column and for a bad number."""
    told = _readers(kind)  # type: ignore[arg-type]
    if set(row) != set(told) or None in row.values():
        wrong = sorted(str(name) for name in set(row) ^ set(told)) or ["too few cells"]
        raise CatalogError(f"{where}: columns: {', '.join(wrong)}")
    try:
        return kind(**{name: read(row[name] or "0") if read else row[name] for name, read in told.items()})
    except ValueError as error:
        raise CatalogError(f"{where}: {error}") from error
