"""The values of a sweep, and its picture."""

from __future__ import annotations

from collections.abc import Sequence

from plimsoll.domain.chart import Chart, Mark, Panel, Series
from plimsoll.domain.whatif import Sweep, SweepPoint
from plimsoll.errors import BadSetting
from plimsoll.units import parse_tokens

MOST_POINTS = 128
_LARGEST_TOKENS = 2**30
_LARGEST_EXPERTS = 4096

# What is drawn, in this order, where the sweep has it. Flat lines are left out.
_DRAWN = (
    "tokens_per_second",
    "bytes_per_token",
    "flops_per_token",
    "kv_bytes",
    "active_parameters",
    "weight_bytes",
    "compute_bytes",
)


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


def chart(sweep: Sweep, title: str) -> Chart:
    """The sweep as lines, one panel per figure that changes; points of another verdict than 'safe' are drawn
    again under its name, and a mark stands at the model's own value. Raises BadSetting where
    nothing changes."""
    names = [*_DRAWN, *(n for n in sweep.labels if n.startswith("device_bytes"))]
    panels = tuple(panel for name in names if (panel := _panel(sweep, name)) is not None)
    if not panels:
        raise BadSetting(
            "nothing changes over this sweep, so there is nothing to draw", hint="sweep other values"
        )
    return Chart(title=title, panels=panels)


def _panel(sweep: Sweep, name: str) -> Panel | None:
    found = [p for p in sweep.points if p.verdict != "load_error" and p.figures.get(name) is not None]
    values = tuple(float(p.figures[name] or 0) for p in found)
    if len(set(values)) < 2:
        return None
    label, unit = sweep.labels.get(name, name), sweep.units.get(name, "")
    tokens = sweep.unit == "tokens"
    line = Series(name=label, xs=tuple(p.value for p in found), ys=values)
    others = dict.fromkeys(p.verdict for p in found if p.verdict != "safe")
    own = Mark(at=sweep.present or 0, label="trained" if tokens else "published")
    has_own = sweep.present is not None and found[0].value <= sweep.present <= found[-1].value
    return Panel(
        title=label, x_label=f"{sweep.axis} ({sweep.unit})", y_label="" if unit == "bytes" else unit,
        series=(line, *(_of(v, found, values) for v in others)), marks=(own,) if has_own else (),
        x_unit="tokens" if tokens else "",
        y_unit="bytes" if unit == "bytes" else "", is_log_x=tokens,
    )  # fmt: skip


def _of(verdict: str, points: Sequence[SweepPoint], values: Sequence[float]) -> Series:
    some = [(p.value, y) for p, y in zip(points, values, strict=True) if p.verdict == verdict]
    return Series(
        name=verdict.replace("_", " "),
        xs=tuple(x for x, _ in some),
        ys=tuple(y for _, y in some),
        kind="points",
    )
