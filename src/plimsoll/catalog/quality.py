"""Published quality of quantised models: `quality/*.csv`, one row per measurement, units in the header."""

from __future__ import annotations

import csv
import os.path
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any

from plimsoll.domain.quality import QualityMeasurement
from plimsoll.errors import CatalogError

FOLDER = os.path.join(os.path.dirname(__file__), "quality")
COLUMNS = tuple(f.name for f in fields(QualityMeasurement))
BITS_FILE = "bits_per_weight.csv"
_NUMBERS = {"parameters_count": int, "bits_per_weight": float, "value": float, "error": float}


@lru_cache(maxsize=1)
def load() -> tuple[QualityMeasurement, ...]:
    """All shipped rows, in the order of the files; raises CatalogError for a bad file."""
    return load_from(FOLDER)


def load_from(folder: str) -> tuple[QualityMeasurement, ...]:
    """All rows of a folder; `source` is a reference for `plimsoll.catalog.sources.load_all`."""
    found: list[QualityMeasurement] = []
    for name in sorted(os.listdir(folder)):
        if name.endswith(".csv") and name != BITS_FILE:
            found += [row_from(row, name) for row in read_rows(os.path.join(folder, name))]
    return tuple(found)


@lru_cache(maxsize=1)
def load_bits() -> dict[str, float]:
    """Bits per weight of the matrices in the blocks of Llama 3 8B under each mixture of llama-quantize."""
    rows = read_rows(os.path.join(FOLDER, BITS_FILE))
    try:
        return {row["weight_format"]: float(row["bits_per_weight"]) for row in rows}
    except (KeyError, ValueError) as error:
        raise CatalogError(f"{BITS_FILE}: {error}") from error


def read_rows(path: str) -> list[dict[str, Any]]:
    """The rows of one file as texts; raises CatalogError where it cannot be read."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise CatalogError(f"{os.path.basename(path)}: {error}") from error


def row_from(row: Mapping[str, Any], where: str) -> QualityMeasurement:
    """One row as a measurement; raises CatalogError for an unknown or missing column and for a bad number."""
    if set(row) != set(COLUMNS) or None in row.values():
        wrong = sorted(str(name) for name in set(row) ^ set(COLUMNS)) or ["too few cells"]
        raise CatalogError(f"{where}: columns: {', '.join(wrong)}")
    try:
        numbers = {name: read(row[name] or "0") for name, read in _NUMBERS.items()}
    except ValueError as error:
        raise CatalogError(f"{where}: {error}") from error
    return QualityMeasurement(**{**row, **numbers})
