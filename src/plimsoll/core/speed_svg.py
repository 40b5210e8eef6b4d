"""Speed against depth and company as SVG: a line in its interval, one panel per curve.

Plain SVG without scripts, fonts or links. The band is bounded by dashed lines, so that it can be told without
colour; each point says its value when pointed at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from plimsoll.core.axes import FAINT, INK, LINE, MARK, ceiling, figure, label, scale, short, ticks
from plimsoll.domain.plot import Curve, CurvePoint

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _HEAD = 460, 300, 62, 48, 46, 56
_BAND = "#cfe0f1"
_APART = 44  # wide enough for '131,072'


def svg(curves: Sequence[Curve], title: str, subtitle: str) -> str:
    """The curves side by side as a complete SVG document."""
    width, height = _WIDTH * len(curves), _HEIGHT + _HEAD
    body = [
        f'<text x="16" y="26" font-size="16" font-weight="600">{escape(title)}</text>',
        f'<text x="16" y="46">{escape(subtitle)}</text>',
    ]
    for place, curve in enumerate(curves):
        body.append(f'<g transform="translate({place * _WIDTH},{_HEAD})">{_panel(curve)}</g>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="DejaVu Sans, system-ui, sans-serif" font-size="11" fill="{INK}">'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>{"".join(body)}</svg>\n'
    )


def _panel(curve: Curve) -> str:
    places = [p.at for p in curve.points]
    right, low = _WIDTH - 24, _HEIGHT - _BOTTOM
    across = scale(places[0], places[-1], _LEFT, right, is_log=True)
    top = ceiling(max(p.high for p in curve.points), curve.unit)
    up = scale(0, top, low, _TOP)
    parts = [label(_LEFT, 18, curve.title, anchor="start", extra=' font-weight="600"')]
    parts.append(label(_LEFT, 34, curve.unit, anchor="start"))
    for value in (top * step / 4 for step in range(5)):
        y = f"{up(value):.1f}"
        parts.append(f'<line x1="{_LEFT}" x2="{right}" y1="{y}" y2="{y}" stroke="{FAINT}"/>')
        parts.append(label(_LEFT - 6, up(value) + 4, figure(value, curve.unit), anchor="end"))
    parts += [label(across(x), low + 16, short(x, curve.axis_unit)) for x in _apart(ticks(places), across)]
    parts.append(label((_LEFT + right) / 2, _HEIGHT - 12, curve.axis))
    parts += _band(curve.points, across, up)
    if places[0] <= curve.asked <= places[-1]:
        x = across(curve.asked)
        line = f'x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{low}"'
        parts.append(f'<line {line} stroke="{MARK}" stroke-dasharray="4 3"/>')
        is_right = x > (_LEFT + right) / 2
        end = "end" if is_right else "start"
        asked = f"asked: {short(curve.asked, curve.axis_unit)}"
        at = x - 4 if is_right else x + 4
        parts.append(label(at, _TOP + 10, asked, anchor=end, extra=f' fill="{MARK}"'))
    return "".join(parts)


def _apart(places: Sequence[int], across: Callable[[float], float]) -> list[int]:
    """The places whose labels do not run into one another; the last is always there."""
    kept: list[int] = []
    for place in reversed(places):
        if not kept or across(kept[-1]) - across(place) >= _APART:
            kept.append(place)
    return kept


def _band(
    points: Sequence[CurvePoint], across: Callable[[float], float], up: Callable[[float], float]
) -> list[str]:
    """The interval as a filled band between dashed lines, and the values as a line with points."""
    lows, values, highs = (
        [f"{across(p.at):.1f},{up(y):.1f}" for p, y in zip(points, ys, strict=True)]
        for ys in (
            [p.low for p in points], [p.value for p in points], [p.high for p in points],
        )
    )  # fmt: skip
    parts = [f'<polygon points="{" ".join([*highs, *reversed(lows)])}" fill="{_BAND}"/>']
    for edge in (lows, highs):
        parts.append(
            f'<polyline points="{" ".join(edge)}" fill="none" stroke="{LINE}" stroke-dasharray="2 3"/>'
        )
    parts.append(f'<polyline points="{" ".join(values)}" fill="none" stroke="{LINE}" stroke-width="2"/>')
    for p in points:
        said = escape(f"{p.at:,}: {p.value:,.3g} ({p.low:,.3g} to {p.high:,.3g})")
        parts.append(
            f'<circle cx="{across(p.at):.1f}" cy="{up(p.value):.1f}" r="3" fill="{LINE}">'
            f"<title>{said}</title></circle>"
        )
    return parts
