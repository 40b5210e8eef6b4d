"""What was asked of scale, and what the money rests on where nothing was said."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from plimsoll.ask.plan_question import PlanQuestion
from plimsoll.catalog.candidates import Assumed
from plimsoll.core.exchange import Exchange
from plimsoll.domain.scale import Assumption
from plimsoll.errors import BadSetting
from plimsoll.formulas.ownership import busy_hours, month_hours
from plimsoll.units import Money, format_count, format_money

_MONTH_HOURS = 730.0
_MOST_MONTHS = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleQuestion:
    """What was asked, as typed; None means: the catalog's assumption. `others` are machines to put beside.

    `electricity` without a currency is in the answer's. With `rent_for_hours` it is about renting
    `devices_count` cards for so long.
    """

    models: tuple[str, ...]
    on: str | None = None
    others: tuple[str, ...] = ()
    context_tokens: int | None = None
    users_count: int | None = None
    hours_per_day: float | None = None
    utilisation: float | None = None
    horizon_months: float | None = None
    electricity: Money | None = None
    resale: tuple[float, float] | None = None
    host_watts: float | None = None
    currency: str = "USD"
    rates: Mapping[str, float] = field(default_factory=dict)
    prices_file: str = ""
    each_kind_count: int = 3
    rent_for_hours: float | None = None
    devices_count: int | None = None
    devices: tuple[str, ...] = ()
    transfer_bytes_per_s: float | None = None
    is_frontier: bool = False
    is_drawn: bool = False
    offline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The numbers behind every cost; `says` tells each with its source."""

    exchange: Exchange
    hours: float
    months: float
    resale: tuple[float, float]
    price_per_kwh: float | None
    host_watts: float
    transfer_bytes_per_s: float
    says: tuple[Assumption, ...]


def asked_of(question: ScaleQuestion) -> dict[str, object]:
    """The fields that say something, as JSON holds them."""
    out: dict[str, object] = {}
    for name in (f.name for f in fields(question)):
        value = getattr(question, name)
        if value in (None, "", (), {}, False):
            continue
        if isinstance(value, Money):
            value = f"{format_money(value.amount, value.currency)}/{value.per}"
        out[name] = dict(value) if isinstance(value, Mapping) else value
    return out


def check(question: ScaleQuestion) -> None:
    """Refuse what contradicts itself or cannot be."""
    if not question.models:
        raise BadSetting("no model is named", hint="--for gpt-oss-120b")
    if question.hours_per_day is not None and question.utilisation is not None:
        raise BadSetting("hours per day and utilisation say the same", hint="use one of them")
    limits = (
        ("--hours-per-day", question.hours_per_day, 24.0), ("--utilisation", question.utilisation, 1.0),
        ("--horizon", question.horizon_months, float(_MOST_MONTHS)),
    )  # fmt: skip
    for flag, value, most in limits:
        if value is not None and not (math.isfinite(value) and 0 < value <= most):
            raise BadSetting(f"{flag} {value:g}: above 0 and at most {most:g}", hint=f"{flag} {most / 3:.2g}")
    if question.others and question.rent_for_hours:
        raise BadSetting("--with does not go with --rent-for", hint="leave one of them out")
    if question.devices_count and not question.rent_for_hours:
        raise BadSetting("--count says how many cards to rent for a while", hint="--rent-for 1week --count 4")


def plan_question(question: ScaleQuestion, model: str, on: str | None, free: int | None) -> PlanQuestion:
    """The same question to `plan`, of one model on one machine."""
    users = question.users_count
    return PlanQuestion(
        models=(model,), on=on, goal="agents" if users and users > 1 else "chat",
        context_tokens=question.context_tokens, users_count=users, offline=question.offline,
        vram_free_bytes=free,
    )  # fmt: skip


def terms_of(question: ScaleQuestion, told: Money | None, assumed: Assumed) -> Terms:
    """Every number that costs rest on; `told` is the electricity of the user's prices file."""
    exchange = Exchange(currency=question.currency, rates=question.rates)
    hours, work = _hours(question, assumed)
    months, lifetime = _months(question, assumed)
    resale, back = _resale(question, assumed)
    price, current = _electricity(question.electricity or told, exchange, assumed)
    rate = question.transfer_bytes_per_s or assumed.transfer_bytes_per_s
    says = [work, lifetime, back, current, _host(question), _idle(), *_PURCHASE]
    if question.rent_for_hours:
        says.append(_transfer(question, rate, assumed))
    for code, worth in question.rates.items():
        says.append(Assumption(name="rate", says=f"1 {code} = {worth:g} USD", basis="given", flag="--rate"))
    return Terms(
        exchange=exchange, hours=hours, months=months, resale=resale, price_per_kwh=price,
        host_watts=question.host_watts or 0.0, transfer_bytes_per_s=rate, says=tuple(says),
    )  # fmt: skip


def _hours(question: ScaleQuestion, assumed: Assumed) -> tuple[float, Assumption]:
    if question.utilisation is not None:
        hours = busy_hours(question.utilisation)
        says = f"{question.utilisation:.0%} of {_MONTH_HOURS:g} hours a month: {hours:.0f} hours"
        return hours, Assumption(name="work", says=says, basis="given", flag="--utilisation")
    each = question.hours_per_day if question.hours_per_day is not None else assumed.hours_per_day
    hours = month_hours(each)
    says = f"{each:g} hours a day in which it generates all the time: {hours:.0f} hours a month"
    basis = "assumed" if question.hours_per_day is None else "given"
    return hours, Assumption(name="work", says=says, basis=basis, flag="--hours-per-day")  # type: ignore[arg-type]


def _months(question: ScaleQuestion, assumed: Assumed) -> tuple[float, Assumption]:
    if question.horizon_months is not None:
        months = question.horizon_months
        says = f"{months:g} months of use"
        return months, Assumption(name="lifetime", says=says, basis="given", flag="--horizon")
    table, months = assumed.tables["lifetime"], assumed.lifetime_months
    says = f"{months:g} months of use: {table['says']}"
    return months, Assumption(
        name="lifetime", says=says, basis="assumed", flag="--horizon", source=table.get("source", "")
    )


def _resale(question: ScaleQuestion, assumed: Assumed) -> tuple[tuple[float, float], Assumption]:
    if question.resale is not None:
        low, high = question.resale
        says = f"{low:.0%}" if low == high else f"{low:.0%} to {high:.0%}"
        says = f"{says} of the price comes back at the end"
        return question.resale, Assumption(name="resale", says=says, basis="given", flag="--resale")
    table, share = assumed.tables["resale"], assumed.resale_share
    return (share, share), Assumption(
        name="resale", says=table["says"], basis="assumed", flag="--resale", source=table.get("source", "")
    )


def _electricity(told: Money | None, exchange: Exchange, assumed: Assumed) -> tuple[float | None, Assumption]:
    """Per kWh in the answer's currency. The catalog's assumption is left out where it cannot be converted."""
    if told is not None:
        price = exchange.into(told.amount, told.currency, "electricity")
        says = f"{format_money(price, exchange.currency)} per kWh"
        return price, Assumption(name="electricity", says=says, basis="given", flag="--electricity")
    table, currency = assumed.tables["electricity"], assumed.electricity_currency
    if not exchange.knows(currency):
        says = f"not counted: the average that would be assumed is in {currency}"
        return None, Assumption(name="electricity", says=says, basis="assumed", flag="--electricity")
    price = exchange.into(assumed.electricity_price, currency, "electricity")
    return price, Assumption(
        name="electricity", says=f"{format_money(price, exchange.currency)} per kWh, {table['says']}",
        basis="catalog", flag="--electricity", source=table["source"], date=str(table["date"]),
    )  # fmt: skip


def _host(question: ScaleQuestion) -> Assumption:
    if question.host_watts:
        says = f"{question.host_watts:g} W for the machine around the cards, beside the cards' power limit"
        return Assumption(name="power", says=says, basis="given", flag="--host-watts")
    says = "cards and processors at their power limit while at work; the machine around them is not counted"
    return Assumption(name="power", says=says, basis="assumed", flag="--host-watts")


_PURCHASE = (
    Assumption(
        name="what is there", says="is paid for: only its electricity counts", basis="assumed",
        flag="--prices",
    ),
    Assumption(
        name="purchase", says="cards alone, without slots, cables and power supplies", basis="assumed",
        flag="--prices",
    ),
)  # fmt: skip


def _idle() -> Assumption:
    says = "bought machines are off when they do not work, rented ones given back"
    return Assumption(name="idle", says=says, basis="assumed", flag="--hours-per-day")


def _transfer(question: ScaleQuestion, rate: float, assumed: Assumed) -> Assumption:
    is_given = question.transfer_bytes_per_s is not None
    says = f"weights arrive at {format_count(round(rate / 1e6))} MB/s"
    if not is_given:
        says = f"{says}: {assumed.tables['transfer']['says']}"
    return Assumption(
        name="transfer", says=f"{says}; paid like work", basis="given" if is_given else "assumed",
        flag="--download",
    )  # fmt: skip
