"""The machines worth looking at: of each kind those that hold the models, by memory bandwidth per money."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from plimsoll.ask import machine as machines
from plimsoll.ask.scale_money import Prices
from plimsoll.ask.scale_ways import FULL_SHARE, bits_of, needed_bytes
from plimsoll.catalog import candidates as catalog
from plimsoll.catalog import devices
from plimsoll.catalog.candidates import PricedPart
from plimsoll.catalog.devices import DeviceRecord
from plimsoll.domain.machine import Device, Machine
from plimsoll.domain.model import Model
from plimsoll.domain.scale import WayKind
from plimsoll.units import MIB

# Weights of four bits and what a recipe keeps in more: the smallest that most people would run.
_SMALL_BITS = 4.5
_BOUGHT_COUNTS = (1, 2, 4)
_RENTED_COUNTS = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Onward:
    """A machine to look at: `on` is what to type, `parts` what its purchase is the sum of.

    `bandwidth_bytes_per_s` is of one device, `money` what all of them cost to buy, or an hour of rent.
    """

    id: str
    kind: WayKind
    label: str
    on: str | None
    machine: Machine
    device: str = ""
    count: int = 1
    parts: tuple[PricedPart, ...] = ()
    not_counted: str = ""
    is_least: bool = False
    watts: float | None = None
    vram_free_bytes: int | None = None
    notes: tuple[str, ...] = ()
    bandwidth_bytes_per_s: int = 0
    money: float = 0.0

    @property
    def worth(self) -> float:
        """Memory bandwidth of all devices per money."""
        return self.count * self.bandwidth_bytes_per_s / self.money if self.money else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """Bytes that each model needs with its cache: in four bits, and as published."""

    each: tuple[float, ...]
    whole: tuple[float, ...]

    def holds(self, memory_bytes: float) -> bool:
        """Whether the largest model would fit."""
        return FULL_SHARE * memory_bytes >= max(self.each)

    def holds_whole(self, memory_bytes: float) -> bool:
        """Whether every model would fit as published, one at a time."""
        return FULL_SHARE * memory_bytes >= max(self.whole)

    def holds_any(self, memory_bytes: float) -> bool:
        """Whether one of the models would fit."""
        return FULL_SHARE * memory_bytes >= min(self.each)


def needed(models: Sequence[Model], context_tokens: int, sequences_count: int) -> Needed:
    """What the models need at least with such contexts."""
    each, whole = [], []
    for model in models:
        tokens, bits = min(context_tokens, model.trained_context_tokens or context_tokens), bits_of(model, "")
        each.append(needed_bytes(model, min(_SMALL_BITS, bits), tokens, sequences_count))
        whole.append(needed_bytes(model, bits, tokens, sequences_count))
    return Needed(each=tuple(each), whole=tuple(whole))


def own_way(on: str | None, machine: Machine) -> Onward:
    """The machine as it is."""
    return Onward(
        id="own", kind="own", label="as it is", on=on, machine=machine,
        watts=_watts(machine.devices) if machine.devices else _processor_watts(on, machine),
        count=max(len(machine.devices), 1), device=machine.devices[0].catalog_id if machine.devices else "",
    )  # fmt: skip


def same_card(on: str | None, machine: Machine) -> Onward | None:
    """One more card of the kind that is there; None where there is none of the catalog, or one memory."""
    cards = machine.devices
    if not cards or not cards[0].catalog_id or cards[0].is_unified:
        return None
    count = sum(d.catalog_id == cards[0].catalog_id for d in cards) + 1
    others = [d.catalog_id for d in cards if d.catalog_id != cards[0].catalog_id]
    text = " + ".join([f"{count}x {cards[0].catalog_id}", *others, *_host(on, machine)])
    wider = machines.resolve(text)
    return Onward(
        id="same-card", kind="same card", label=f"one more {cards[0].catalog_id}", on=text, machine=wider,
        device=cards[0].catalog_id, count=count, parts=(PricedPart(device=cards[0].catalog_id),),
        watts=_watts(wider.devices), not_counted="a slot, cables and a power supply for it",
    )  # fmt: skip


def one_card(onward: Onward) -> Onward | None:
    """The same machine with a single one of its cards; None where there is one, or they differ."""
    found = onward.machine.devices
    if len(found) < 2 or len({d.catalog_id for d in found}) > 1 or found[0].is_unified:
        return None
    text = " + ".join([found[0].catalog_id, *_host(onward.on, onward.machine)])
    return replace(onward, on=text, machine=machines.resolve(text), count=1)


def named(text: str, prices: Prices) -> Onward:
    """A machine that was asked for by name: with the price of the whole, else of its cards."""
    known = [*_own_machines(prices), *catalog.load_machines()]
    own, limit = _raised(text)
    entry = next((x for x in known if _same(machines.resolve(x.machine), machines.resolve(text))), None)
    if entry is not None:
        return _whole(entry, prices, kind="named")
    counts: dict[str, int] = {}
    for device in own.devices:
        counts[device.catalog_id] = counts.get(device.catalog_id, 0) + 1
    return Onward(
        id=f"named-{text}", kind="named", label=text, on=text, machine=own, count=max(len(own.devices), 1),
        device=next(iter(counts), ""), watts=_watts(own.devices) or _processor_watts(text, own),
        parts=tuple(PricedPart(device=d, count=n) for d, n in counts.items()), vram_free_bytes=limit,
        not_counted="the host, slots, cables and a power supply" if own.devices and not limit else "",
    )  # fmt: skip


def _same(a: Machine, b: Machine) -> bool:
    """Whether two declarations mean the same devices, processor and memory."""
    devices_of = [tuple(d.catalog_id for d in m.devices) for m in (a, b)]
    return (a.name, a.ram_bytes) == (b.name, b.ram_bytes) and devices_of[0] == devices_of[1]


def _raised(text: str) -> tuple[Machine, int | None]:
    """A machine with the memory limit of its graphics part raised, and that limit, if it has one."""
    machine = machines.resolve(text)
    limit = next((d.memory_limit_bytes for d in machine.devices if d.memory_limit_bytes), None)
    return (machines.resolve(text, vram_free_bytes=limit), limit) if limit else (machine, None)


def cards(on: str | None, machine: Machine, prices: Prices, need: Needed) -> list[Onward]:
    """Other cards that can be bought, as many as hold the models, in the host that is there."""
    out = []
    own = machine.devices[0].catalog_id if machine.devices else ""
    if machine.devices and machine.devices[0].is_unified:
        prices.left_out[f"other cards: {machine.name} has no place for one"] = None
        return []
    host = _host(on, machine)
    for device_id in prices.tradable("buy"):
        record = _record(device_id)
        bought = prices.bought(PricedPart(device=device_id))
        if record.kind != "gpu" or device_id == own or bought is None or bought.unit != "card":
            continue
        count = _count(record, _BOUGHT_COUNTS, need)
        if count is None:
            prices.left_out[f"{device_id}: does not hold it in four bits, not even four of them"] = None
            continue
        money = prices.exchange.into(bought.price, bought.currency, device_id)
        text = " + ".join([_times(count, device_id), *host])
        other = machines.resolve(text)
        out.append(
            Onward(
                id=_id(device_id, count), kind="card", label=_times(count, device_id), on=text,
                machine=other, device=device_id, count=count,
                parts=(PricedPart(device=device_id, count=count),), watts=_watts(other.devices),
                not_counted="slots, cables and a power supply for them",
                bandwidth_bytes_per_s=record.bandwidth_bytes_per_s or 0, money=count * money,
            )
        )  # fmt: skip
    return best_first(out)


def rented(prices: Prices, need: Needed, counts: Sequence[int] = _RENTED_COUNTS) -> list[Onward]:
    """Cards for rent, as many as hold the models, and whole machines that the user has a rent for."""
    out = []
    for device_id in prices.tradable("rent"):
        record = _record(device_id)
        able = counts if record.kind == "gpu" else (1,)
        count = _count(record, [n for n in able if n in counts and prices.rents(device_id, n)], need)
        if count is None:
            prices.left_out[f"{device_id} for rent: does not hold it in four bits"] = None
            continue
        rent = prices.hourly(prices.rents(device_id, count)[0], count)
        text = _times(count, device_id)
        out.append(
            Onward(
                id=f"rent-{_id(device_id, count)}", kind="rent", label=text, on=text,
                machine=machines.resolve(text), device=device_id, count=count,
                bandwidth_bytes_per_s=record.bandwidth_bytes_per_s or 0, money=rent,
            )
        )  # fmt: skip
    return best_first(out)


def whole_machines(prices: Prices, need: Needed) -> list[Onward]:
    """Machines with one memory and servers with much RAM that hold the models."""
    out = []
    own = _own_machines(prices)
    others = (x for x in catalog.load_machines() if x.machine not in {y.machine for y in own})
    for entry in (*own, *others):
        onward = _whole(entry, prices, kind=entry.kind)
        memory = sum(d.memory_bytes for d in onward.machine.devices) or onward.machine.ram_bytes or 0
        if need.holds_any(memory):
            out.append(onward)
        else:
            prices.left_out[f"{entry.label}: does not hold it in four bits"] = None
    return sorted(out, key=lambda x: -x.worth)


def _whole(entry: catalog.MachineOnSale, prices: Prices, *, kind: WayKind) -> Onward:
    """A machine on sale."""
    machine, limit = _raised(entry.machine)
    cost, _ = prices.purchase(entry.parts)
    shared = machine.devices
    rate = shared[0].bandwidth_bytes_per_s if shared else machine.ram_bandwidth_bytes_per_s
    drawn = entry.watts or (_watts(shared) if shared else _host_watts(entry.parts))
    return Onward(
        id=entry.id, kind=kind, label=entry.label, on=entry.machine, machine=machine,
        device=entry.parts[0].device, parts=entry.parts, not_counted=entry.not_counted, watts=drawn,
        is_least=bool(entry.not_counted),
        vram_free_bytes=limit, notes=machine.notes if limit else (), bandwidth_bytes_per_s=rate or 0,
        money=cost.value if cost else 0.0,
    )  # fmt: skip


def _own_machines(prices: Prices) -> list[catalog.MachineOnSale]:
    """What the user has a price to buy for and is no card: the whole machine."""
    out = []
    for price in prices.own:
        record = _record(price.device) if price.kind == "buy" else None
        if record and (record.kind == "cpu" or record.is_unified):
            out.append(
                catalog.MachineOnSale(
                    id=price.device, kind="cpu" if record.kind == "cpu" else "unified", label=price.device,
                    machine=price.device, parts=(PricedPart(device=price.device),),
                )
            )  # fmt: skip
    return out


def best_first(found: Iterable[Onward]) -> list[Onward]:
    """The most memory bandwidth per money, then the one with the fastest memory, then again by the money."""
    order = sorted(found, key=lambda x: -x.worth)
    fastest = max(order, key=lambda x: x.bandwidth_bytes_per_s, default=None)
    if fastest is None or fastest is order[0]:
        return order
    return [order[0], fastest, *(x for x in order[1:] if x is not fastest)]


def unified(found: Iterable[Onward]) -> list[Onward]:
    """Machines with one memory: the cheapest of each maker, then the others."""
    order = [x for x in found if x.kind == "unified"]
    makers: dict[str, Onward] = {}
    for x in sorted(order, key=lambda x: x.money):
        makers.setdefault(x.machine.devices[0].vendor, x)
    first = sorted(makers.values(), key=lambda x: -x.worth)
    return [*first, *(x for x in order if x not in first)]


def servers(found: Iterable[Onward], need: Needed) -> list[Onward]:
    """Servers with much RAM: the smallest that holds the models in four bits, and as published."""
    order = sorted((x for x in found if x.kind == "cpu"), key=lambda x: x.machine.ram_bytes or 0)
    whole = next((x for x in order if need.holds_whole(x.machine.ram_bytes or 0)), None)
    return [*order[:1], *([whole] if whole and whole is not order[0] else [])]


def _count(record: DeviceRecord, counts: Sequence[int], need: Needed) -> int | None:
    """The fewest that hold the largest model, else the fewest that hold any."""
    memory = record.default_gpu_memory_bytes or 0
    for holds in (need.holds, need.holds_any):
        found = next((n for n in counts if holds(n * memory)), None)
        if found:
            return found
    return None


def _host(on: str | None, machine: Machine) -> list[str]:
    """What to type for the processor and memory that stay."""
    if on and not on.strip().lower().endswith(".toml"):
        return machines.host_terms(on)
    return [f"{machine.ram_bytes // MIB}MiB ram"] if machine.ram_bytes else []


def _watts(found: Sequence[Device]) -> float | None:
    limits = [d.power_limit_watts for d in found]
    return float(sum(w for w in limits if w)) if limits and all(limits) else None


def _processor_watts(on: str | None, machine: Machine) -> float | None:
    """The power limit of the declared processor; of two where memory is faster than one can read it."""
    record = machines.processor(on) if on else None
    if record is None or record.cpu is None or record.power_limit_watts is None:
        return None
    one = record.cpu.memory_channels_count * record.cpu.memory_mt_per_s * 8_000_000
    sockets = 2 if (machine.ram_bandwidth_bytes_per_s or 0) > one else 1
    return float(sockets * record.power_limit_watts)


def _host_watts(parts: Iterable[PricedPart]) -> float | None:
    """The power limit of the processor, the one part of a server whose limit the catalog knows."""
    limits = [_record(p.device).power_limit_watts for p in parts if p.device]
    return float(sum(w for w in limits if w)) if limits and all(limits) else None


def _times(count: int, name: str) -> str:
    return f"{count}x {name}" if count > 1 else name


def _id(device_id: str, count: int) -> str:
    return f"{count}x-{device_id}" if count > 1 else device_id


def _record(device_id: str) -> DeviceRecord:
    """Of a catalog id, or of a name with its memory or its host as the user's prices may tell it."""
    return devices.load(device_id) if device_id in devices.load_index()["ids"] else devices.find(device_id)
