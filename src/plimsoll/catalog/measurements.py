"""Published speed measurements: `measurements/speed.csv` has their rows, `sources.csv` numbers their URLs;
`serving.csv` and `serving_sources.csv` have those that several requests at a time made."""

from __future__ import annotations

import csv
import os.path
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, TypeVar

from plimsoll.domain.measurement import Measurement, ServingMeasurement
from plimsoll.errors import CatalogError

FOLDER = os.path.join(os.path.dirname(__file__), "measurements")
_FILES: dict[type, tuple[str, str]] = {
    Measurement: ("speed.csv", "sources.csv"), ServingMeasurement: ("serving.csv", "serving_sources.csv"),
}  # fmt: skip
_Row = TypeVar("_Row", bound=Measurement)


def load(folder: str = FOLDER) -> tuple[Measurement, ...]:
    """All rows of one pass, with their source's URL in place of its number; raises CatalogError for a bad
    file."""
    return _load(Measurement, folder)


def load_serving(folder: str = FOLDER) -> tuple[ServingMeasurement, ...]:
    """All rows of several requests at a time; raises CatalogError for a bad file."""
    return _load(ServingMeasurement, folder)


def _load(kind: type[_Row], folder: str) -> tuple[_Row, ...]:
    rows, sources = _FILES[kind]
    try:
        with open(os.path.join(folder, sources), newline="", encoding="utf-8") as file:
            urls = {row["number"]: row["url"] for row in csv.DictReader(file)}
        with open(os.path.join(folder, rows), newline="", encoding="utf-8") as file:
            return tuple(_read(kind, {**row, "source": urls[row["source"]]}) for row in csv.DictReader(file))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise CatalogError(f"measurements: {error}") from error


def _read(kind: type[_Row], row: dict[str, str]) -> _Row:
    values: dict[str, Any] = {}
    for field in fields(kind):
        text, name = row[field.name], field.name
        if field.type in ("int", "int | None"):
            values[name] = int(text) if text else (None if name == "gpu_layers_count" else 0)
        else:
            values[name] = float(text) if name == "value" else text
    return kind(**values)


def write(measurements: Iterable[Measurement], folder: str = FOLDER) -> None:
    """Write both files of rows of one kind, in the order of their ids; zeros and None are left empty."""
    rows = sorted(measurements, key=lambda m: m.id)
    kind: type[Measurement] = type(rows[0]) if rows else Measurement
    names = [f.name for f in fields(kind)]
    urls = sorted({m.source for m in rows})
    number = {url: str(i) for i, url in enumerate(urls, start=1)}
    os.makedirs(folder, exist_ok=True)
    rows_file, sources_file = _FILES[kind]
    with open(os.path.join(folder, sources_file), "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("number", "url"))
        writer.writerows((number[url], url) for url in urls)
    with open(os.path.join(folder, rows_file), "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([_cell(m, name, number) for name in names] for m in rows)


def _cell(m: Measurement, name: str, number: dict[str, str]) -> str:
    value = getattr(m, name)
    if name == "source":
        return number[value]
    if name == "gpu_layers_count":
        return "" if value is None else str(value)
    return "" if value in (0, "") else f"{value:.6g}" if isinstance(value, float) else str(value)
