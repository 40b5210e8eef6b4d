"""Nouns of a fleet: machines, the roles that models play, the ways to run them, and where each one goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from plimsoll.domain.deployment import Deployment
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.origin import Source
from plimsoll.units import Money

Processor = Literal["auto", "any", "gpu", "cpu"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetMachine:
    """One [[machine]]: `count` alike ones described by `spec` ('2x rtx-3090 + 128GiB ram').

    `rent` is per hour, day, month or year; `is_rented` without it takes the catalog's dated rent. `hours` is
    how long it runs in a month at most. `busy_share` of that time its cards draw their limit; `watts` of the
    whole machine stand in for the limits; `electricity` stands in for the fleet's. `is_in_house` says whether
    what must not leave the house may run here.
    """

    name: str
    spec: str
    count: int = 1
    is_rented: bool = False
    rent: Money | None = None
    hours: int = 730
    watts: int | None = None
    electricity: Money | None = None
    busy_share: float = 1.0
    is_in_house: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRole:
    """One [[role]]. `models` and `weights` come in the order of preference; '' among the weights is the
    format as published. `memory_bytes` stands for a model that no catalog knows.

    `priority` 1 is placed first. `replicas` lie on different devices. `busy_share` of the time it computes.
    `processor` "auto" is a card, on machines without one the processor; "any" is both.
    `machines` are the only ones it may lie on; `apart_from` and `together_with` are about machines;
    `needs` are roles without which this one is of no use.
    """

    name: str
    models: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    runtime: str = ""
    kv: str = ""
    memory_bytes: int | None = None
    context_tokens: int = 8192
    users: int = 1
    prompt_tokens: int = 1024
    min_tokens_per_s: float | None = None
    max_first_token_s: float | None = None
    priority: int = 1
    replicas: int = 1
    busy_share: float = 1.0
    hours: int | None = None
    processor: Processor = "auto"
    is_private: bool = False
    is_alone: bool = False
    machines: tuple[str, ...] = ()
    apart_from: tuple[str, ...] = ()
    together_with: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    max_price: Money | None = None

    @property
    def has_wish(self) -> bool:
        """Whether a speed was asked for."""
        return self.min_tokens_per_s is not None or self.max_first_token_s is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """A whole fleet file. `rates` say what one unit of a currency is worth in `currency`."""

    machines: tuple[FleetMachine, ...]
    roles: tuple[FleetRole, ...]
    currency: str = ""
    rates: Mapping[str, float] = field(default_factory=dict)
    electricity: Money | None = None
    budget: Money | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to run a role on a machine: a model in a format on some of its devices.

    `needs` are bytes by device id and 'ram' as stated, `high_needs` at the high end of every size. A runtime
    that claims a share of the card needs that share. `devices` compute; none is the processor.
    `rank` counts from the role's first wish of model and format; weights in host memory come last.
    """

    role: str
    machine: str
    devices: tuple[str, ...]
    needs: Mapping[str, int]
    high_needs: Mapping[str, int]
    model: str = ""
    runtime: str = ""
    weight_format: str = ""
    context_tokens: int = 0
    sequences_count: int = 1
    split: str = "none"
    offload: str = ""
    claim_share: float | None = None
    speed: Estimate | None = None
    first_token: Estimate | None = None
    speed_reason: str = ""
    notes: tuple[str, ...] = ()
    rank: int = 0
    is_alone: bool = False
    deployments: tuple[Deployment, ...] = ()

    @property
    def where(self) -> str:
        """'gpu0', 'gpu0+gpu1', 'gpu0–gpu7' or 'processor'."""
        if len(self.devices) < 3:
            return "+".join(self.devices) or "processor"
        numbers = [int(d.removeprefix("gpu")) for d in self.devices]
        is_row = numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        return f"{self.devices[0]}–{self.devices[-1]}" if is_row else "+".join(self.devices)


WishState = Literal["none", "met", "missed", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A copy of a role where it lies. `others_busy` is how many other roles compute on its fullest device on
    average; `shared_speed` is the speed beside them, `slowest_speed` when all of them work at once."""

    way: Way
    copy: int
    wish: WishState
    others_busy: float = 0.0
    neighbours: tuple[str, ...] = ()
    shared_speed: Estimate | None = None
    slowest_speed: Estimate | None = None
    launch: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a role holds of one place."""

    role: str
    size_bytes: int
    high_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceUse:
    """A device or the host memory of a machine with what lies there; `reserved_bytes` others hold."""

    machine: str
    place: str
    name: str
    capacity_bytes: int
    reserved_bytes: int
    parts: tuple[Part, ...]

    @property
    def headroom_bytes(self) -> int:
        """Bytes left at the stated sizes."""
        return self.capacity_bytes - self.reserved_bytes - sum(p.size_bytes for p in self.parts)

    @property
    def is_tight(self) -> bool:
        """Whether the high ends leave less than 2 % of it, as `fit` calls it tight."""
        high = self.reserved_bytes + sum(p.high_bytes for p in self.parts)
        return bool(self.parts) and self.capacity_bytes - high < 0.02 * self.capacity_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineCost:
    """What a machine costs in a month; `estimate` is None where nobody told."""

    machine: str
    hours: int
    is_used: bool
    rent: Estimate | None
    electricity: Estimate | None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A role, or copies of it, that found no place: why, and the smallest changes that would place it."""

    role: str
    copies: int
    reason: str
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spare:
    """What the room left on a machine would also hold."""

    machine: str
    could: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One aim, in order: what was reached and the best that the solver could not rule out."""

    aim: str
    value: float
    bound: float
    is_proven: bool

    @property
    def gap(self) -> float:
        """How far the bound is away, as a share of it."""
        return abs(self.value - self.bound) / max(abs(self.bound), 1.0)


Verdict = Literal["placed", "slower", "partly", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetAnswer:
    """The answer of `fleet`. `cost_per_month` is in `currency`, of what is known."""

    question: str
    asked: Mapping[str, object]
    verdict: Verdict
    reason: str
    placements: tuple[Placement, ...]
    places: tuple[PlaceUse, ...]
    costs: tuple[MachineCost, ...]
    cost_per_month: float
    currency: str
    missing: tuple[Missing, ...]
    spare: tuple[Spare, ...]
    stages: tuple[Stage, ...]
    ways_count: int
    left_out: tuple[str, ...]
    notes: tuple[str, ...]
    unknowns: tuple[str, ...]
    sources: tuple[Source, ...]
    versions: Mapping[str, str]

    @property
    def exit_code(self) -> int:
        """0 all placed and fast enough, 1 something is missing or slower than asked, 3 unknown."""
        return {"placed": 0, "unknown": 3}.get(self.verdict, 1)
