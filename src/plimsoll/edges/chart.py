"""Charts into files, drawn by matplotlib (the `chart` extra).

The same chart gives the same SVG, byte for byte. Series differ in marker and dash as well as in colour.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plimsoll.domain.chart import Chart, Mark, Panel, Series
from plimsoll.errors import BadSetting

_SUFFIXES = (".svg", ".png")
# Okabe and Ito's colours, which people with any colour vision tell apart (jfly.uni-koeln.de/color).
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DASHES = ("-", "--", "-.", ":")
_HATCHES = ("", "///", "...", "xxx", "\\\\\\", "---", "+++")
_STYLE: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "plimsoll", "font.size": 9, "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "grid.color": "#d5dbe1", "axes.axisbelow": True,
    "text.parse_math": False, "font.family": ["DejaVu Sans", "sans-serif"],
}  # fmt: skip


def draw(chart: Chart, path: str) -> None:
    """Write the chart as FILE.svg or FILE.png. Raises BadSetting: another suffix, no place to write, no
    matplotlib."""
    suffix = Path(path).suffix.lower()
    if suffix not in _SUFFIXES:
        raise BadSetting(
            f"a chart is written as .svg or .png, not {path!r}", hint="name FILE.svg or FILE.png"
        )
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # no display is opened
        from matplotlib.figure import Figure
    except ImportError:
        raise BadSetting(
            "charts need matplotlib, which is not installed", hint="pip install 'plimsoll-llm[chart]'"
        ) from None
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(5.6 * len(chart.panels), 4.2), layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle("\n".join(t for t in (chart.title, chart.subtitle) if t), fontsize=10)
        for axes, panel in zip(
            figure.subplots(1, len(chart.panels), squeeze=False)[0], chart.panels, strict=True
        ):
            _panel(axes, panel)
        try:
            figure.savefig(path, dpi=150, metadata={"Date": None} if suffix == ".svg" else None)
        except OSError as error:
            hint = "name a file in a folder that is there and may be written"
            raise BadSetting(f"{path} cannot be written: {error.strerror}", hint=hint) from None


def _panel(axes: Any, panel: Panel) -> None:
    axes.set_title(panel.title, fontsize=9, loc="left")
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    if panel.is_log_x:
        axes.set_xscale("log")
    if panel.is_log_y:
        axes.set_yscale("log")
    floors = [0.0] * len(panel.categories)
    for place, series in enumerate(panel.series):
        _SERIES[series.kind](axes, series, place, floors)
    if panel.categories:
        axes.set_xticks(range(len(panel.categories)), panel.categories)
        if max(map(len, panel.categories)) * len(panel.categories) > 60:
            axes.tick_params(axis="x", labelrotation=30)
    if not panel.is_log_y and all(y >= 0 for s in panel.series for y in s.ys):
        axes.set_ylim(bottom=0)
    for mark in panel.marks:
        _mark(axes, mark)
    if len(panel.series) > 1:
        axes.legend(frameon=False)


def _line(axes: Any, series: Series, place: int, floors: list[float]) -> None:
    colour = _COLOURS[place % len(_COLOURS)]
    style = _DASHES[place % len(_DASHES)] if series.kind == "line" else "none"
    axes.plot(
        series.xs, series.ys, color=colour, linestyle=style, marker=_MARKERS[place % len(_MARKERS)],
        markersize=4, label=series.name,
    )  # fmt: skip
    if series.lows and series.kind == "line":
        axes.fill_between(series.xs, series.lows, series.highs, color=colour, alpha=0.15, linewidth=0)
        for bound in (series.lows, series.highs):
            axes.plot(series.xs, bound, color=colour, linewidth=0.6, linestyle=":")
    elif series.lows:
        below = [y - low for y, low in zip(series.ys, series.lows, strict=True)]
        above = [high - y for y, high in zip(series.ys, series.highs, strict=True)]
        axes.errorbar(series.xs, series.ys, yerr=[below, above], fmt="none", ecolor=colour, elinewidth=0.8)
    for label, x, y in zip(series.labels, series.xs, series.ys, strict=False):
        axes.annotate(label, (x, y), xytext=(5, 4), textcoords="offset points", fontsize=7)


def _bars(axes: Any, series: Series, place: int, floors: list[float]) -> None:
    """Bars on top of those before them."""
    at = [floors[int(x)] for x in series.xs]
    axes.bar(
        series.xs, series.ys, bottom=at, width=0.6, color=_COLOURS[place % len(_COLOURS)],
        hatch=_HATCHES[place % len(_HATCHES)], edgecolor="#ffffff", label=series.name,
    )  # fmt: skip
    for x, y in zip(series.xs, series.ys, strict=True):
        floors[int(x)] += y


def _mark(axes: Any, mark: Mark) -> None:
    line = axes.axhline if mark.is_level else axes.axvline
    line(mark.at, color="#b54708", linestyle=(0, (4, 3)), linewidth=1)
    if mark.is_level:
        where: tuple[float, float] = (0.01, mark.at)
        side, frame = (2, 3), ("axes fraction", "data")
    else:
        where, side, frame = (mark.at, 0.99), (3, -8), ("data", "axes fraction")
    axes.annotate(
        mark.label, where, xycoords=frame, xytext=side, textcoords="offset points", fontsize=7,
        color="#b54708",
    )  # fmt: skip


_SERIES = {"line": _line, "points": _line, "bars": _bars}
