"""Waits against load in a terminal: a row per load, the interval as a bar on a logarithmic scale."""

from __future__ import annotations

import math

from plimsoll.domain.load import LoadAnswer, LoadPoint, Span
from plimsoll.doors.cli.load import format_time
from plimsoll.doors.cli.text import columns_count, say, styled
from plimsoll.units import format_arrivals

_WIDTH, _NUMBERS = 46, 56


def draw(answer: LoadAnswer) -> None:
    """Print p95 of the first token and per token against load, then what is answered."""
    if not answer.points:
        return
    asked = answer.asked.get("users_count") or answer.asked.get("rate_per_s")
    for title, pick in (("first token", _ttft), ("each later token", _tpot)):
        say()
        say(f"{title}, 95 of 100 requests (logarithmic; load downwards)", bold=True)
        spans = [pick(p) for p in answer.points]
        least = min(s.low for s in spans if s.low > 0)
        most = max(s.high for s in spans)
        width = max(16, min(_WIDTH, columns_count(_WIDTH + _NUMBERS) - _NUMBERS))
        for point, span in zip(answer.points, spans, strict=True):
            mark = "▸" if point.at == asked else " "
            numbers = f"{format_time(span.value)}  ({format_time(span.low)} … {format_time(span.high)})"
            say(f"{mark} {_load(answer, point).rjust(17)} {_row(span, least, most, width)} {numbers}")
    limits = answer.limits
    if limits:
        say(
            f"  █ expected  ░ 80 % interval  ▸ asked; saturation {format_arrivals(limits.rate_per_s.value)}",
            dim=True,
        )


def _ttft(point: LoadPoint) -> Span:
    return point.ttft_p95_s


def _tpot(point: LoadPoint) -> Span:
    return point.tpot_p95_s


def _load(answer: LoadAnswer, point: LoadPoint) -> str:
    return f"{point.at:,.4g} users" if answer.at_unit == "users" else format_arrivals(point.at)


def _row(span: Span, least: float, most: float, width: int) -> str:
    whole = math.log(most / least) or 1.0
    low, value, high = (
        min(round(math.log(max(v, least) / least) / whole * (width - 1)), width - 1)
        for v in (span.low, span.value, span.high)
    )
    cells = ["█" if i == value else "░" if low <= i <= high else "·" for i in range(width)]
    return "".join(styled(c, fg="blue") if c == "█" else c for c in cells)
