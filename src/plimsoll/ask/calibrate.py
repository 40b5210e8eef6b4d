"""Fit the speed model to the shipped measurements, and to further ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from plimsoll import __version__
from plimsoll.ask.measured import NoCeiling, sample_of
from plimsoll.catalog import calibration as shipped
from plimsoll.catalog import measurements
from plimsoll.core import calibrate as core
from plimsoll.domain.measurement import Measurement
from plimsoll.domain.speed import Calibration
from plimsoll.errors import MeasureError, PlimsollError


def calibrate(
    rows: Sequence[Measurement] | None = None, *, told: Callable[[str], None] = lambda text: None
) -> Calibration:
    """The calibration of all measurements of the catalog (or of `rows`); takes minutes.

    Raises MeasureError where numpy is missing.
    """
    import hashlib

    _check_numpy()
    found = measurements.load() if rows is None else rows
    samples, left_out = [], 0
    for row in found:
        try:
            samples.append(sample_of(row))
        except (NoCeiling, PlimsollError):
            left_out += 1
    told(f"{len(samples)} of {len(found)} measurements have a speed model")
    digest = hashlib.sha256(repr(sorted((m.id, m.value) for m in found)).encode()).hexdigest()[:16]
    return core.calibrate(samples, version=__version__, digest=digest, told=told)


def save(found: Calibration, path: str = shipped.PATH) -> None:
    """Write it where `speed` reads it, or elsewhere."""
    import os

    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(shipped.written(found))


def _check_numpy() -> None:
    try:
        import numpy  # noqa: F401
    except ImportError:
        raise MeasureError("the fit needs numpy", hint="pip install 'plimsoll-llm[calibrate]'") from None
