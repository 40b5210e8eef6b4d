"""A chart as facts: what is drawn, not how. `edges.chart` draws it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

SeriesKind = Literal["line", "points", "bars"]
AxisUnit = Literal["", "bytes", "tokens"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Values `ys` at the places `xs`, with `lows` and `highs` around them or neither.

    Bars of several series are stacked in the order of the series; their `xs` count the panel's categories.
    `labels` names single points, or is empty. `is_faint` draws pale what is there but not used.
    """

    name: str
    xs: tuple[float, ...]
    ys: tuple[float, ...]
    lows: tuple[float, ...] = ()
    highs: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()
    kind: SeriesKind = "line"
    is_faint: bool = False

    def __post_init__(self) -> None:
        count = len(self.xs)
        if len(self.ys) != count or len(self.lows) != len(self.highs):
            raise ValueError(f"{self.name}: a series needs one y per x, and lows with highs")
        if (self.lows and len(self.lows) != count) or (self.labels and len(self.labels) != count):
            raise ValueError(f"{self.name}: bounds and labels come one per x")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A place worth a line across the panel: upright at `at` of the x axis, or level with `is_level`."""

    at: float
    label: str
    is_level: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One pair of axes. `categories` names the places 0, 1, 2 ... of the x axis where it counts things.

    `x_unit` and `y_unit` say how an axis writes its numbers: sizes in GiB, tokens in k, or as they are.
    """

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    marks: tuple[Mark, ...] = ()
    categories: tuple[str, ...] = ()
    x_unit: AxisUnit = ""
    y_unit: AxisUnit = ""
    is_log_x: bool = False
    is_log_y: bool = False
    has_legend: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Panels side by side under one title."""

    title: str
    panels: tuple[Panel, ...] = field(repr=False)
    subtitle: str = ""
