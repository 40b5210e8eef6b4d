"""Nouns of scale: the ways onward from a machine, what each makes possible and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from plimsoll.domain.chart import Chart
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.origin import Source
from plimsoll.domain.plan import Part
from plimsoll.domain.price import Price

# 'own': as it is. 'same card': one more of the kind that is there. 'card': another card in its place.
# 'named': a machine that was asked for. 'unified': a machine with one memory. 'cpu': a server with much RAM.
# 'rent': by the hour.
WayKind = Literal["own", "same card", "named", "card", "unified", "cpu", "rent"]
KINDS: tuple[WayKind, ...] = get_args(WayKind)
AssumptionBasis = Literal["given", "assumed", "catalog"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """What the money rests on, in words with its unit; `flag` changes it. `source` is empty for what is
    assumed without one."""

    name: str
    says: str
    basis: AssumptionBasis
    flag: str
    source: str = ""
    date: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakEven:
    """Buying against renting, for the same tokens.

    `hours` of work per month beyond which buying is cheaper, `tokens` made in them; of one more card those
    that it adds to what is there. None: never, or not known, as `says` tells. `rented` is the id of the way
    it is compared with, `offer` whose rent.
    """

    rented: str
    offer: str
    hours: Estimate | None
    tokens: Estimate | None
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Possible:
    """One model on one way: the best format that runs there, or why none does.

    `is_whole`: the weights as published fit. `tokens_per_s` is what all sequences together generate.
    `cost_per_million` is of generated tokens at the user's hours. `gains` and `gives_up` compare it with the
    machine as it is. `as_copies`: instead of one model over all cards `copies_count` models, each on a card
    of its own with as many sequences; `part` is then of one card, `tokens_per_s` of all copies.
    """

    model: str
    verdict: str
    reason: str
    is_whole: bool
    is_measured: bool
    part: Part | None
    tokens_per_s: Estimate | None = None
    cost_per_million: Estimate | None = None
    break_even: BreakEven | None = None
    gains: tuple[str, ...] = ()
    gives_up: tuple[str, ...] = ()
    copies_count: int = 1
    as_copies: Possible | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One price to rent the way at, in the answer's currency: per hour, per month at the user's hours."""

    price: Price
    rent_per_hour: float
    cost_per_month: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogReach:
    """Of the `models_count` catalog models with a published size, how many one way holds by the bytes of
    their weights: in 16 bits, and in four; and the largest of each."""

    models_count: int
    whole_count: int
    format_count: int
    largest_whole: str
    largest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way onward. `machine` is what to type after --on.

    `purchase` is what is paid once, `cost_per_month` everything at the user's hours; None where a price is
    not known. `not_counted` says what the purchase leaves out, `is_least` that this is a main part. `offers`
    are the rents, the quoted one first. `watts` is the power limit of the devices at work. `is_on_front`: no
    other way for the first model costs less per month and generates more tokens/s.
    """

    id: str
    kind: WayKind
    label: str
    machine: str
    device: str
    devices_count: int
    memory_bytes: int
    watts: float | None
    models: tuple[Possible, ...]
    prices: tuple[Price, ...] = ()
    purchase: Estimate | None = None
    cost_per_month: Estimate | None = None
    costs: tuple[Estimate, ...] = ()
    offers: tuple[Offer, ...] = ()
    not_counted: str = ""
    is_least: bool = False
    is_on_front: bool = False
    catalog: CatalogReach | None = None
    notes: tuple[str, ...] = ()

    @property
    def first(self) -> Possible:
        """The first model that was asked for."""
        return self.models[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """Hardware that is announced or reported, never ranked: what its data sheet says, with source and date.

    `ceiling` is what its memory bandwidth allows at best for the first model in `weight_format`; no speed of
    it was measured.
    """

    name: str
    device: str
    status: str
    dated: str
    says: str
    source: str
    memory_bytes: int | None
    bandwidth_bytes_per_s: int | None
    weight_format: str = ""
    ceiling: Estimate | None = None
    fits: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """The dated prices of one thing, oldest first; `says` is what they show and nothing beyond."""

    device: str
    kind: str
    tier: str
    prices: tuple[Price, ...]
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodOffer:
    """One offer to rent so many cards for a period, and how long one would have to rent for the purchase.

    `cost_per_million` is of tokens of the first model, generated all the time, by copies where one card
    holds it.
    """

    price: Price
    rent_per_hour: float
    cost: Estimate
    cost_per_million: Estimate | None
    break_even: Estimate | None
    break_even_says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rented:
    """So many cards of one kind for a period: what fits on them, and every offer, cheapest first."""

    id: str
    label: str
    machine: str
    memory_bytes: int
    models: tuple[Possible, ...]
    transfer: Estimate | None
    offers: tuple[PeriodOffer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleAnswer:
    """The answer of `scale`: the ways in the order of their kinds, or, with a period, what is rented.

    `says` is what it comes to, in sentences.
    """

    question: str
    asked: Mapping[str, object]
    verdict: str
    reason: str
    machine: str
    models: tuple[str, ...]
    currency: str
    hours_per_month: float
    ways: tuple[Way, ...]
    rented: tuple[Rented, ...]
    announced: tuple[Announced, ...]
    trends: tuple[Trend, ...]
    assumptions: tuple[Assumption, ...]
    looked_at_count: int
    left_out: tuple[str, ...]
    notes: tuple[str, ...]
    unknowns: tuple[str, ...]
    sources: tuple[Source, ...]
    versions: Mapping[str, str]
    says: tuple[str, ...] = ()
    chart: Chart | None = None

    @property
    def exit_code(self) -> int:
        """0 answered, 1 no way runs any of the models, 3 unknown."""
        return {"answered": 0, "does_not_fit": 1}.get(self.verdict, 3)
