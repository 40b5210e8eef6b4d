"""From the chosen options back to placements, devices and money."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from plimsoll.core.fleet import Option, is_met, others_busy
from plimsoll.core.fleet_problem import Stand, Yard, size_of, watts_of
from plimsoll.domain.bill import HOST
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.fleet import FleetRole, MachineCost, Part, Placement, PlaceUse, Way, WishState
from plimsoll.formulas.cost import electricity_of_hours, hourly, rent_of_hours

_MONTH_HOURS = 730


def placements(yard: Yard, chosen: Sequence[int]) -> tuple[Placement, ...]:
    """Each chosen way with its neighbours, its wish and its speed beside them; in the order of the roles."""
    options = [yard.problem.options[i] for i in chosen]
    roles = {r.name: r for r in yard.fleet.roles}
    seen: dict[str, int] = {}
    out = []
    for number, option in zip(chosen, options, strict=True):
        way, stand = yard.ways[number]
        way = replace(way, machine=yard.stands[stand].name)
        seen[way.role] = seen.get(way.role, 0) + 1
        beside = [o for o in options if o.task != option.task and set(o.computes) & set(option.computes)]
        busy = others_busy(yard.problem, options, option) / 1000
        names = tuple(dict.fromkeys(yard.fleet.roles[o.task].name for o in beside))
        out.append(
            Placement(
                way=way, copy=seen[way.role], wish=_wish(yard, roles[way.role], way, options, option),
                others_busy=busy, neighbours=names, shared_speed=slowed(way.speed, busy),
                slowest_speed=slowed(way.speed, _most_beside(options, option)),
            )
        )  # fmt: skip
    return tuple(sorted(out, key=lambda p: list(roles).index(p.way.role)))


def _most_beside(options: Sequence[Option], option: Option) -> int:
    """The most other roles on one of its places."""
    each = (sum(o.task != option.task and p in o.computes for o in options) for p in option.computes)
    return max(each, default=0)


def _wish(yard: Yard, role: FleetRole, way: Way, options: Sequence[Option], option: Option) -> WishState:
    if not role.has_wish:
        return "none"
    if is_met(yard.problem, options, option):
        return "met"
    is_unknown = (role.min_tokens_per_s is not None and way.speed is None) or (
        role.max_first_token_s is not None and way.first_token is None
    )
    return "unknown" if is_unknown else "missed"


def slowed(speed: Estimate | None, others: float) -> Estimate | None:
    """Tokens/s / (1 + others at work): a device runs one process at a time and gives each its turn."""
    if speed is None or not others:
        return speed
    factor = 1 + others
    return replace(
        speed, value=speed.value / factor, low=speed.low / factor, high=speed.high / factor,
        formula="core.fleet_decode:slowed", inputs={**speed.inputs, "others": others},
    )  # fmt: skip


def place_uses(yard: Yard, placed: Sequence[Placement]) -> tuple[PlaceUse, ...]:
    """Every device, and host memory where a role holds some or there is no device, with what lies there."""
    out = []
    for site, place in yard.places:
        stand = yard.stands[site]
        capacity, reserved = size_of(stand.machine, place)
        parts = [
            Part(
                role=p.way.role,
                size_bytes=p.way.needs.get(place, 0),
                high_bytes=p.way.high_needs.get(place, 0),
            )
            for p in placed
            if p.way.machine == stand.name and p.way.needs.get(place, 0)
        ]
        if place == HOST and stand.machine.devices and not parts:
            continue
        name = next((d.name for d in stand.machine.devices if d.id == place), "host memory")
        out.append(
            PlaceUse(
                machine=stand.name, place=place, name=name, capacity_bytes=capacity, reserved_bytes=reserved,
                parts=tuple(parts),
            )
        )  # fmt: skip
    return tuple(out)


def costs(yard: Yard, placed: Sequence[Placement]) -> tuple[MachineCost, ...]:
    """Rent and electricity of each machine in a month."""
    roles = {r.name: r for r in yard.fleet.roles}
    out = []
    for stand in yard.stands:
        here = [p for p in placed if p.way.machine == stand.name]
        hours = max((roles[p.way.role].hours or stand.told.hours for p in here), default=0)
        out.append(
            MachineCost(
                machine=stand.name, hours=hours, is_used=bool(here), rent=_rent(stand, hours),
                electricity=_electricity(stand, here, roles), note=_unpriced(stand, here),
            )
        )  # fmt: skip
    return tuple(out)


def _money(quantity: str, currency: str, value: float, formula: str, inputs: dict[str, object]) -> Estimate:
    return Estimate(
        quantity=quantity, unit=f"{currency} per month", value=value, low=value, high=value, basis="reported",
        formula=formula, inputs=inputs,
    )  # fmt: skip


def _rent(stand: Stand, hours: int) -> Estimate | None:
    if stand.rent is None or not hours:
        return None
    rate = hourly(stand.rent.amount, stand.rent.per)
    paid = hours if stand.rent.per == "hour" else _MONTH_HOURS
    inputs: dict[str, object] = {"rent_per_hour": rate, "hours": paid}
    value = rent_of_hours(rate, paid)
    return _money("rent", stand.rent.currency, value, "formulas.cost:rent_of_hours", inputs)


def _electricity(stand: Stand, here: Sequence[Placement], roles: dict[str, FleetRole]) -> Estimate | None:
    """Of the whole machine where its watts were told, else of the cards at work."""
    if stand.electricity is None or not here:
        return None
    price, share, total, drawn = stand.electricity, stand.told.busy_share, 0.0, 0
    draws = {None: stand.told.watts} if stand.told.watts else _draws(stand)
    for place, watts in draws.items():
        on = [p for p in here if place is None or place in p.way.devices]
        hours = max((roles[p.way.role].hours or stand.told.hours for p in on), default=0)
        if watts and hours:
            drawn += watts
            total += electricity_of_hours(watts, share, hours, price.amount)
    inputs: dict[str, object] = {"watts": drawn, "busy_share": share, "price_per_kwh": price.amount}
    formula = "formulas.cost:electricity_of_hours"
    return _money("electricity", price.currency, total, formula, inputs) if drawn else None


def _draws(stand: Stand) -> dict[str | None, int | None]:
    return {d.id: watts_of(stand, d.id) for d in stand.machine.devices}


def _unpriced(stand: Stand, here: Sequence[Placement]) -> str:
    """What is missing in the cost of a machine in use."""
    if not here:
        return ""
    if stand.told.is_rented:
        return "" if stand.rent else "its rent is not known: rent = PRICE/h"
    if stand.electricity is None:
        return ""
    silent = [d.name for d in stand.machine.devices if stand.told.watts is None and not d.power_limit_watts]
    if silent or (stand.told.watts is None and not stand.machine.devices):
        return f"what {silent[0] if silent else 'it'} draws is not known: watts = N"
    return ""
