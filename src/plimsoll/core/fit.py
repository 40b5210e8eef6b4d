"""Does it fit: totals, the verdict, and how far each knob may be turned."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from plimsoll.domain.answer import Verdict
from plimsoll.domain.bill import HOST, Bill, DeviceTotal, Line
from plimsoll.domain.deployment import Deployment
from plimsoll.domain.machine import Machine
from plimsoll.formulas.buffers import reserved_by_others
from plimsoll.runtimes import memory_of

TIGHT_SHARE = 0.02
_LARGEST_CONTEXT_TOKENS = 2**24
_LARGEST_SEQUENCES_COUNT = 4096


class Judgement(NamedTuple):
    """A bill with its verdict; `missing_bytes` > 0 on the device that lacks most."""

    verdict: Verdict
    reason: str
    missing_bytes: int
    headroom_bytes: int
    bill: Bill


def problems_of(deployments: Sequence[Deployment]) -> tuple[str, ...]:
    """Reasons why a runtime cannot run its deployment at all, whatever the memory."""
    found: list[str] = []
    for deployment in deployments:
        found += memory_of(deployment.runtime.id).problems(deployment)
    return tuple(dict.fromkeys(found))


def bill_of(deployments: Sequence[Deployment]) -> Bill:
    """Every line of every deployment on the one machine, with what others hold, and the totals."""
    machine = deployments[0].machine
    lines: list[Line] = []
    for deployment in deployments:
        origins = tuple(dict.fromkeys(deployment.model.origins.values()))
        own: tuple[Line, ...] = memory_of(deployment.runtime.id).lines(deployment)
        # Shapes and counts among the inputs are the model's wherever a line does not say otherwise.
        lines += [line if line.origins else replace(line, origins=origins) for line in own]
    lines += _reserved_lines(machine)
    return Bill(lines=tuple(lines), devices=_totals(machine, lines))


def _reserved_lines(machine: Machine) -> list[Line]:
    held = [(d.id, d.reserved_bytes, d.origins.get("reserved_bytes")) for d in machine.devices]
    held.append((HOST, machine.ram_reserved_bytes, machine.origins.get("ram_reserved_bytes")))
    return [
        Line.of(
            reserved_by_others, {"reserved_bytes": size}, component="reserved",
            label="held by the driver and other programs",
            device=device, model="", basis="reported", origins=(origin,) if origin else (),
        )
        for device, size, origin in held
        if size > 0
    ]  # fmt: skip


def _totals(machine: Machine, lines: Sequence[Line]) -> tuple[DeviceTotal, ...]:
    places = [(d.id, d.name, d.memory_bytes, d.origins.get("memory_bytes")) for d in machine.devices]
    if any(line.device == HOST for line in lines):
        # A capacity of 0 for untold RAM would read as "full"; the judge treats None apart.
        places.append((HOST, "host memory", machine.ram_bytes or 0, machine.origins.get("ram_bytes")))
    totals = []
    for device, name, capacity, origin in places:
        here = [line for line in lines if line.device == device]
        totals.append(
            DeviceTotal(
                id=device,
                name=name,
                capacity_bytes=capacity,
                used_bytes=sum(line.size_bytes for line in here),
                used_low_bytes=sum(line.low_bytes for line in here),
                used_high_bytes=sum(line.high_bytes for line in here),
                origins=(origin,) if origin else (),
            )
        )
    return tuple(totals)


def judge(deployments: Sequence[Deployment]) -> Judgement:
    """Fits when every device holds its lines even at their high bounds with 2 % to spare;
    tight when it holds them at the stated values only; otherwise it does not fit."""
    machine = deployments[0].machine
    bill = bill_of(deployments)
    worst: DeviceTotal | None = None
    tight = ""
    for total in _judged(machine, bill):
        if worst is None or total.headroom_bytes < worst.headroom_bytes:
            worst = total
        if total.capacity_bytes - total.used_high_bytes < TIGHT_SHARE * total.capacity_bytes:
            tight = tight or total.name
    if worst is None:
        return Judgement("unknown", "the host's memory was not told", 0, 0, bill)
    if worst.headroom_bytes < 0:
        return Judgement(
            "does_not_fit",
            _lacking(worst, len(machine.devices)),
            -worst.headroom_bytes,
            worst.headroom_bytes,
            bill,
        )
    if tight:
        return Judgement("tight", f"little room is left on {tight}", 0, worst.headroom_bytes, bill)
    return Judgement("fits", "", 0, worst.headroom_bytes, bill)


def _lacking(total: DeviceTotal, devices_count: int) -> str:
    """Which device it is, where that is not plain."""
    return f"on {total.id}, {total.name}" if total.id == HOST or devices_count > 1 else ""


def _judged(machine: Machine, bill: Bill) -> list[DeviceTotal]:
    """The totals that must hold: devices, told host memory, and both together where memory is unified."""
    totals = [t for t in bill.devices if t.id != HOST]
    host = next((t for t in bill.devices if t.id == HOST), None)
    if host is None or machine.ram_bytes is None:
        return totals
    unified = [t for t, d in zip(totals, machine.devices, strict=True) if d.is_unified]
    if not unified:
        return [*totals, host]
    both = replace(
        host, name="unified memory",
        used_bytes=host.used_bytes + sum(t.used_bytes for t in unified),
        used_low_bytes=host.used_low_bytes + sum(t.used_low_bytes for t in unified),
        used_high_bytes=host.used_high_bytes + sum(t.used_high_bytes for t in unified),
    )  # fmt: skip
    return [*totals, both]


def with_context(deployments: Sequence[Deployment], tokens: int) -> list[Deployment]:
    """The same deployments at another context."""
    return [replace(d, workload=replace(d.workload, context_tokens=tokens)) for d in deployments]


def with_sequences(deployments: Sequence[Deployment], count: int) -> list[Deployment]:
    """The same deployments with another number of parallel sequences."""
    return [replace(d, workload=replace(d.workload, parallel_sequences_count=count)) for d in deployments]


def largest(room: Callable[[int], int], limit: int, step: int = 1) -> int | None:
    """The largest multiple of `step` up to `limit` that leaves room >= 0; None when not even `step` does.

    Room must not grow with the argument. It is near to a straight line here, so each guess is where the
    line through both ends crosses zero; every third one is the middle, which bounds the number of steps.
    """
    top = max(1, limit // step)
    high, high_room = top, room(top * step)
    if high_room >= 0:
        return top * step
    low, low_room = 1, room(step)
    if low_room < 0:
        return None
    for turn in itertools.count(1):
        if high - low <= 1:
            break
        share = 0.5 if turn % 3 == 0 else low_room / (low_room - high_room)
        guess = min(max(low + int((high - low) * share), low + 1), high - 1)
        found = room(guess * step)
        if found >= 0:
            low, low_room = guess, found
        else:
            high, high_room = guess, found
    return low * step


def longest_context(
    deployments: Sequence[Deployment], left: Callable[[Sequence[Deployment]], int] | None = None
) -> int | None:
    """The longest context (a multiple of 256 tokens) that still fits with all else unchanged,
    up to what the models were trained for or what was asked, whichever is more. `left` says what is left of
    the memory; `room` where nothing else is given."""
    left = left or room
    trained = [d.model.trained_context_tokens for d in deployments if d.model.trained_context_tokens]
    asked = max(d.workload.context_tokens for d in deployments)
    limit = max(min(trained) if trained else _LARGEST_CONTEXT_TOKENS, asked)
    return largest(lambda n: left(with_context(deployments, n)), limit, 256)


def most_sequences(deployments: Sequence[Deployment]) -> int | None:
    """The most parallel sequences of the asked context that still fit, up to 4,096."""
    return largest(lambda n: room(with_sequences(deployments, n)), _LARGEST_SEQUENCES_COUNT)


def room(deployments: Sequence[Deployment]) -> int:
    """Bytes left on the fullest device, negative when it does not fit or cannot run."""
    if problems_of(deployments):
        return -1
    judgement = judge(deployments)
    return (
        judgement.headroom_bytes
        if judgement.verdict in ("fits", "tight")
        else min(-1, judgement.headroom_bytes)
    )


def certain_room(deployments: Sequence[Deployment]) -> int:
    """Bytes left before `judge` would call it tight: at the high ends, with 2 % to spare; negative from there
    on, and where it cannot run."""
    if problems_of(deployments):
        return -1
    totals = _judged(deployments[0].machine, bill_of(deployments))
    spare = [t.capacity_bytes - t.used_high_bytes - TIGHT_SHARE * t.capacity_bytes for t in totals]
    return math.floor(min(spare, default=-1))
