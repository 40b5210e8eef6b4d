"""The values of a sweep, and its picture as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from plimsoll.core.axes import FAINT, INK, LINE, MARK, ceiling, figure, label, scale, short, ticks
from plimsoll.domain.whatif import Sweep
from plimsoll.errors import BadSetting
from plimsoll.units import parse_tokens

MOST_POINTS = 128
_LARGEST_TOKENS = 2**30
_LARGEST_EXPERTS = 4096

# What is drawn, in this order, where the sweep has it. Flat lines are left out.
_DRAWN = (
    "bytes_per_token",
    "flops_per_token",
    "kv_bytes",
    "active_parameters",
    "weight_bytes",
    "compute_bytes",
)
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 420, 250, 78, 42, 34
_VERDICT_COLOURS = {
    "safe": "#1463a5", "changes_behaviour": "#b54708", "load_error": "#b42318", "breaks_silently": "#b42318",
    "unknown": "#667085", "not_settable": "#667085",
}  # fmt: skip


def read_counts(text: str) -> tuple[int, ...]:
    """'1..32' or '1,2,4,8': numbers of experts; raises BadSetting."""
    hint = "write 1..32 or 1,2,4,8"
    low, dots, high = text.partition("..")
    if dots:
        first, last = _count(low, hint), _count(high, hint)
        _refuse_order(first, last, hint)
        if last - first >= MOST_POINTS:
            raise BadSetting(
                f"{last - first + 1} points are more than {MOST_POINTS}", hint="write 1,2,4,8,16,32,64,128"
            )
        return tuple(range(first, last + 1))
    return _distinct([_count(part, hint) for part in text.split(",")])


def read_contexts(text: str) -> tuple[int, ...]:
    """'4k..1m' (doubling) or '4k,32k,128k': tokens; raises BadSetting."""
    low, dots, high = text.partition("..")
    if not dots:
        return _distinct([_tokens(part) for part in text.split(",")])
    first, last = _tokens(low), _tokens(high)
    _refuse_order(first, last, "write 4k..1m")
    values = [first]
    while values[-1] * 2 <= last:
        values.append(values[-1] * 2)
    return tuple(values if values[-1] == last else [*values, last])


def _tokens(text: str) -> int:
    count = parse_tokens(text)
    if count > _LARGEST_TOKENS:
        raise BadSetting(f"{count:,} tokens are more than {_LARGEST_TOKENS:,}", hint="write 4k..1m")
    return count


def _count(text: str, hint: str) -> int:
    if not text.strip().isdecimal() or not 1 <= int(text.strip()[:9]) <= _LARGEST_EXPERTS:
        raise BadSetting(
            f"{text.strip()!r} is not a number of experts from 1 to {_LARGEST_EXPERTS}", hint=hint
        )
    return int(text)


def _refuse_order(first: int, last: int, hint: str) -> None:
    if last < first:
        raise BadSetting(f"the range goes down, from {first:,} to {last:,}", hint=hint)


def _distinct(values: Sequence[int]) -> tuple[int, ...]:
    found = tuple(dict.fromkeys(values))
    if len(found) > MOST_POINTS:
        raise BadSetting(f"{len(found)} points are more than {MOST_POINTS}", hint="name fewer")
    return found


class _Panel(NamedTuple):
    title: str
    unit: str
    points: list[tuple[int, float]]


def svg(sweep: Sweep, title: str) -> str:
    """The sweep as line plots, one panel per figure that changes, as a complete SVG document.

    The horizontal axis is logarithmic for a context; a dashed line marks the model's own value.
    """
    panels = _panels(sweep)
    columns = 2 if len(panels) > 1 else 1
    rows = -(-len(panels) // columns)
    width, height = columns * _WIDTH, rows * _HEIGHT + 40
    body = [f'<text x="16" y="26" font-size="16" font-weight="600">{escape(title)}</text>']
    for number, panel in enumerate(panels):
        x, y = number % columns * _WIDTH, number // columns * _HEIGHT + 40
        body.append(f'<g transform="translate({x},{y})">{_drawn(panel, sweep)}</g>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="DejaVu Sans, system-ui, sans-serif" font-size="11" fill="{INK}">'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>{"".join(body)}</svg>\n'
    )


def _panels(sweep: Sweep) -> list[_Panel]:
    names = [*_DRAWN, *(n for n in sweep.labels if n.startswith("device_bytes"))]
    found = []
    for name in names:
        values = ((p.value, p.figures.get(name)) for p in sweep.points if p.verdict != "load_error")
        points = [(x, float(y)) for x, y in values if y is not None]
        if len({y for _, y in points}) > 1:
            found.append(_Panel(sweep.labels.get(name, name), sweep.units.get(name, ""), points))
    if not found:
        raise BadSetting(
            "nothing changes over this sweep, so there is nothing to draw", hint="sweep other values"
        )
    return found


def _drawn(panel: _Panel, sweep: Sweep) -> str:
    xs = [x for x, _ in panel.points]
    right, low = _WIDTH - 24, _HEIGHT - _BOTTOM
    across = scale(min(xs), max(xs), _LEFT, right, is_log=sweep.unit == "tokens")
    top = ceiling(max(y for _, y in panel.points), panel.unit)
    up = scale(0, top, low, _TOP)
    parts = [label(_LEFT, 18, panel.title, anchor="start", extra=' font-weight="600"')]
    for value in (top * step / 4 for step in range(5)):
        y = f"{up(value):.1f}"
        parts.append(f'<line x1="{_LEFT}" x2="{right}" y1="{y}" y2="{y}" stroke="{FAINT}"/>')
        parts.append(label(_LEFT - 6, up(value) + 4, figure(value, panel.unit), anchor="end"))
    parts += [label(across(x), low + 16, short(x, sweep.unit)) for x in ticks(xs)]
    parts.append(label((_LEFT + right) / 2, _HEIGHT - 10, f"{sweep.axis} ({sweep.unit})"))
    if sweep.present is not None and min(xs) <= sweep.present <= max(xs):
        parts.append(_marker(across(sweep.present), sweep))
    line = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in panel.points)
    parts.append(f'<polyline points="{line}" fill="none" stroke="{LINE}" stroke-width="2"/>')
    verdicts = {p.value: p.verdict for p in sweep.points}
    for at, value in panel.points:
        colour = LINE if at == sweep.present else _VERDICT_COLOURS[verdicts[at]]
        parts.append(f'<circle cx="{across(at):.1f}" cy="{up(value):.1f}" r="3" fill="{colour}"/>')
    return "".join(parts)


def _marker(x: float, sweep: Sweep) -> str:
    word = "trained" if sweep.unit == "tokens" else "published"
    line = f'x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"'
    return f'<line {line} stroke="{MARK}" stroke-dasharray="4 3"/>' + label(
        x, _TOP - 2, word, extra=f' fill="{MARK}"'
    )
