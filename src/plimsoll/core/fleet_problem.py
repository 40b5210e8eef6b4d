"""From a fleet file, its machines and the ways of each role to the whole numbers of `core.fleet`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from plimsoll.core.fleet import TIGHT_SHARE, Option, Place, Problem, Site, Task
from plimsoll.domain.bill import HOST
from plimsoll.domain.fleet import Fleet, FleetMachine, FleetRole, Way
from plimsoll.domain.machine import Machine
from plimsoll.formulas.cost import electricity_of_hours, hourly, rent_of_hours
from plimsoll.units import MIB, Money

_MICRO = 10**6
_MONTH_HOURS = 730


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """One single machine: 'box', or 'box#2' of several alike."""

    name: str
    told: FleetMachine
    machine: Machine
    rent: Money | None = None
    electricity: Money | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Yard:
    """A problem with what its numbers stand for: options to ways on stands, places to devices of stands."""

    fleet: Fleet
    stands: tuple[Stand, ...]
    places: tuple[tuple[int, str], ...]
    ways: tuple[tuple[Way, int], ...]
    problem: Problem


def stands_of(
    fleet: Fleet, machines: Mapping[str, Machine], rents: Mapping[str, Money | None]
) -> tuple[Stand, ...]:
    """Each machine as often as there are of it. A rented one pays no electricity unless it is told."""
    return tuple(
        Stand(
            name=told.name if number == 0 else f"{told.name}#{number + 1}", told=told,
            machine=machines[told.name], rent=rents.get(told.name),
            electricity=told.electricity or (None if told.is_rented else fleet.electricity),
        )
        for told in fleet.machines
        for number in range(told.count)
    )  # fmt: skip


def why_not(role: FleetRole, told: FleetMachine) -> str:
    """Why a role may not lie on a machine at all, or ''."""
    if role.machines and told.name not in role.machines:
        return f"{told.name}: not one of the machines it may be on"
    if role.is_private and not told.is_in_house:
        return f"{told.name}: it must not leave the house"
    if role.hours and role.hours > told.hours:
        return f"{told.name}: runs {told.hours} hours a month, and it needs {role.hours}"
    return ""


def build(
    fleet: Fleet, stands: Sequence[Stand], ways: Mapping[tuple[str, str], Sequence[Way]],
    twins: Mapping[str, Sequence[tuple[str, ...]]], least: Mapping[str, int] | None = None,
) -> Yard:  # fmt: skip
    """The problem of placing the roles; `ways` by role and machine, `twins` the alike devices of a machine.

    A way that costs more than its role may is left out. `least` are copies that must be placed.
    """
    places = [(s, p) for s, stand in enumerate(stands) for p in _places(stand.machine)]
    numbers = {key: i for i, key in enumerate(places)}
    roles = {r.name: i for i, r in enumerate(fleet.roles)}
    kinds = [m.name for m in fleet.machines]
    problem_places = tuple(_place(stands[s], s, p) for s, p in places)
    sites = tuple(_site(stand, kinds.index(stand.told.name)) for stand in stands)
    chosen: list[tuple[Way, int]] = []
    options: list[Option] = []
    for role in fleet.roles:
        for s, stand in enumerate(stands):
            for way in ways.get((role.name, stand.told.name), ()):
                option = _option(role, roles[role.name], way, s, stand, numbers)
                if not _is_too_dear(role, option, sites[s], problem_places):
                    options.append(option)
                    chosen.append((way, s))
    groups = [
        tuple(numbers[s, d] for d in group)
        for s, stand in enumerate(stands)
        for group in twins.get(stand.told.name, ())
    ]
    problem = Problem(
        tasks=tuple(_task(fleet, role, roles, (least or {}).get(role.name, 0)) for role in fleet.roles),
        sites=sites, places=problem_places, options=tuple(options), twins=tuple(groups),
        budget=None if fleet.budget is None else math.floor(fleet.budget.amount * _MICRO),
    )  # fmt: skip
    return Yard(fleet=fleet, stands=tuple(stands), places=tuple(places), ways=tuple(chosen), problem=problem)


def _places(machine: Machine) -> list[str]:
    """The devices, and host memory where it was told."""
    return [*(d.id for d in machine.devices), *([HOST] if machine.ram_bytes is not None else [])]


def size_of(machine: Machine, place: str) -> tuple[int, int]:
    """(capacity, what others hold of it) in bytes; of unified memory what they hold of the device too."""
    if place == HOST:
        unified = sum(d.reserved_bytes for d in machine.devices if d.is_unified)
        return machine.ram_bytes or 0, machine.ram_reserved_bytes + unified
    device = next(d for d in machine.devices if d.id == place)
    return device.memory_bytes, device.reserved_bytes


def _place(stand: Stand, site: int, place: str) -> Place:
    capacity, reserved = size_of(stand.machine, place)
    certain = math.floor((1 - TIGHT_SHARE) * capacity) - reserved
    return Place(
        site=site, capacity=max(capacity - reserved, 0) // MIB, certain=max(certain, 0) // MIB,
        power_rate=_power_rate(stand, place),
    )  # fmt: skip


def watts_of(stand: Stand, place: str) -> int | None:
    """What a device draws at most; None where nobody told, or the whole machine's watts stand for it."""
    if stand.told.watts is not None:
        return None
    return next((d.power_limit_watts for d in stand.machine.devices if d.id == place), None)


def _power_rate(stand: Stand, place: str) -> int:
    watts = watts_of(stand, place)
    if watts is None or stand.electricity is None:
        return 0
    return round(_MICRO * electricity_of_hours(watts, stand.told.busy_share, 1, stand.electricity.amount))


def _site(stand: Stand, kind: int) -> Site:
    """Rent by the hour for hours of use; by the day, month or year for the whole month."""
    hour = month = 0.0
    if stand.rent:
        rate = hourly(stand.rent.amount, stand.rent.per)
        if stand.rent.per == "hour":
            hour = rent_of_hours(rate, 1)
        else:
            month = rent_of_hours(rate, _MONTH_HOURS)
    if stand.electricity and stand.told.watts:
        watts, share = stand.told.watts, stand.told.busy_share
        hour += electricity_of_hours(watts, share, 1, stand.electricity.amount)
    return Site(kind=kind, hour_rate=round(_MICRO * hour), month_rate=round(_MICRO * month))


def _task(fleet: Fleet, role: FleetRole, roles: Mapping[str, int], least: int) -> Task:
    apart, together, needs = (
        tuple(roles[r] for r in names) for names in (role.apart_from, role.together_with, role.needs)
    )
    return Task(
        replicas=role.replicas, least=least, priority=_priority(fleet, role),
        busy=max(1, round(1000 * role.busy_share)), has_wish=role.has_wish, apart=apart, together=together,
        needs=needs,
    )  # fmt: skip


def _priority(fleet: Fleet, role: FleetRole) -> int:
    """The weightiest of its own and of those that need it, directly or not."""
    found = {role.name}
    while True:
        more = {r.name for r in fleet.roles if found & {*r.needs, *r.together_with}} | found
        if more == found:
            return min(r.priority for r in fleet.roles if r.name in found)
        found = more


def _option(
    role: FleetRole, task: int, way: Way, site: int, stand: Stand, numbers: Mapping[tuple[int, str], int]
) -> Option:
    works_on = [*way.devices, *([HOST] if way.offload or not way.devices else [])]
    slack, shortfall = wish_of(role, way)
    return Option(
        task=task, site=site, computes=tuple(numbers[site, p] for p in works_on if (site, p) in numbers),
        needs=_sizes(way.needs, site, numbers), high=_sizes(way.high_needs, site, numbers),
        hours=role.hours or stand.told.hours, rank=way.rank, slack=slack, shortfall=shortfall,
        is_alone=way.is_alone,
    )  # fmt: skip


def _sizes(needs: Mapping[str, int], site: int, numbers: Mapping[tuple[int, str], int]) -> dict[int, int]:
    """MiB by place, rounded up; host memory that nobody told has no place and is not counted."""
    return {numbers[site, p]: -(-n // MIB) for p, n in needs.items() if (site, p) in numbers and n > 0}


def wish_of(role: FleetRole, way: Way) -> tuple[int, int]:
    """(how many thousandths others may be busy before a wish is missed, what is missing alone).

    What is wished is compared with the stated speed. An unknown speed counts as none.
    """
    if not role.has_wish:
        return 0, 0
    shares = []
    if role.min_tokens_per_s is not None:
        shares.append(way.speed.value / role.min_tokens_per_s if way.speed else 0.0)
    if role.max_first_token_s is not None:
        shares.append(role.max_first_token_s / way.first_token.value if way.first_token else 0.0)
    share = min(shares)
    return math.floor(1000 * (share - 1)) if share >= 1 else -1, max(0, math.ceil(1000 * (1 - share)))


def _is_too_dear(role: FleetRole, option: Option, site: Site, places: Sequence[Place]) -> bool:
    """Whether the machine, for this role alone, costs more in a month than the role may."""
    if role.max_price is None:
        return False
    power = sum(places[p].power_rate for p in option.computes)
    cost = option.hours * (site.hour_rate + power) + site.month_rate
    return cost > role.max_price.amount * _MICRO
