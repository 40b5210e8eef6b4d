"""Which role goes on which machine, what it costs, what is missing, and what the room left could hold?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from plimsoll import __version__
from plimsoll.ask import machine as machines
from plimsoll.ask.cost import rent_of
from plimsoll.ask.fit import named_runtime, spelled
from plimsoll.ask.fleet_room import missing, spare
from plimsoll.ask.fleet_ways import Ways, alike, question_of
from plimsoll.ask.plan_question import flags_of
from plimsoll.core import fleet_decode, fleet_solver
from plimsoll.core.fleet_problem import Stand, Yard, build, stands_of, why_not
from plimsoll.core.fleet_solver import Solution
from plimsoll.domain.fleet import (
    Fleet,
    FleetAnswer,
    FleetMachine,
    MachineCost,
    Missing,
    Placement,
    Verdict,
    Way,
)
from plimsoll.domain.machine import Machine
from plimsoll.domain.origin import Source
from plimsoll.edges.local_file import read_small_text
from plimsoll.errors import PlimsollError
from plimsoll.parse import fleet_file
from plimsoll.units import Money, format_count, format_money

EFFORT = fleet_solver.EFFORT


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetQuestion:
    """A fleet file by its path. `effort` bounds the search for the optimum, the same on every machine."""

    file: str
    effort: float = EFFORT
    offline: bool = False


def fleet(question: FleetQuestion) -> FleetAnswer:
    """Place the roles of a file; errors are typed (`plimsoll.errors`), 'no' and 'unknown' are answers."""
    told = fleet_file.parse(read_small_text(question.file), where=question.file)
    found = Ways(offline=question.offline)
    resolved = {m.name: _resolved(m) for m in told.machines}
    rents, notes = _rents(told, resolved)
    stands = stands_of(told, resolved, rents)
    ways = ways_of(found, told, resolved)
    yard = build(told, stands, ways, {name: alike(m.devices) for name, m in resolved.items()})
    solution = fleet_solver.solve(yard.problem, effort=question.effort)
    placed = fleet_decode.placements(yard, solution.chosen)
    placed = tuple(replace(p, launch=_launch(p, yard)) for p in placed)
    costs = fleet_decode.costs(yard, placed)
    lacking = missing(found, yard, ways, placed, question.effort)
    verdict, reason = _verdict(told, placed, lacking)
    uses = fleet_decode.place_uses(yard, placed)
    room = spare(found, yard, placed)
    said = (*_of_used(notes, costs), *_notes(yard, solution, placed, costs))
    return FleetAnswer(
        question="fleet", asked={"file": question.file, "effort": question.effort}, verdict=verdict,
        reason=reason, placements=placed, places=uses, costs=costs,
        cost_per_month=sum(e.value for c in costs for e in (c.rent, c.electricity) if e),
        currency=told.currency or _currency(rents), missing=lacking, spare=room,
        stages=solution.stages, ways_count=len(yard.ways), left_out=_left_out(found),
        notes=said, unknowns=_unknowns(yard, placed, costs),
        sources=_sources(placed), versions={"plimsoll": __version__},
    )  # fmt: skip


def _resolved(told: FleetMachine) -> Machine:
    """The machine of a description; its errors say whose it is."""
    with _naming(told.name):
        return machines.resolve(told.spec)


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Errors inside say which machine or role of the file they are about."""
    try:
        yield
    except PlimsollError as error:
        error.message = f"{name}: {error.message}"
        error.args = (error.message,)
        raise


def _rents(
    told: Fleet, resolved: Mapping[str, Machine]
) -> tuple[dict[str, Money | None], dict[str, list[str]]]:
    """The rent of each machine: as told, or the newest dated one of the catalog in the fleet's currency."""
    rents: dict[str, Money | None] = {}
    notes: dict[str, list[str]] = {}
    for m in told.machines:
        rents[m.name] = m.rent
        if m.rent or not m.is_rented:
            continue
        rent, _, said = rent_of(resolved[m.name].devices, ())
        notes[m.name] = [note.replace("--rent PRICE/h", "rent = PRICE/h") for note in said]
        if rent and told.currency and rent.currency != told.currency:
            rate = told.rates.get(rent.currency)
            if rate is None:
                notes[m.name].append(f"it is in {rent.currency}: give a rate in [rates]")
            rent = replace(rent, amount=rent.amount * rate, currency=told.currency) if rate else None
        rents[m.name] = rent
    return rents, notes


def _of_used(notes: Mapping[str, Sequence[str]], costs: Sequence[MachineCost]) -> list[str]:
    """What is to be said about the rents of the machines in use."""
    used = {c.machine.partition("#")[0] for c in costs if c.is_used}
    return [f"{name}: {note}" for name, each in notes.items() if name in used for note in each]


def _currency(rents: Mapping[str, Money | None]) -> str:
    return next((r.currency for r in rents.values() if r), "")


def ways_of(found: Ways, told: Fleet, resolved: Mapping[str, Machine]) -> dict[tuple[str, str], list[Way]]:
    """The ways of each role on each machine that it may lie on."""
    out: dict[tuple[str, str], list[Way]] = {}
    for role in told.roles:
        with _naming(role.name):
            named_runtime(role.runtime)
            for m in told.machines:
                if why := why_not(role, m):
                    found.leave_out(role.name, why)
                else:
                    out[role.name, m.name] = found.of(role, resolved[m.name], m.name)
            found.check(role)
    return out


def _verdict(told: Fleet, placed: Sequence[Placement], lacking: Sequence[Missing]) -> tuple[Verdict, str]:
    wanted = sum(r.replicas for r in told.roles)
    if lacking:
        names = ", ".join(m.role for m in lacking)
        return "partly", f"{len(placed)} of {wanted} placed; no place for {names}"
    missed = [p.way.role for p in placed if p.wish == "missed"]
    if missed:
        return "slower", f"all placed; slower than asked: {', '.join(dict.fromkeys(missed))}"
    unknown = [p.way.role for p in placed if p.wish == "unknown"]
    if unknown:
        return "unknown", f"all placed; how fast is not known: {', '.join(dict.fromkeys(unknown))}"
    return "placed", "every role has a place"


def _launch(placement: Placement, yard: Yard) -> str:
    """What to type for `plimsoll launch`, with the cards it may see; '' where no model was told."""
    way = placement.way
    if not way.deployments:
        return ""
    role = next(r for r in yard.fleet.roles if r.name == way.role)
    stand = next(s for s in yard.stands if s.name == way.machine)
    deployment = way.deployments[0]
    asked = question_of(role, deployment.model.id, spelled(way.runtime), deployment.weight_format)
    settings = {"gpu_memory_utilization": way.claim_share} if way.claim_share else {}
    told = replace(
        asked, on=_spec(stand, way), settings=settings,
        gpu_layers_count=deployment.offload.gpu_layers_count,
        cpu_expert_layers_count=deployment.offload.cpu_expert_layers_count or None,
    )  # fmt: skip
    seen = ""
    if deployment.machine.devices and len(way.devices) < len(stand.machine.devices):
        name = {"cuda": "CUDA_VISIBLE_DEVICES", "rocm": "HIP_VISIBLE_DEVICES"}
        variable = name.get(deployment.machine.devices[0].backend, "")
        seen = f"{variable}={','.join(d.removeprefix('gpu') for d in way.devices)} " if variable else ""
    return f"{seen}plimsoll launch {flags_of(told)}"


def _spec(stand: Stand, way: Way) -> str:
    """The machine's description where the way uses all its devices, else one of those alone."""
    used = way.deployments[0].machine
    if len(used.devices) == len(stand.machine.devices) or not used.devices:
        return stand.told.spec
    names = {d.catalog_id for d in used.devices}
    if len(names) != 1 or not min(names):
        return stand.told.spec
    cards = f"{len(used.devices)}x {min(names)}" if len(used.devices) > 1 else min(names)
    return f"{cards} + {used.ram_bytes // 2**20}MiB ram" if used.ram_bytes else cards


def _notes(
    yard: Yard, solution: Solution, placed: Sequence[Placement], costs: Sequence[MachineCost]
) -> list[str]:
    notes = [note for p in placed for note in p.way.notes]
    if any(p.neighbours and p.way.speed for p in placed):
        notes.append(
            "beside others: tokens/s alone / (1 + the shares of time in which the others on the same device "
            "compute), as it gives processes their turns; at worst all of them compute at once"
        )
    notes += _fastest(yard, placed)
    if any(c.electricity for c in costs):
        notes.append(
            "electricity: of the cards at their power limit (or the watts told) for the busy share of the "
            "hours; what is drawn while idle is extra"
        )
    if any(not p.way.model for p in placed):
        notes.append(
            "of roles whose memory was told the speed is not known, nor whether the memory is enough"
        )
    for stage in solution.stages:
        if not stage.is_proven:
            reached, bound = (_reached(yard, stage.aim, x) for x in (stage.value, stage.bound))
            notes.append(f"{stage.aim}: reached {reached}, no better than {bound} is possible; try --effort")
    return list(dict.fromkeys(notes))


def _fastest(yard: Yard, placed: Sequence[Placement]) -> list[str]:
    """Of each role that is slower than asked, its fastest way and where."""
    out = []
    for p in placed:
        if p.wish != "missed":
            continue
        role = next(r for r in yard.fleet.roles if r.name == p.way.role)
        ways = [(w, s) for w, s in yard.ways if w.role == role.name and w.speed]
        if not ways or not role.min_tokens_per_s:
            continue
        best, site = max(ways, key=lambda x: x[0].speed.value if x[0].speed else 0.0)
        reached = f"{best.speed.value:.3g}" if best.speed else ""
        where = f"{yard.stands[site].name} {best.where}"
        out.append(
            f"{role.name}: {role.min_tokens_per_s:g} tokens/s asked; its fastest way reaches {reached} alone "
            f"({best.model} in {best.weight_format} on {where})"
        )
    return out


def _reached(yard: Yard, aim: str, value: float) -> str:
    if aim == "cost":
        return format_money(value / 1e6, yard.fleet.currency) if value else f"0 {yard.fleet.currency}"
    return format_count(round(value))


def _unknowns(yard: Yard, placed: Iterable[Placement], costs: Iterable[MachineCost]) -> tuple[str, ...]:
    speeds = [f"{p.way.role}: {p.way.speed_reason}" for p in placed if p.way.speed_reason and p.way.model]
    prices = [f"{c.machine}: {c.note}" for c in costs if c.note]
    untold = [
        f"{m.name}: how much memory it has was not told: add it, such as '+ 256GiB ram'"
        for s in yard.stands
        for m in (s.told,)
        if not s.machine.devices and s.machine.ram_bytes is None
    ]
    return tuple(dict.fromkeys((*untold, *speeds, *prices)))


def _left_out(found: Ways) -> tuple[str, ...]:
    return tuple(
        f"{role}: {format_count(count)} x {reason}"
        for role, reasons in found.left_out.items()
        for reason, count in sorted(reasons.items(), key=lambda x: -x[1])
    )


def _sources(placed: Iterable[Placement]) -> tuple[Source, ...]:
    told = (s for p in placed for d in p.way.deployments for s in (*d.model.sources, *d.machine.sources))
    return tuple(dict.fromkeys(told))
