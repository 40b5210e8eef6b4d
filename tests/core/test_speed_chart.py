"""Curves become panels with the interval as a band, and the asked place as a mark."""

from __future__ import annotations

from dataclasses import replace

from plimsoll.core.speed_chart import chart
from plimsoll.domain.plot import Curve, CurvePoint

CURVE = Curve(
    title="generation", axis="tokens in the cache", axis_unit="tokens", unit="tokens/s", asked=8192,
    points=tuple(
        CurvePoint(at=at, low=0.8 * v, value=v, high=1.1 * v)
        for at, v in ((256, 100.0), (1024, 95.0), (8192, 79.0), (131072, 30.0))
    ),
)  # fmt: skip


def test_a_panel_per_curve_with_its_band_and_the_asked_place() -> None:
    drawn = chart([CURVE, replace(CURVE, asked=1)], "model & format", "a machine")
    first, second = drawn.panels
    assert (drawn.title, first.y_label, first.x_unit) == ("model & format", "tokens/s", "tokens")
    assert [(m.at, m.label) for m in first.marks] == [(8192, "asked: 8,192")]
    assert second.marks == ()  # it lies outside
    (series,) = first.series
    assert series.xs == (256, 1024, 8192, 131072)
    assert all(low < y < high for low, y, high in zip(series.lows, series.ys, series.highs, strict=True))
