"""What a way onward costs, when buying beats renting, and which ways are not beaten by another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from plimsoll.domain.estimate import Estimate
from plimsoll.domain.price import Price
from plimsoll.domain.scale import BreakEven, Offer, Possible, Trend, Way
from plimsoll.formulas import ownership

NO_FASTER = "never: it generates no faster than what is there"
CHEAP_RENT = "never: an hour of rent costs less than the electricity"
_ROOM = "formulas.ownership"
_MONTH_HOURS = 730.0


def priced(
    quantity: str, unit: str, formula: Callable[..., float], at: Sequence[Mapping[str, Any]],
    like: Estimate | None = None,
) -> Estimate:  # fmt: skip
    """An estimate by one formula: `at` are its inputs for the value and, where there are more, for each end.

    `like` is the speed that it rests on, whose basis and coverage it takes over.
    """
    found = [formula(**inputs) for inputs in at]
    return Estimate(
        quantity=quantity, unit=unit, value=found[0], low=min(found), high=max(found),
        basis=like.basis if like else "reported", formula=f"{_ROOM}:{formula.__name__}", inputs=dict(at[0]),
        coverage=like.coverage if like else None, samples_count=like.samples_count if like else None,
    )  # fmt: skip


def purchase(prices: Sequence[tuple[float, float]], counts: Sequence[int], currency: str) -> Estimate:
    """What the parts cost together; of a price told as a range the middle."""
    ends = [[(low + high) / 2 for low, high in prices], [p[0] for p in prices], [p[1] for p in prices]]
    at = [{"prices": p, "counts": list(counts)} for p in ends]
    return priced("purchase", currency, ownership.total, at)


def electricity(watts: float, hours: float, price_per_kwh: float, currency: str) -> Estimate:
    """Electricity of a month at work with all devices at their power limit: at most."""
    at = [{"watts": watts, "hours": hours, "price_per_kwh": price_per_kwh}]
    return priced("electricity_per_month", f"{currency} per month", ownership.electricity, at)


def owned_month(
    bought: Estimate, resale: tuple[float, float], months: float, electricity_per_month: float, currency: str
) -> Estimate:
    """A month of a bought machine; the ends are the cheapest price with the most resale, and the reverse."""
    middle = (resale[0] + resale[1]) / 2
    ends = ((bought.value, middle), (bought.low, resale[1]), (bought.high, resale[0]))
    at = [
        {
            "price": price, "resale_share": share, "months": months,
            "electricity_per_month": electricity_per_month,
        }
        for price, share in ends
    ]  # fmt: skip
    return priced("cost_per_month", f"{currency} per month", ownership.owned_month, at)


def rented_month(rent_per_hour: float, hours: float, currency: str) -> Estimate:
    """A month of a machine rented for the hours of work only."""
    at = [{"rent_per_hour": rent_per_hour, "hours": hours}]
    return priced("cost_per_month", f"{currency} per month", ownership.rented_month, at)


def per_million(cost: Estimate, speed: Estimate, hours: float, currency: str) -> Estimate:
    """A million generated tokens: cheapest and fastest against dearest and slowest."""
    ends = ((cost.value, speed.value), (cost.low, speed.high), (cost.high, speed.low))
    at = [{"cost_per_month": money, "tokens_per_s": rate, "hours": hours} for money, rate in ends if rate > 0]
    unit = f"{currency} per million tokens"
    return priced("cost_per_million_tokens", unit, ownership.per_million, at, like=speed)


def costed(model: Possible, cost: Estimate, hours: float, currency: str) -> Possible:
    """The model with what a million of its tokens costs, and of its copies'."""
    more = costed(model.as_copies, cost, hours, currency) if model.as_copies else None
    speed = model.tokens_per_s
    each = per_million(cost, speed, hours, currency) if speed else None
    return replace(model, cost_per_million=each, as_copies=more)


def copies(one: Possible, count: int) -> Possible | None:
    """So many copies of what runs on one card alone; None where it does not, or needs host memory."""
    if one.part is None or one.tokens_per_s is None or one.part.placement:
        return None
    speed = one.tokens_per_s
    at = [{"tokens_per_s": rate, "count": count} for rate in (speed.value, speed.low, speed.high)]
    together = priced("decode_total", "tokens/s", ownership.copies_tokens, at, like=speed)
    return replace(
        one, tokens_per_s=together, copies_count=count, gains=(), gives_up=(), cost_per_million=None,
        break_even=None, as_copies=None,
    )  # fmt: skip


def break_even(
    way: Way, model: Possible, rented: Way, offer: Offer, running: float, hours: float, *,
    there_tokens_per_s: float = 0.0, there_running: float = 0.0,
) -> BreakEven:  # fmt: skip
    """Hours a month beyond which this bought way makes its tokens cheaper than `rented` at `offer`.

    `running` is the electricity of an hour; of what is there already tokens and electricity do not count.
    Ends: the cheapest and the dearest month of the purchase.
    """
    own, other = model.tokens_per_s, _same_model(rented, model)
    names = {"rented": rented.id, "offer": f"{offer.price.provider}, {offer.price.tier}"}
    if way.cost_per_month is None or own is None or other is None or other.tokens_per_s is None:
        return BreakEven(**names, hours=None, tokens=None, says="a price or a speed is not known")
    spent = running * hours
    gained = own.value - there_tokens_per_s
    if gained <= 0:
        return BreakEven(**names, hours=None, tokens=None, says=NO_FASTER)
    share = gained / other.tokens_per_s.value
    cost = way.cost_per_month
    fixed = [max(c - spent, 0.0) for c in (cost.value, cost.low, cost.high)]
    at = [
        {
            "fixed_per_month": f, "running_per_hour": running - there_running,
            "rent_per_hour": offer.rent_per_hour, "speed_share": share,
        }
        for f in fixed
    ]  # fmt: skip
    found = priced("break_even_hours", "hours per month", ownership.break_even_hours, at)
    if found.value == float("inf"):
        return BreakEven(**names, hours=None, tokens=None, says=CHEAP_RENT)
    made = [{"tokens_per_s": gained, "hours": h} for h in (found.value, found.low, found.high)]
    tokens = priced("break_even_tokens", "tokens per month", ownership.month_tokens, made)
    return BreakEven(**names, hours=found, tokens=tokens, says=_verdict(found.value, hours))


def _verdict(at: float, hours: float) -> str:
    if at > _MONTH_HOURS:
        return "not even day and night"
    return "buying is cheaper at your hours" if hours >= at else "renting is cheaper at your hours"


def _same_model(way: Way, model: Possible) -> Possible | None:
    return next((m for m in way.models if m.model == model.model), None)


def with_front(ways: Sequence[Way]) -> list[Way]:
    """The ways, those marked that no other beats in both cost per month and tokens/s of the first model.

    Only what fits, was measured and has a price counts.
    """
    points = [_point(way) for way in ways]
    known = [p for p in points if p]
    return [
        replace(way, is_on_front=p is not None and not any(_beats(q, p) for q in known))
        for way, p in zip(ways, points, strict=True)
    ]


def _point(way: Way) -> tuple[float, float] | None:
    """(cost per month, tokens/s) of what may be ranked."""
    first = way.first
    if way.cost_per_month is None or first.tokens_per_s is None or not first.is_measured:
        return None
    return way.cost_per_month.value, first.tokens_per_s.value


def _beats(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a != b and a[0] <= b[0] and a[1] >= b[1]


def trend(device: str, kind: str, tier: str, prices: Sequence[Price]) -> Trend:
    """What the dated prices of one thing in one tier show, from the first to the last; never a forecast."""
    dated = sorted((p for p in prices if len(p.date) >= 7), key=lambda p: p.date)
    days = sorted({p.date for p in dated})
    if len(days) < 2:
        seen = f"one dated price ({days[0]})" if days else "no price with a month"
        return Trend(device=device, kind=kind, tier=tier, prices=tuple(dated), says=f"unknown: {seen}")
    first, last = (_span([p for p in dated if p.date == day]) for day in (days[0], days[-1]))
    currency = dated[0].currency
    says = f"{_told(first)} {currency} in {days[0]}, {_told(last)} in {days[-1]}; what comes next is unknown"
    return Trend(device=device, kind=kind, tier=tier, prices=tuple(dated), says=says)


def _span(prices: Sequence[Price]) -> tuple[float, float]:
    return min(p.price for p in prices), max(p.price_max or p.price for p in prices)


def _told(span: tuple[float, float]) -> str:
    low, high = (f"{v:,.0f}" if v >= 100 else f"{v:.2f}" for v in span)
    return low if low == high else f"{low} to {high}"
