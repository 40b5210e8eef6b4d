"""A curve with its interval, ready to be drawn."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """The value at a place of the axis, and what encloses it."""

    at: int
    low: float
    value: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Points in the order of the axis, counted in `axis_unit`; `asked` is the question's own place."""

    title: str
    axis: str
    axis_unit: str
    unit: str
    points: tuple[CurvePoint, ...]
    asked: int
