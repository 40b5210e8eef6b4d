"""What would place a role that found no place, and what the room left on each machine could hold."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from plimsoll.ask import machine as machines
from plimsoll.ask.fleet_ways import PUBLISHED, Ways, alike, needs_of
from plimsoll.catalog import devices as device_catalog
from plimsoll.catalog import models as model_catalog
from plimsoll.catalog import prices
from plimsoll.catalog.names import sizes
from plimsoll.core import fit as core
from plimsoll.core import fleet_solver
from plimsoll.core.fleet import Problem
from plimsoll.core.fleet_problem import Yard, build, size_of, why_not
from plimsoll.domain.bill import HOST
from plimsoll.domain.fleet import Fleet, FleetRole, Missing, Placement, Spare, Way
from plimsoll.errors import AmbiguousName, PlimsollError
from plimsoll.units import GIB, format_bytes, format_money

_LEAST_CONTEXT_TOKENS = 2048
_SHOWN_COUNT = 4
# How many sets of changes are tried where no single one is enough.
_TOGETHER_COUNT = 100
# Smaller formats to try where none of those that were asked for has a place; all of llama.cpp.
_SMALLER = ("q8_0", "q6_k", "q5_k_m", "q4_k_m", "iq4_xs", "q3_k_m", "iq3_xxs", "iq2_m")
# A further model is looked for where this much is left, among so many that are small enough at first sight.
_LEAST_ROOM_BYTES, _TRIED_COUNT, _GUESSED_BYTES_PER_PARAMETER = 2 * GIB, 4, 4.85 / 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """One kind of change to a role (or the fleet), the mildest of the kind first."""

    says: str
    role: FleetRole
    fleet: Fleet


def missing(
    found: Ways, yard: Yard, ways: Mapping[tuple[str, str], Sequence[Way]], placed: Sequence[Placement],
    effort: float,
) -> tuple[Missing, ...]:  # fmt: skip
    """For each role that lacks copies: why, and which single changes would place them without displacing
    any other; the machine to add where none would."""
    counts = {r.name: sum(p.way.role == r.name for p in placed) for r in yard.fleet.roles}
    out = []
    for role in yard.fleet.roles:
        lacking = role.replicas - counts[role.name]
        if lacking:
            changes = _that_place(found, yard, ways, counts, role, effort)
            reason = _reason(found, yard, role, counts, bool(_ways_of(role, ways)))
            out.append(Missing(role=role.name, copies=lacking, reason=reason, changes=changes))
    return tuple(out)


def _ways_of(role: FleetRole, ways: Mapping[tuple[str, str], Sequence[Way]]) -> list[Way]:
    return [way for (name, _), each in ways.items() if name == role.name for way in each]


def _reason(found: Ways, yard: Yard, role: FleetRole, counts: Mapping[str, int], has_ways: bool) -> str:
    without = [n for n in role.needs if not counts[n]]
    if without:
        return f"it needs {' and '.join(without)}, which found no place"
    if not has_ways and role.name in found.nearest_miss:
        return f"it fits nowhere even alone; nearest: {found.nearest_miss[role.name][1]}"
    if not has_ways:
        reasons = sorted(found.left_out.get(role.name, {}).items(), key=lambda x: -x[1])
        return "no way to run it: " + ("; ".join(r for r, _ in reasons[:3]) or "no device for it")
    options = {yard.ways[i][0].role for i in range(len(yard.ways))}
    if role.name not in options:
        return "every machine that holds it costs more than its max_price"
    budget = ", or costs more than the budget leaves" if yard.fleet.budget else ""
    return f"what holds it alone is taken by the others, or is ruled out beside them{budget}"


def _that_place(
    found: Ways, yard: Yard, ways: Mapping[tuple[str, str], Sequence[Way]], counts: Mapping[str, int],
    role: FleetRole, effort: float,
) -> tuple[str, ...]:  # fmt: skip
    """The mildest change of each kind after which one more copy has a place, the others keeping theirs."""
    out: list[str] = []
    for kind in _changes(found, yard.fleet, role):
        for change in kind:
            if _is_placed(found, yard, ways, counts, change, effort):
                out.append(change.says)
                break
        if len(out) == _SHOWN_COUNT:
            break
    machine = _machines_for(found, role)
    if yard.fleet.budget and (budget := _budget(found, yard, ways, counts, role, effort)):
        out.append(budget)
    if not out:
        together = _together(found, yard.fleet, role)
        first = next((c for c in together if _is_placed(found, yard, ways, counts, c, effort)), None)
        out = [first.says] if first else []
    return (*out, *machine) or ("nothing that I know of: not even 8 cards of the largest kind hold it",)


def _is_placed(
    found: Ways, yard: Yard, ways: Mapping[tuple[str, str], Sequence[Way]], counts: Mapping[str, int],
    change: _Change, effort: float,
) -> bool:  # fmt: skip
    """Solve once more with the changed role in the place of the old one."""
    changed = _changed(found, yard, ways, counts, change)
    return changed is not None and fleet_solver.is_possible(changed, effort=effort / 4)


def _changed(
    found: Ways, yard: Yard, ways: Mapping[tuple[str, str], Sequence[Way]], counts: Mapping[str, int],
    change: _Change,
) -> Problem | None:  # fmt: skip
    """The problem with the change, in which one more copy must be placed and no other may be lost."""
    role, told = change.role, change.fleet
    resolved = {s.told.name: s.machine for s in yard.stands}
    anew: dict[tuple[str, str], Sequence[Way]] = dict(ways)
    for m in told.machines:
        refused = why_not(role, m)
        try:
            anew[role.name, m.name] = [] if refused else found.quiet().of(role, resolved[m.name], m.name)
        except PlimsollError:
            return None
    twins = {name: alike(m.devices) for name, m in resolved.items()}
    least = {**counts, role.name: counts[role.name] + 1}
    return build(told, yard.stands, anew, twins, least).problem


def _budget(
    found: Ways, yard: Yard, ways: Mapping[tuple[str, str], Sequence[Way]], counts: Mapping[str, int],
    role: FleetRole, effort: float,
) -> str:  # fmt: skip
    """The budget that one more copy of the role needs, whatever the speeds; '' where that is not why."""
    change = _Change(says="", role=role, fleet=replace(yard.fleet, budget=None))
    changed = _changed(found, yard, ways, counts, change)
    cost = fleet_solver.cheapest(changed, effort=effort / 2) if changed else None
    return "" if cost is None else f"a budget of {format_money(cost / 1e6, yard.fleet.currency)} a month"


def _changes(found: Ways, told: Fleet, role: FleetRole) -> Iterator[list[_Change]]:
    """Kinds of changes, the mildest kind first; within a kind the smallest step first."""

    def of(says: str, **changes: object) -> _Change:
        changed = replace(role, **changes)  # type: ignore[arg-type]
        roles = tuple(changed if r.name == role.name else r for r in told.roles)
        return _Change(says=says, role=changed, fleet=replace(told, roles=roles))

    yield [of(f"weights = {list(more)}", weights=(w,)) for w, more in _smaller_formats(found, role)]
    yield [of(f"context = {n:,} tokens instead of {role.context_tokens:,}", context_tokens=n)
           for n in _halves(role.context_tokens, _LEAST_CONTEXT_TOKENS) if role.models]  # fmt: skip
    yield [of(f"users = {n} instead of {role.users}", users=n) for n in _halves(role.users, 1) if role.models]
    if role.machines:
        yield [of(f"let it lie elsewhere than on {', '.join(role.machines)}", machines=())]
    if role.processor != "any":
        yield [of(f'processor = "any" instead of "{role.processor}"', processor="any")]
    if role.is_alone:
        yield [of("let it share its device (alone = false)", is_alone=False)]
    for key in ("apart_from", "together_with", "needs"):
        if getattr(role, key):
            yield [of(f"without {key} = {list(getattr(role, key))}", **{key: ()})]
    others = [r.name for r in told.roles if role.name in r.apart_from]
    if others:
        roles = tuple(
            replace(r, apart_from=tuple(n for n in r.apart_from if n != role.name)) for r in told.roles
        )
        beside = f"let {', '.join(others)} lie beside it"
        yield [_Change(says=beside, role=role, fleet=replace(told, roles=roles))]
    if role.hours:
        yield [of(f"fewer hours than {role.hours} a month", hours=None)]
    if role.max_price:
        yield [of("without its max_price", max_price=None)]


def _together(found: Ways, told: Fleet, role: FleetRole) -> Iterator[_Change]:
    """Several changes at once, the fewest steps first: smaller formats, halved contexts, one user; anywhere.
    For where no single change is enough."""
    if not role.models:
        return
    formats = [role.weights, *((w,) for w, _ in _smaller_formats(found, role))]
    contexts = [role.context_tokens, *_halves(role.context_tokens, _LEAST_CONTEXT_TOKENS)]
    users = [role.users, *([1] if role.users > 1 else [])]
    steps = itertools.product(range(len(formats)), range(len(contexts)), range(len(users)))
    for i, j, k in sorted(steps, key=lambda x: (sum(x), x))[1:_TOGETHER_COUNT]:
        changed = replace(role, weights=formats[i], context_tokens=contexts[j], users=users[k], machines=())
        said = [f"weights = {formats[i][0]}"] if i else []
        said += [f"context = {contexts[j]:,} tokens"] if j else []
        said += [f"users = {users[k]}"] if k else []
        said += ["anywhere"] if role.machines else []
        roles = tuple(changed if r.name == role.name else r for r in told.roles)
        yield _Change(says=" and ".join(said), role=changed, fleet=replace(told, roles=roles))


def _smaller_formats(found: Ways, role: FleetRole) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Formats smaller than the last accepted one, one at a time, with what to write."""
    if not role.models:
        return
    asked = found.weights(role, role.models[0])
    for weights in _SMALLER:
        after = _SMALLER.index(asked[-1]) if asked[-1] in _SMALLER else -1
        if weights not in asked and _SMALLER.index(weights) > after:
            yield weights, (*(w or PUBLISHED for w in asked), weights)


def _halves(count: int, least: int) -> Iterator[int]:
    while count // 2 >= least:
        count //= 2
        yield count


def _machines_for(found: Ways, role: FleetRole) -> tuple[str, ...]:
    """The smallest card with a price in the catalog that holds the role as asked; several where none does."""
    wanted = replace(role, processor="gpu", machines=())
    for count in (1, 2, 4, 8):
        for device in _cards():
            spec = f"{count}x {device}" if count > 1 else device
            machine = machines.resolve(spec)
            if found.quiet(may_offload=False).of(wanted, machine, spec):
                size = format_bytes(sum(d.memory_bytes for d in machine.devices))
                return (f"a further machine: {spec} ({size}) is the smallest with a price that holds it",)
    return ()


def _cards() -> list[str]:
    """Cards with a price and a memory of their own, the smallest first, one of each size."""
    smallest: dict[int, str] = {}
    for name in sorted({p.device for p in prices.load() if p.device}):
        try:
            record = device_catalog.find(name)
        except AmbiguousName:  # of several sizes: a chip with one memory for everything
            continue
        if record.kind == "gpu" and not record.is_unified and record.memory_bytes:
            smallest.setdefault(record.memory_bytes // GIB, record.id)
    return [smallest[size] for size in sorted(smallest)]


def spare(found: Ways, yard: Yard, placed: Sequence[Placement]) -> tuple[Spare, ...]:
    """Of each machine: longer contexts of what lies there, further copies, and the largest further model.

    Each alone, by memory as stated; what it would cost the neighbours in speed is not counted.
    """
    out = []
    for number, stand in enumerate(yard.stands):
        here = [p for p in placed if p.way.machine == stand.name]
        free = _free(yard, number, here)
        could = [
            *_longer(here, free),
            *_copies(yard, number, here, free),
            *_further(found, yard, number, free),
        ]
        if could:
            out.append(Spare(machine=stand.name, could=tuple(could)))
    return tuple(out)


def _free(yard: Yard, number: int, here: Sequence[Placement]) -> dict[str, int]:
    """Bytes left by place."""
    machine = yard.stands[number].machine
    free = {}
    for site, name in yard.places:
        if site == number:
            capacity, reserved = size_of(machine, name)
            free[name] = capacity - reserved - sum(p.way.needs.get(name, 0) for p in here)
    return free


def _longer(here: Sequence[Placement], free: Mapping[str, int]) -> list[str]:
    """The longest context of each role in the room that is left, where it is longer than asked."""
    out = []
    for p in here:
        trained = p.way.deployments[0].model.trained_context_tokens if p.way.deployments else None
        if not trained or trained <= p.way.context_tokens:
            continue
        longest = core.largest(lambda n, p=p: _room(p.way, n, free), trained, 256)  # type: ignore[misc]
        if longest and longest > p.way.context_tokens:
            out.append(f"{p.way.role}: a context of {longest:,} tokens instead of {p.way.context_tokens:,}")
    return out


def _room(way: Way, tokens: int, free: Mapping[str, int]) -> int:
    """What is left on the fullest place when a way gets another context."""
    (deployment,) = core.with_context(way.deployments, tokens)
    needs, _, _ = needs_of(deployment)
    left = [free[p] + way.needs.get(p, 0) - n for p, n in needs.items() if p in free]
    return min(left, default=-1)


def _copies(yard: Yard, number: int, here: Sequence[Placement], free: Mapping[str, int]) -> list[str]:
    """Roles of which a further copy fits, the weightiest first, each in its best way."""
    lies = {p.way.role for p in here}
    full = {(p.way.role, d) for p in here for d in (p.way.devices or (HOST,))}
    out = []
    for role in sorted(yard.fleet.roles, key=lambda r: r.priority):
        ways = [w for w, site in yard.ways if w.role == role.name and site == number and not w.is_alone]
        beside = [w for w in ways if not any((role.name, d) in full for d in (w.devices or (HOST,)))
                  and all(n <= free.get(p, n) for p, n in w.needs.items())]  # fmt: skip
        if beside and not lies & set(role.apart_from):
            best = min(beside, key=lambda w: (w.rank, bool(w.offload), not w.devices, len(w.devices)))
            how = f" in {best.weight_format}" if best.weight_format else ""
            out.append(f"a further copy of {role.name}{how} on {best.where}")
    return out[:_SHOWN_COUNT]


def _further(found: Ways, yard: Yard, number: int, free: Mapping[str, int]) -> list[str]:
    """The model with the most parameters in its name that would fit the rest as q4_k_m with 8,192 tokens."""
    stand = yard.stands[number]
    devices = tuple(
        replace(d, reserved_bytes=d.memory_bytes - max(free[d.id], 0)) for d in stand.machine.devices
    )
    ram = stand.machine.ram_bytes
    rest = replace(stand.machine, devices=devices, ram_reserved_bytes=(ram or 0) - max(free.get(HOST, 0), 0))
    room = sum(max(free[d.id], 0) for d in devices) if devices else free.get(HOST, 0)
    if room < _LEAST_ROOM_BYTES:
        return []
    tried = [i for size, i in _by_size() if size * _GUESSED_BYTES_PER_PARAMETER <= room][:_TRIED_COUNT]
    for reference in tried:
        role = FleetRole(
            name="a further model", models=(reference,), weights=("q4_k_m",), context_tokens=8192,
            processor="gpu" if devices else "cpu",
        )  # fmt: skip
        ways = found.quiet(may_offload=False).of(role, rest, stand.name)
        if ways:
            return [f"a further model as large as {reference} (q4_k_m, 8,192 tokens) on {ways[0].where}"]
    return []


@cache
def _by_size() -> tuple[tuple[float, str], ...]:
    """(parameters as its name says, id), the largest first; of one size the first by name."""
    found: dict[float, str] = {}
    for name in model_catalog.find_all():
        told = [s for s in sizes(name.rpartition("/")[2]) if not s.startswith("a")]
        if len(told) == 1:
            size = float(told[0][:-1]) * (1e9 if told[0].endswith("b") else 1e6)
            found.setdefault(size, name)
    return tuple(sorted(found.items(), reverse=True))
