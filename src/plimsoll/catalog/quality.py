"""Published quality of quantised models: `quality/*.csv`, one row per measurement, units in the header."""

from __future__ import annotations

import os.path
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any

from plimsoll.catalog import csv_rows
from plimsoll.domain.quality import QualityMeasurement
from plimsoll.errors import CatalogError

FOLDER = os.path.join(os.path.dirname(__file__), "quality")
COLUMNS = tuple(f.name for f in fields(QualityMeasurement))
BITS_FILE = "bits_per_weight.csv"


@lru_cache(maxsize=1)
def load() -> tuple[QualityMeasurement, ...]:
    """All shipped rows, in the order of the files; raises CatalogError for a bad file."""
    return load_from(FOLDER)


def load_from(folder: str) -> tuple[QualityMeasurement, ...]:
    """All rows of a folder; `source` is a reference for `plimsoll.catalog.sources.load_all`."""
    found: list[QualityMeasurement] = []
    for name in sorted(os.listdir(folder)):
        if name.endswith(".csv") and name != BITS_FILE:
            found += [row_from(row, name) for row in csv_rows.read(os.path.join(folder, name))]
    return tuple(found)


@lru_cache(maxsize=1)
def load_bits() -> dict[str, float]:
    """Bits per weight of the matrices in the blocks of Llama 3 8B under each mixture of llama-quantize."""
    rows = csv_rows.read(os.path.join(FOLDER, BITS_FILE))
    try:
        return {row["weight_format"]: float(row["bits_per_weight"]) for row in rows}
    except (KeyError, ValueError) as error:
        raise CatalogError(f"{BITS_FILE}: {error}") from error


def row_from(row: Mapping[str, Any], where: str) -> QualityMeasurement:
    """One row as a measurement; raises CatalogError for an unknown or missing column and for a bad number."""
    return csv_rows.row_as(QualityMeasurement, row, where)
