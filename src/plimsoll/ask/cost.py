"""Which prices apply to a machine, and what tokens cost at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from plimsoll.catalog import devices as catalog
from plimsoll.catalog import prices as shipped
from plimsoll.core import cost as core
from plimsoll.domain.deployment import Deployment
from plimsoll.domain.machine import Device
from plimsoll.domain.price import Price
from plimsoll.domain.speed import Speed
from plimsoll.domain.speed_answer import Cost
from plimsoll.edges.clock import today
from plimsoll.errors import BadSetting
from plimsoll.formulas.cost import hourly
from plimsoll.units import Money, format_money

# After so many months a price is called old.
_OLD_MONTHS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """What the tokens cost, the prices behind it, and what must be said about them."""

    costs: tuple[Cost, ...] = ()
    prices: tuple[Price, ...] = ()
    notes: tuple[str, ...] = ()


def priced(
    deployment: Deployment,
    speeds: Sequence[Speed],
    *,
    rent: Money | None,
    electricity: Money | None,
    file: str,
    watts: float | None,
) -> Priced:
    """Costs at the user's prices, else at the newest dated rent of the catalog.

    `file` is the path of a prices file, or ''. Raises CatalogError, BadSetting, UnknownDevice, NotFound.
    """
    own, told = own_prices(file) if file else ((), None)
    electricity = electricity or told
    notes: list[str] = []
    used: tuple[Price, ...] = ()
    if rent is not None:
        rent = Money(amount=hourly(rent.amount, rent.per), currency=rent.currency, per="hour")
        notes.append(f"rent: {format_money(rent.amount, rent.currency)} per hour, as given")
    else:
        rent, used, why = rent_of(deployment.used_devices, own)
        notes += why
    costs = list(core.rent_costs(speeds, rent)) if rent else []
    if electricity and watts:
        costs += core.electricity_costs(speeds, electricity, watts)
        notes.append(
            f"electricity: at most, for cards drawing {watts:,.0f} W; the rest of the machine is extra"
        )
    elif electricity:
        notes.append("electricity: the power limit of this machine is not known (--power WATTS)")
    return Priced(costs=tuple(costs), prices=used, notes=tuple(notes))


def own_prices(path: str) -> tuple[tuple[Price, ...], Money | None]:
    """The prices and the electricity price of the user's file."""
    from plimsoll.edges.local_file import read_small_text
    from plimsoll.parse.prices_file import parse

    found = parse(read_small_text(path), where=path)
    return tuple(replace(p, device=catalog.find(p.device).id) for p in found.prices), found.electricity


def rent_of(
    devices: Sequence[Device], own: tuple[Price, ...]
) -> tuple[Money | None, tuple[Price, ...], list[str]]:
    """The rent of the devices per hour, the prices it is made of, and what to say about them."""
    counts: dict[str, int] = {}
    for device in devices:
        counts[device.catalog_id] = counts.get(device.catalog_id, 0) + 1
    prices = shipped.with_own(own, shipped.load())
    total, used, notes = 0.0, [], []
    for device_id, count in counts.items():
        found = shipped.rents_of(prices, device_id, count)
        quoted = [p for p in found if p.date or p in own]
        if not quoted:
            notes = [f"rent: the prices of {device_id} in the catalog have no date; --rent PRICE/h"]
            return None, (), notes if found else []
        price = quoted[0]
        total += price.price * (count if price.devices_count == 1 else 1)
        used.append(price)
        notes += _said(price, count, quoted)
    currencies = {p.currency for p in used}
    if len(currencies) > 1:
        raise BadSetting(
            f"the rents of these cards are in {' and '.join(sorted(currencies))}; nothing is converted",
            hint="give one rent for the machine: --rent 1.50USD/h",
        )
    rent = Money(amount=total, currency=currencies.pop(), per="hour") if used else None
    return rent, tuple(used), notes


def _said(price: Price, count: int, others: Sequence[Price]) -> list[str]:
    whose = ", ".join(filter(None, (price.provider, price.tier, price.date, price.note))) or price.source
    each = f"{count}x " if count > 1 else ""
    amount = format_money(price.price, price.currency)
    of_each = " each" if count > 1 and price.devices_count == 1 else ""
    notes = [f"rent: {each}{price.device} at {amount} per hour{of_each} ({whose}); others: --rent PRICE/h"]
    single = [
        p.price for p in others if p.currency == price.currency and p.devices_count == price.devices_count
    ]
    if len(single) > 1:
        low, high = (f"{v:.2f}" for v in (min(single), max(single)))
        notes[0] = f"{notes[0]} ({len(single)} in the catalog, {low} … {high})"
    if price.date and _months(today()) - _months(price.date) > _OLD_MONTHS:
        notes.append(f"the rent of {price.device} is of {price.date}, more than {_OLD_MONTHS} months old")
    return notes


def _months(date: str) -> int:
    """Months since the year 0; a year alone counts as its January."""
    year, _, rest = date.partition("-")
    return 12 * int(year) + int(rest[:2] or 1)
