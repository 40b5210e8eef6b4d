"""Waits and throughput against load as a chart."""

from __future__ import annotations

from collections.abc import Callable

from plimsoll.domain.chart import Chart, Mark, Panel, Series
from plimsoll.domain.load import LoadAnswer, LoadPoint, Span
from plimsoll.units import format_count


def chart(answer: LoadAnswer, title: str) -> Chart:
    """Time to the first token, time per token, and what is answered, with the loads that matter marked."""
    panels = (
        _panel(answer, "first token", "s", (("p50", _ttft_p50), ("p95", _ttft_p95)), is_log=True),
        _panel(answer, "each later token", "ms", (("p95", _tpot_p95_ms),), is_log=True),
        _panel(answer, "answered", "requests/s", (("all", _rate), ("within the targets", _goodput))),
    )
    server = answer.server
    held = f", KV cache of {format_count(server.pool_tokens)} tokens" if server else ""
    return Chart(title=title, subtitle=f"{answer.machine}{held}; with the 80 % interval", panels=panels)


def _panel(
    answer: LoadAnswer, title: str, unit: str,
    lines: tuple[tuple[str, Callable[[LoadPoint], Span | None]], ...], *, is_log: bool = False,
) -> Panel:  # fmt: skip
    series = []
    for name, pick in lines:
        spans = [s for p in answer.points if (s := pick(p)) is not None]
        if len(spans) == len(answer.points):
            series.append(
                Series(
                    name=name, xs=tuple(p.at for p in answer.points), ys=tuple(s.value for s in spans),
                    lows=tuple(s.low for s in spans), highs=tuple(s.high for s in spans),
                )
            )  # fmt: skip
    return Panel(
        title=title, x_label="users" if answer.at_unit == "users" else "requests/s that come", y_label=unit,
        series=tuple(series), marks=_marks(answer), is_log_x=answer.at_unit == "users", is_log_y=is_log,
    )  # fmt: skip


def _marks(answer: LoadAnswer) -> tuple[Mark, ...]:
    limits = answer.limits
    asked = answer.asked.get("users_count") or answer.asked.get("rate_per_s")
    marks = [Mark(at=float(str(asked)), label="asked")] if asked else []
    if limits:
        most = limits.users or limits.rate_per_s
        marks.append(Mark(at=most.value, label="saturation"))
    return tuple(marks)


def _ttft_p50(point: LoadPoint) -> Span:
    return point.ttft_p50_s


def _ttft_p95(point: LoadPoint) -> Span:
    return point.ttft_p95_s


def _tpot_p95_ms(point: LoadPoint) -> Span:
    found = point.tpot_p95_s
    return Span(low=1e3 * found.low, value=1e3 * found.value, high=1e3 * found.high)


def _rate(point: LoadPoint) -> Span:
    return point.requests_per_s


def _goodput(point: LoadPoint) -> Span | None:
    return point.goodput_per_s
