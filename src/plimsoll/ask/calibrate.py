"""Fit the speed model to the shipped measurements, and to further ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from plimsoll import __version__
from plimsoll.ask.measured import NoCeiling, sample_of
from plimsoll.catalog import calibration as shipped
from plimsoll.catalog import measurements
from plimsoll.core import calibrate as core
from plimsoll.domain.measurement import Measurement
from plimsoll.domain.speed import Calibration
from plimsoll.errors import MeasureError, PlimsollError

_Row = TypeVar("_Row", bound=Measurement)


# How many published rows one own row counts.
_OWN_WEIGHT = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """A calibration corrected by own measurements, and what is odd about them.

    `refused` are faster than the device's peak, so that their label is wrong; `suspects` reach less than 0.7
    of what is expected of such a machine: a slot with few lanes, no ReBAR, a fallback to the processor.
    """

    calibration: Calibration
    refused: tuple[Measurement, ...]
    suspects: tuple[Measurement, ...]


def correct(own: Sequence[Measurement], found: Calibration | None = None) -> Corrected:
    """The shipped calibration (or `found`) for the machine that `own` was measured on.

    One run of a dense model and one of a mixture of experts suffice; needs neither numpy nor a new fit.
    Raises MeasureError for a row whose model, device or format has no speed model.
    """
    base = found or shipped.load()
    pairs = []
    for row in own:
        try:
            pairs.append((row, sample_of(row)))
        except (NoCeiling, PlimsollError) as error:
            raise MeasureError(f"measurement {row.id}: {error}", hint="leave it out") from error
    refused = tuple(m for m, s in pairs if core.is_above_peak(s))
    kept = [(m, s) for m, s in pairs if not core.is_above_peak(s)]
    suspects = tuple(m for m, s in kept if core.is_configuration_fault(s, base.coefficients))
    return Corrected(
        calibration=core.corrected(base, [s for _, s in kept]), refused=refused, suspects=suspects
    )


def calibrate(
    rows: Sequence[Measurement] | None = None, *, own: Sequence[Measurement] = (),
    told: Callable[[str], None] = lambda text: None,
) -> Calibration:  # fmt: skip
    """The calibration of all measurements of the catalog (or of `rows`) and of `own`; takes minutes.

    An own row counts as ten published ones. Raises MeasureError where numpy is missing.
    """
    import hashlib

    _check_numpy()
    found = measurements.load() if rows is None else rows
    several = {m.id for m in measurements.load_serving()} if rows is None else set()
    samples = _samples([m for m in found if m.id not in several], sample_of)
    samples += [replace(s, weight=_OWN_WEIGHT) for s in _samples(own, sample_of)]
    told(f"{len(samples)} of {len(found) + len(own)} measurements have a speed model")
    digest = hashlib.sha256(repr(sorted((m.id, m.value) for m in (*found, *own))).encode()).hexdigest()[:16]
    return core.calibrate(samples, version=__version__, digest=digest, told=told)


def calibrate_serving(*, told: Callable[[str], None] = lambda text: None) -> Calibration:
    """The calibration of the catalog's measurements with several requests at a time; takes minutes.

    Raises MeasureError where numpy is missing.
    """
    import hashlib

    from plimsoll.ask import served
    from plimsoll.core import serving_fit

    _check_numpy()
    found = measurements.load_serving()
    ids = {m.id for m in found}
    alone = _samples([m for m in measurements.load() if m.id not in ids], sample_of)
    samples = _samples(found, served.sample_of)
    told(f"{len(samples)} of {len(found)} measurements of several requests have a speed model")
    digest = hashlib.sha256(repr(sorted((m.id, m.value) for m in found)).encode()).hexdigest()[:16]
    return serving_fit.calibrate(samples, alone, version=__version__, digest=digest, told=told)


def _samples(rows: Iterable[_Row], made: Callable[[_Row], core.Sample]) -> list[core.Sample]:
    """Those that can be made: where a model, device or format has no speed model a row stays out."""
    samples = []
    for row in rows:
        with suppress(NoCeiling, PlimsollError):
            samples.append(made(row))
    return samples


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
