"""What was learnt of training runs: `calibration/training.json`, written by `bench/calibrate_training.py`."""

from __future__ import annotations

import json
import os.path
from typing import Any

from plimsoll.catalog import csv_rows
from plimsoll.domain.training import TrainingCoefficients, TrainingMeasurement
from plimsoll.errors import CatalogError

PATH = os.path.join(os.path.dirname(__file__), "calibration", "training.json")


def load(path: str = PATH) -> TrainingCoefficients:
    """The coefficients in a file; raises CatalogError where it is missing or not one."""
    try:
        with open(path, "rb") as file:
            data: dict[str, Any] = json.loads(file.read())
        data["fragments"] = {name: tuple(values) for name, values in data["fragments"].items()}
        data["utilisation"] = {name: tuple(values) for name, values in data["utilisation"].items()}
        data["context_bytes"] = tuple(data["context_bytes"])
        return TrainingCoefficients(**data)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CatalogError(f"{os.path.basename(path)}: {error}") from error


def written(found: TrainingCoefficients) -> str:
    """The file's text, one coefficient a line."""
    tables = {"fragments": found.fragments, "utilisation": found.utilisation}
    parts = [
        f'"{name}": {json.dumps(getattr(found, name))}'
        for name in (
            "memory_runs_count",
            "memory_digest",
            "time_runs_count",
            "filled_share",
            "coverage",
            "context_bytes",
        )
    ]
    for name, table in tables.items():
        rows = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(table.items()))
        parts.append(f'"{name}": {{\n{rows}\n}}')
    return "{" + ",\n".join(parts) + "}\n"


MEASUREMENTS = os.path.join(os.path.dirname(__file__), "measurements", "training.csv")


def measurements(path: str = MEASUREMENTS) -> tuple[TrainingMeasurement, ...]:
    """All published throughputs; raises CatalogError naming the line of the first bad row."""
    return tuple(row_from(row, line) for line, row in enumerate(csv_rows.read(path), start=2))


def row_from(row: dict[str, Any], line: int) -> TrainingMeasurement:
    """The figure in a row; raises CatalogError for a wrong column, number or source."""
    where = f"training.csv line {line}"
    found = csv_rows.row_as(TrainingMeasurement, row, where)
    if not found.source.startswith("https://"):
        raise CatalogError(f"{where}: source {found.source!r} is not a web address")
    if found.tokens_per_s <= 0 or found.devices_count < 1 or found.is_checkpointed not in ("yes", "no"):
        raise CatalogError(f"{where}: tokens per second, devices or checkpointing is not told")
    return found
