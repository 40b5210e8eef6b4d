"""Speed against cost per month in a terminal: both axes by powers of ten, a number per way."""

from __future__ import annotations

import math

from plimsoll.domain.scale import ScaleAnswer, Way
from plimsoll.doors.cli.text import columns_count, say

_WIDTH = 72
_HEIGHT = 16


def draw_points(answer: ScaleAnswer) -> None:
    """Print the ways with a price and a measured speed; where two fall together the later one is beside."""
    shown = [(n, w) for n, w in enumerate(answer.ways, start=1) if _point(w)]
    if len(shown) < 2:
        say("\nfewer than two ways have both a price and a measured speed: nothing to draw")
        return
    points = {n: p for n, w in shown if (p := _point(w))}
    width = columns_count(_WIDTH + 12) - 12
    low_x, high_x = _ends([x for x, _ in points.values()])
    low_y, high_y = _ends([y for _, y in points.values()])
    cells = [[" "] * width for _ in range(_HEIGHT)]
    front = {n for n, w in shown if w.is_on_front}
    for n, (x, y) in points.items():
        column = round((math.log10(x) - low_x) / (high_x - low_x) * (width - 4))
        row = round((high_y - math.log10(y)) / (high_y - low_y) * (_HEIGHT - 1))
        _put(cells[row], column, f"{n}{'*' if n in front else ''}")
    say(f"\ngenerated tokens/s (upwards) against {answer.currency} a month; * not beaten in both")
    for row, line in enumerate(cells):
        at = 10 ** (high_y - row / (_HEIGHT - 1) * (high_y - low_y))
        label = f"{at:,.3g}" if row % 5 == 0 else ""
        say(f"{label:>8} │{''.join(line)}".rstrip())
    say(f"{'':>8} └{'─' * width}")
    say(f"{'':>9} {10**low_x:<,.0f}{10**high_x:>{width - len(f'{10**low_x:,.0f}')},.0f}")


def _point(way: Way) -> tuple[float, float] | None:
    cost, speed = way.cost_per_month, way.first.tokens_per_s
    if cost is None or speed is None or not way.first.is_measured or cost.value <= 0:
        return None
    return cost.value, speed.value


def _ends(values: list[float]) -> tuple[float, float]:
    low, high = math.log10(min(values)), math.log10(max(values))
    return (low, high) if high - low > 1e-6 else (low - 0.5, high + 0.5)


def _put(line: list[str], column: int, text: str) -> None:
    """The text at the first free place from its column on, else before it."""
    places = [*range(column, len(line) - len(text) + 1), *range(column - 1, -1, -1)]
    for place in places:
        if all(c == " " for c in line[max(place - 1, 0) : place + len(text) + 1]):
            line[place : place + len(text)] = text
            return
