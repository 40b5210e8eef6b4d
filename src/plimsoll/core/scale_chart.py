"""Price against speed, and buying against renting, as a chart."""

from __future__ import annotations

import textwrap

from plimsoll.domain.chart import Chart, Mark, Panel, Series
from plimsoll.domain.scale import ScaleAnswer, Way, WayKind

_NAMES: dict[WayKind, str] = {
    "own": "as it is", "same card": "one more card", "named": "beside", "card": "other cards",
    "unified": "unified memory", "cpu": "CPU server", "rent": "rented",
}  # fmt: skip
_MONTH_HOURS = 730
_SUBTITLE_WIDTH = 150


def chart(answer: ScaleAnswer) -> Chart:
    """Tokens/s of the first model against cost per month, the ways by their numbers, with the front; and what
    buying and renting cost by hours of work, for the bought way with a break-even and the cheapest token.
    With a period: every offer."""
    if answer.rented:
        return _for_a_while(answer)
    panels = [_price_and_speed(answer)]
    lines = _by_hours(answer)
    names = [f"{n} {_short(w)}" for n, w in enumerate(answer.ways, start=1) if _is_drawn(w)]
    return Chart(
        title=f"{answer.models[0]} from {answer.machine}, {answer.hours_per_month:.0f} hours of work a month",
        subtitle="\n".join(textwrap.wrap(", ".join(names), _SUBTITLE_WIDTH)),
        panels=tuple([*panels, *([lines] if lines else [])]),
    )


def _for_a_while(answer: ScaleAnswer) -> Chart:
    """Tokens/s of the first model against what the whole period costs: a point per offer."""
    series = []
    for rented in answer.rented:
        model = rented.models[0]
        best = model.as_copies or model
        rate, costs = best.tokens_per_s, tuple(o.cost.value for o in rented.offers)
        if rate is None or not best.is_measured or not costs:
            continue
        many = len(costs)
        spread = f", {best.copies_count} copies" if best.copies_count > 1 else ""
        series.append(
            Series(
                name=f"{rented.label}{spread}", kind="points", xs=costs, ys=(rate.value,) * many,
                lows=(rate.low,) * many, highs=(rate.high,) * many,
            )
        )  # fmt: skip
    panel = Panel(
        title="every offer, with the time to fetch the weights", x_label=f"{answer.currency} all together",
        y_label="generated tokens/s", series=tuple(series), is_log_x=True,
    )  # fmt: skip
    return Chart(title=f"{answer.models[0]} on rented cards", panels=(panel,))


def _price_and_speed(answer: ScaleAnswer) -> Panel:
    series = []
    for kind, name in _NAMES.items():
        numbered = [(n, w) for n, w in enumerate(answer.ways, start=1) if w.kind == kind and _is_drawn(w)]
        shown = [w for _, w in numbered]
        if not shown:
            continue
        speeds = [w.first.tokens_per_s for w in shown if w.first.tokens_per_s]
        series.append(
            Series(
                name=name, kind="points", xs=tuple(_cost(w) for w in shown),
                ys=tuple(s.value for s in speeds), lows=tuple(s.low for s in speeds),
                highs=tuple(s.high for s in speeds), labels=tuple(f"{n}" for n, _ in numbered),
            )
        )  # fmt: skip
    front = sorted((w for w in answer.ways if w.is_on_front), key=_cost)
    if len(front) > 1:
        ys = tuple(w.first.tokens_per_s.value for w in front if w.first.tokens_per_s)
        series.append(Series(name="not beaten in both", xs=tuple(map(_cost, front)), ys=ys))
    return Panel(
        title="price and speed", x_label=f"{answer.currency} per month", y_label="generated tokens/s",
        series=tuple(series), is_log_x=True, is_log_y=True,
    )  # fmt: skip


def _is_drawn(way: Way) -> bool:
    return way.cost_per_month is not None and way.first.tokens_per_s is not None and way.first.is_measured


def _cost(way: Way) -> float:
    return way.cost_per_month.value if way.cost_per_month else 0.0


def _short(way: Way) -> str:
    name = way.label.partition(",")[0]
    return f"rented {name}" if way.kind == "rent" else name


def _by_hours(answer: ScaleAnswer) -> Panel | None:
    """Cost of a month by hours of work, for the same tokens: bought once, rented by the hour."""
    able = [
        (w, m)
        for w in answer.ways if _is_drawn(w)
        for m in (w.first, w.first.as_copies) if m and m.break_even and m.break_even.hours
    ]  # fmt: skip
    if not able:
        return None
    best, model = min(able, key=lambda x: x[1].cost_per_million.value if x[1].cost_per_million else 0.0)
    even = model.break_even
    assert even is not None
    assert even.hours is not None
    told = even.hours.inputs
    hours = (0.0, float(_MONTH_HOURS))
    own = tuple(told["fixed_per_month"] + told["running_per_hour"] * h for h in hours)
    rent = tuple(told["rent_per_hour"] * told["speed_share"] * h for h in hours)
    spread = f" as {model.copies_count} copies" if model.copies_count > 1 else ""
    return Panel(
        title=f"{_short(best)}{spread}: the same at {even.hours.value:,.0f} hours",
        x_label="hours of work a month", y_label=f"{answer.currency} per month",
        series=(
            Series(name="bought", xs=hours, ys=own),
            Series(name=f"rented, same tokens ({even.offer})", xs=hours, ys=rent),
        ),
        marks=(Mark(at=answer.hours_per_month, label="your hours"),),
    )  # fmt: skip
