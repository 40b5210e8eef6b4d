"""Which dated prices apply to a way onward, in the answer's currency."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from plimsoll.catalog import prices as shipped
from plimsoll.catalog.candidates import PricedPart
from plimsoll.core import scale as core
from plimsoll.core.exchange import Exchange
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.price import Price
from plimsoll.domain.scale import Offer
from plimsoll.edges.clock import days_since

# After so many days a price is called old.
OLD_DAYS = 90


@dataclass(slots=True, kw_only=True)
class Prices:
    """The catalog's prices and the user's, read once; `left_out` says what was not used, and why."""

    own: tuple[Price, ...]
    exchange: Exchange
    every: tuple[Price, ...] = field(init=False)
    left_out: dict[str, None] = field(default_factory=dict)
    used: dict[Price, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for price in self.own:
            self.exchange.into(price.price, price.currency, f"your price of {price.device}")
        self.every = tuple(p for p in shipped.with_own(self.own, shipped.load()) if self._is_known(p))

    def _is_known(self, price: Price) -> bool:
        if self.exchange.knows(price.currency):
            return True
        self.left_out[f"prices in {price.currency}: --rate {price.currency}=X, in USD"] = None
        return False

    def converted(self, price: Price) -> tuple[float, float]:
        """The range of a price in the answer's currency, and note that it was used."""
        self.used[price] = None
        low, high = (
            self.exchange.into(p, price.currency, price.device or price.item)
            for p in (price.price, price.price_max or price.price)
        )
        return low, high

    def purchase(self, parts: Sequence[PricedPart]) -> tuple[Estimate | None, tuple[Price, ...]]:
        """What the parts cost together at the newest dated price of each; None where one has no price."""
        found = [self.bought(part) for part in parts]
        prices = [p for p in found if p]
        if len(prices) < len(parts) or not parts:
            return None, tuple(prices)
        ranges = [self.converted(p) for p in prices]
        return core.purchase(ranges, [p.count for p in parts], self.exchange.currency), tuple(prices)

    def bought(self, part: PricedPart) -> Price | None:
        """The price to buy that is quoted: the user's, else the newest dated one, read before unread."""
        mine = [p for p in self.own if p.kind == "buy" and p.device and p.device == part.device]
        if mine:
            return mine[0]
        found = [
            p for p in self.every
            if p.kind == "buy" and (p.device, p.item) == (part.device, part.item) and p.date
            and part.provider in ("", p.provider)
        ]  # fmt: skip
        return max(found, key=lambda p: (p.date.ljust(10), p.is_verified), default=None)

    def rents(self, device: str, count: int) -> tuple[Price, ...]:
        """The newest dated rent of each provider and tier for so many, the one to quote first, then the
        cheapest."""
        found = [p for p in shipped.rents_of(self.every, device, count) if p.date or p in self.own]
        newest: dict[tuple[str, str], Price] = {}
        for price in sorted(found, key=lambda p: p.date.ljust(10), reverse=True):
            newest.setdefault((price.provider, price.tier), price)
        kept = [p for p in found if p in newest.values()]
        return (*kept[:1], *sorted(kept[1:], key=each))

    def offers(self, device: str, count: int, hours: float) -> tuple[Offer, ...]:
        """Every rent of so many of a device, per hour and per month of work."""
        out = []
        for price in self.rents(device, count):
            rent = self.hourly(price, count)
            month = core.rented_month(rent, hours, self.exchange.currency)
            out.append(Offer(price=price, rent_per_hour=rent, cost_per_month=month))
        return tuple(out)

    def hourly(self, price: Price, count: int) -> float:
        """What an hour of so many devices costs at a price for one, or for exactly so many; of a range the
        middle."""
        low, high = self.converted(price)
        return (low + high) / 2 * (count if price.devices_count == 1 else 1)

    def is_yours(self, device: str, kind: str) -> bool:
        """Whether the user gave a price of this kind for a device."""
        return any((p.device, p.kind) == (device, kind) for p in self.own)

    def tradable(self, kind: str) -> tuple[str, ...]:
        """The devices with a dated price of this kind, in the order of the catalog."""
        told = (p for p in self.every if p.kind == kind and p.device and (p.date or p in self.own))
        return tuple(dict.fromkeys(p.device for p in told))

    def old(self, shown: Iterable[Price]) -> list[str]:
        """What to say about shown prices older than 90 days, one line for all."""
        dated = {(p.date, p.device or p.item) for p in shown if p.date}
        late = sorted((day, name) for day, name in dated if days_since(day) > OLD_DAYS)
        if not late:
            return []
        words = ", ".join(f"{name} ({day})" for day, name in late)
        return [f"prices older than {OLD_DAYS} days: {words}; yours: --prices FILE.toml"]


def each(price: Price) -> float:
    """The price per device."""
    return price.price / price.devices_count
