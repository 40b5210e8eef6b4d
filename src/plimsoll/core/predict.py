"""A time with its interval, from the parts of a pass and a calibration."""

from __future__ import annotations

import math
from dataclasses import dataclass

from plimsoll.core.conformal import HERE, spread_for, whats_new
from plimsoll.core.speed import ceiling_seconds, here, pair, seconds
from plimsoll.domain.speed import Calibration, Spread, Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Seconds with low and high; `new` says what the calibration had not seen; `spread` what it rests on."""

    seconds: float
    low_seconds: float
    high_seconds: float
    new: str
    spread: Spread


def predict(found: Terms, calibration: Calibration, *, kind: str, machine: str, model: str) -> Prediction:
    """exp(quantiles of the residuals) x predicted seconds, never below what the ceilings allow."""
    least = ceiling_seconds(found)
    value = max(seconds(found, calibration.coefficients), least)
    is_corrected = here(found) in calibration.coefficients
    new = HERE if is_corrected else whats_new(calibration, found.phase, kind, machine, model, pair(found))
    around = spread_for(calibration.spreads, found.phase, kind, new)
    return Prediction(
        seconds=value, low_seconds=min(max(value * math.exp(around.low), least), value),
        high_seconds=max(value * math.exp(around.high), value), new=new, spread=around,
    )  # fmt: skip
