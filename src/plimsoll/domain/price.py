"""What a device costs: to buy, or to rent by the hour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PriceKind = Literal["rent", "buy"]
PriceUnit = Literal["hour", "card", "machine", "kit", "GB"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """One price as somebody published it, or as the user gave it.

    `price` is for `devices_count` devices of the catalog id `device` together, per `unit`: an hour of rent, a
    card, a machine, a kit or a gigabyte of memory (`item` names what is no device). `price_max` is the upper
    end of a range, or None. `date` is a day, month or year ('2026-05-07', '2026-05', '2026'); '' = not told.
    `is_verified`: the page was opened and shows this figure.
    """

    device: str
    kind: PriceKind
    tier: str
    provider: str
    price: float
    currency: str
    unit: PriceUnit
    date: str
    source: str
    price_max: float | None = None
    devices_count: int = 1
    is_verified: bool = False
    item: str = ""
    note: str = ""
