"""Published speed measurements: `measurements/speed.csv` has their rows, `sources.csv` numbers their URLs."""

from __future__ import annotations

import csv
import os.path
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from plimsoll.domain.measurement import Measurement
from plimsoll.errors import CatalogError

FOLDER = os.path.join(os.path.dirname(__file__), "measurements")
COLUMNS = tuple(f.name for f in fields(Measurement))
_NUMBERS = {f.name for f in fields(Measurement) if f.type in ("int", "int | None")}


def load(folder: str = FOLDER) -> tuple[Measurement, ...]:
    """All rows, with their source's URL in place of its number; raises CatalogError for a bad file."""
    try:
        with open(os.path.join(folder, "sources.csv"), newline="", encoding="utf-8") as file:
            urls = {row["number"]: row["url"] for row in csv.DictReader(file)}
        with open(os.path.join(folder, "speed.csv"), newline="", encoding="utf-8") as file:
            return tuple(_read({**row, "source": urls[row["source"]]}) for row in csv.DictReader(file))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise CatalogError(f"measurements: {error}") from error


def _read(row: dict[str, str]) -> Measurement:
    values: dict[str, Any] = {}
    for name in COLUMNS:
        text = row[name]
        if name in _NUMBERS:
            values[name] = int(text) if text else (None if name == "gpu_layers_count" else 0)
        else:
            values[name] = float(text) if name == "value" else text
    return Measurement(**values)


def write(measurements: Iterable[Measurement], folder: str = FOLDER) -> None:
    """Write both files, rows in the order of their ids; zeros and None are left empty."""
    rows = sorted(measurements, key=lambda m: m.id)
    urls = sorted({m.source for m in rows})
    number = {url: str(i) for i, url in enumerate(urls, start=1)}
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "sources.csv"), "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("number", "url"))
        writer.writerows((number[url], url) for url in urls)
    with open(os.path.join(folder, "speed.csv"), "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([_cell(m, name, number) for name in COLUMNS] for m in rows)


def _cell(m: Measurement, name: str, number: dict[str, str]) -> str:
    value = getattr(m, name)
    if name == "source":
        return number[value]
    if name == "gpu_layers_count":
        return "" if value is None else str(value)
    return "" if value in (0, "") else f"{value:.6g}" if isinstance(value, float) else str(value)
