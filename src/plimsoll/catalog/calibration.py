"""The shipped coefficients of the speed model: `calibration/speed.json` of one pass and `serving.json`
of several requests at a time, written by `plimsoll calibrate`."""

from __future__ import annotations

import json
import os.path
from typing import Any

from plimsoll.domain.speed import Calibration, Spread
from plimsoll.errors import CatalogError

PATH = os.path.join(os.path.dirname(__file__), "calibration", "speed.json")
SERVING_PATH = os.path.join(os.path.dirname(__file__), "calibration", "serving.json")


def load(path: str = PATH) -> Calibration:
    """The calibration in a file; raises CatalogError where it is missing or not one."""
    try:
        with open(path, "rb") as file:
            data: dict[str, Any] = json.loads(file.read())
        spreads = {
            key: Spread(low=low, high=high, samples_count=count)
            for key, (low, high, count) in data.pop("spreads").items()
        }
        devices = {phase: tuple(names) for phase, names in data.pop("devices").items()}
        models = {phase: tuple(names) for phase, names in data.pop("models").items()}
        return Calibration(**data, spreads=spreads, devices=devices, models=models)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CatalogError(f"{os.path.basename(path)}: {error}") from error


def written(calibration: Calibration) -> str:
    """The file's text: one coefficient, spread or name a line, so that a change shows where it is."""
    head = {
        name: getattr(calibration, name)
        for name in ("version", "measurements_count", "measurements_digest", "coverage")
    }
    parts = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    spreads = {k: [s.low, s.high, s.samples_count] for k, s in calibration.spreads.items()}
    for name, table in (("coefficients", calibration.coefficients), ("spreads", spreads)):
        rows = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(table.items()))
        parts.append(f'"{name}": {{\n{rows}\n}}')
    for name in ("devices", "models"):
        rows = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in getattr(calibration, name).items())
        parts.append(f'"{name}": {{\n{rows}\n}}')
    return "{" + ",\n".join(parts) + "}\n"
