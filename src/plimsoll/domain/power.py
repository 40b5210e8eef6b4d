"""Nouns of power limits."""

from __future__ import annotations

from dataclasses import dataclass

from plimsoll.domain.speed import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Measured speed of a device by power limit: (share of the limit, share of the speed), rising."""

    device: str
    phase: Phase
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerFactor:
    """What is left of the speed, 0 to 1; `is_own` when the device's own sweep says so."""

    value: float
    low: float
    high: float
    is_own: bool
