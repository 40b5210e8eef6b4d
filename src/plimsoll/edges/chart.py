"""Charts into files, drawn by matplotlib (the `chart` extra).

The same chart gives the same SVG, byte for byte. Series differ in marker and dash as well as in colour.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from plimsoll.domain.chart import AxisUnit, Chart, Mark, Panel, Series
from plimsoll.errors import BadSetting
from plimsoll.units import format_bytes

_SUFFIXES = (".svg", ".png")
# Okabe and Ito's colours, which people with any colour vision tell apart (jfly.uni-koeln.de/color).
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DASHES = ("-", "--", "-.", ":")
_HATCHES = ("", "///", "||", "xxx", "\\\\\\", "---", "+++")
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
        count = len(chart.panels)
        columns = count if count <= 3 else -(-count // 2)
        rows = -(-count // columns)
        most = max((len(panel.categories) for panel in chart.panels), default=0)
        figure = Figure(figsize=(max(5.6, 0.5 * most + 2) * columns, 4.2 * rows), layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle("\n".join(t for t in (chart.title, chart.subtitle) if t), fontsize=10)
        places = figure.subplots(rows, columns, squeeze=False).flat
        for axes, panel in zip(places, chart.panels, strict=False):
            _panel(axes, panel)
        for axes in list(places)[count:]:
            axes.set_visible(False)
        try:
            figure.savefig(path, dpi=150, metadata={"Date": None} if suffix == ".svg" else None)
        except OSError as error:
            hint = "name a file in a folder that is there and may be written"
            raise BadSetting(f"{path} cannot be written: {error.strerror}", hint=hint) from None


def _panel(axes: Any, panel: Panel) -> None:
    axes.set_title(panel.title, fontsize=9, loc="left")
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    floors = [0.0] * len(panel.categories)
    for place, series in enumerate(panel.series):
        _SERIES[series.kind](axes, series, place, floors)
    for name, unit, is_log in (("x", panel.x_unit, panel.is_log_x), ("y", panel.y_unit, panel.is_log_y)):
        _scale(axes, name, unit, is_log=is_log)
    if panel.categories:
        axes.set_xticks(range(len(panel.categories)), panel.categories)
        if max(map(len, panel.categories)) * len(panel.categories) > 45:
            axes.tick_params(axis="x", labelrotation=30)
    if not panel.is_log_y and all(y >= 0 for s in panel.series for y in s.ys):
        axes.set_ylim(bottom=0)
    for mark in panel.marks:
        if mark.is_level and not panel.is_log_y:
            axes.set_ylim(top=max(axes.get_ylim()[1], 1.08 * mark.at))
        _mark(axes, mark)
    if len(panel.series) > 1 and panel.has_legend:
        # Bars fill their panel from below: their legend stands beside it.
        beside = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if panel.categories else {}
        axes.legend(frameon=False, **beside)


def _scale(axes: Any, name: str, unit: AxisUnit, *, is_log: bool) -> None:
    """Numbers as people write them: sizes and tokens at powers of two, others at 1, 2 and 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis = getattr(axes, f"{name}axis")
    low, high = axis.get_data_interval()
    if is_log:
        base = 2 if unit else 10
        getattr(axes, f"set_{name}scale")("log", base=base)
        axis.set_minor_locator(NullLocator())
        axis.set_major_locator(LogLocator(base=base, subs=_between(unit, high / low), numticks=9))
    elif unit == "bytes" and high > 0:
        axis.set_ticks(_round_sizes(high))
    written = {"bytes": _size, "tokens": _tokens, "": _number}[unit]
    axis.set_major_formatter(FuncFormatter(lambda value, _: written(value)))


def _between(unit: AxisUnit, range_: float) -> tuple[float, ...]:
    """The places within a decade that a scale shows: the more, the less it spans."""
    if unit or range_ > 100:
        return (1.0,)
    return (1.0, 2.0, 5.0) if range_ > 6 else tuple(float(x) for x in range(1, 10))


def _round_sizes(most: float) -> list[float]:
    """About six places from nothing to `most`, round in the unit that `most` is written in."""
    from matplotlib.ticker import MaxNLocator

    size = 1024.0 ** int(math.log(max(most, 1.0), 1024))
    return [float(at) * size for at in MaxNLocator(nbins=6).tick_values(0, most / size)]


def _size(value: float) -> str:
    return format_bytes(round(value)).replace(".00 ", " ").replace(".0 ", " ") if value > 0 else "0"


def _tokens(value: float) -> str:
    """Tokens in k and m of 1,024, as contexts are named."""
    for size, letter in ((2**20, "m"), (2**10, "k")):
        if value >= size and value % size == 0:
            return f"{value / size:,.0f}{letter}"
    return _number(value)


def _number(value: float) -> str:
    """Three digits and a letter for the size."""
    for size, letter in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if abs(value) >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


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
    turn = (place + place // len(_COLOURS)) % len(_HATCHES)  # after all colours, each with another hatch
    colour, hatch, edge = _COLOURS[place % len(_COLOURS)], _HATCHES[turn], "#ffffff"
    if series.is_faint:
        colour, hatch, edge = "#f2f4f7", "", "#98a2b3"
    axes.bar(
        series.xs, series.ys, bottom=at, width=0.6, color=colour, hatch=hatch, edgecolor=edge,
        label=series.name,
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
