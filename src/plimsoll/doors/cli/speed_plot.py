"""Curves in a terminal: a row per point, its interval as a bar, its value as a mark, numbers beside."""

from __future__ import annotations

from collections.abc import Sequence

from plimsoll.domain.plot import Curve, CurvePoint
from plimsoll.doors.cli.text import columns_count, say, styled
from plimsoll.units import format_count

_WIDTH = 50
_NUMBERS = 40


def draw(curves: Sequence[Curve]) -> None:
    """Print each curve; the scale starts at nothing, so that lengths compare."""
    for curve in curves:
        say()
        say(f"{curve.title} ({curve.unit}; {curve.axis} downwards)", bold=True)
        most = max(p.high for p in curve.points)
        width = max(20, min(_WIDTH, columns_count(_WIDTH + _NUMBERS) - _NUMBERS))
        places = max(len(format_count(p.at)) for p in curve.points)
        for p in curve.points:
            mark = "▸" if p.at == curve.asked else " "
            say(f"{mark} {format_count(p.at).rjust(places)} {_row(p, most, width)} {_numbers(p)}")
        asked = "  ▸ asked" if any(p.at == curve.asked for p in curve.points) else ""
        say(f"  {'█ expected  ░ 80 % interval'}{asked}", dim=True)


def _row(p: CurvePoint, most: float, width: int) -> str:
    low, value, high = (min(round(v / most * (width - 1)), width - 1) for v in (p.low, p.value, p.high))
    cells = ["█" if i == value else "░" if low <= i <= high else "·" for i in range(width)]
    return "".join(styled(c, fg="blue") if c == "█" else c for c in cells)


def _numbers(p: CurvePoint) -> str:
    low, value, high = (f"{v:,.3g}" if v < 1000 else f"{v:,.0f}" for v in (p.low, p.value, p.high))
    return f"{value}  ({low} … {high})"
