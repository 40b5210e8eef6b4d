"""Speed against depth and company as a chart: a line in its interval, one panel per curve."""

from __future__ import annotations

from collections.abc import Sequence

from plimsoll.domain.chart import Chart, Mark, Panel, Series
from plimsoll.domain.plot import Curve
from plimsoll.units import format_count


def chart(curves: Sequence[Curve], title: str, subtitle: str) -> Chart:
    """The curves side by side, the question's own place marked."""
    return Chart(title=title, subtitle=subtitle, panels=tuple(_panel(curve) for curve in curves))


def _panel(curve: Curve) -> Panel:
    places = tuple(p.at for p in curve.points)
    series = Series(
        name=curve.title, xs=places, ys=tuple(p.value for p in curve.points),
        lows=tuple(p.low for p in curve.points), highs=tuple(p.high for p in curve.points),
    )  # fmt: skip
    asked = Mark(at=curve.asked, label=f"asked: {format_count(curve.asked)}")
    return Panel(
        title=curve.title, x_label=curve.axis, y_label=curve.unit, series=(series,),
        marks=(asked,) if places[0] <= curve.asked <= places[-1] else (),
        is_log_x=True, x_unit="tokens" if curve.axis_unit == "tokens" else "",
    )  # fmt: skip
