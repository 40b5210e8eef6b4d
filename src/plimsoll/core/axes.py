"""Axes and labels of the plots that Plimsoll draws as plain SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from plimsoll.units import format_bytes, format_count

INK, FAINT, LINE, MARK = "#1f2933", "#d5dbe1", "#1463a5", "#b54708"


def label(x: float, y: float, text: str, *, anchor: str = "middle", extra: str = "") -> str:
    """A line of text at a place of the picture."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{escape(text)}</text>'


def scale(
    low: float, high: float, start: float, end: float, *, is_log: bool = False
) -> Callable[[float], float]:
    """From a value to a coordinate, in a straight or a logarithmic line."""
    import math

    bend: Callable[[float], float] = math.log2 if is_log else float
    span = bend(high) - bend(low) or 1.0
    return lambda value: start + (bend(value) - bend(low)) / span * (end - start)


def ceiling(value: float, unit: str) -> float:
    """A round number at or above the value, a few times a power of ten (of 1,024 for bytes)."""
    base = 1.0
    if unit == "bytes":
        while base * 1024 <= value:
            base *= 1024
    power = 1.0
    while power * 10 * base <= value:
        power *= 10
    return next(
        f * power * base for f in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 5, 6, 8, 10) if f * power * base >= value
    )


def ticks(xs: Sequence[int]) -> list[int]:
    """At most nine of the values, the first and about the last among them."""
    if len(xs) <= 9:
        return list(xs)
    step = -(-len(xs) // 8)
    return [*xs[::step], *([xs[-1]] if (len(xs) - 1) % step > step // 2 else [])]


def figure(value: float, unit: str) -> str:
    """A value as an axis shows it: three digits and a letter for its size."""
    if unit == "bytes":
        text = format_bytes(round(value))
        return text.replace(".00 ", " ").replace(".0 ", " ")
    for size, letter in ((1e15, "P"), (1e12, "T"), (1e9, "G" if unit == "flop" else "B"), (1e6, "M")):
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:.3g}"


def short(value: int, unit: str) -> str:
    """A count as an axis shows it: tokens in k and m."""
    if unit == "tokens":
        for size, letter in ((2**20, "m"), (2**10, "k")):
            if value >= size and value % size == 0:
                return f"{value // size}{letter}"
    return format_count(value)
