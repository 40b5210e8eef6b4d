"""Dated prices of devices: `prices/prices.csv`, one price a row, each with its source."""

from __future__ import annotations

import csv
import os.path
from collections.abc import Iterable, Sequence
from typing import Any

from plimsoll.domain.price import Price
from plimsoll.errors import CatalogError

PATH = os.path.join(os.path.dirname(__file__), "prices", "prices.csv")
COLUMNS = (
    "device", "item", "kind", "tier", "provider", "devices_count", "price", "price_max", "currency", "unit",
    "date", "is_verified", "source", "note",
)  # fmt: skip


def load(path: str = PATH) -> tuple[Price, ...]:
    """All prices; raises CatalogError naming the line of the first bad row."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return tuple(price_from(row, line) for line, row in enumerate(csv.DictReader(file), start=2))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CatalogError(f"{os.path.basename(path)}: {error}") from error


def price_from(row: dict[str, Any], line: int) -> Price:
    """The price in a row; raises CatalogError."""
    if tuple(row) != COLUMNS or None in row.values():
        raise CatalogError(f"prices.csv line {line}: columns are {list(row)}, wanted {list(COLUMNS)}")
    try:
        return Price(
            device=row["device"], item=row["item"], kind=row["kind"], tier=row["tier"],
            provider=row["provider"], devices_count=int(row["devices_count"]), price=float(row["price"]),
            price_max=float(row["price_max"]) if row["price_max"] else None, currency=row["currency"],
            unit=row["unit"], date=row["date"], is_verified={"yes": True, "no": False}[row["is_verified"]],
            source=row["source"], note=row["note"],
        )  # fmt: skip
    except (ValueError, KeyError) as error:
        raise CatalogError(f"prices.csv line {line}: {error}") from error


def rents_of(prices: Iterable[Price], device: str, devices_count: int) -> tuple[Price, ...]:
    """Rents of so many of a device, the one to quote first.

    First the dated ones, what was read before what was not, on demand before spot or serverless, then the
    newest, then the cheapest. A price for exactly so many devices goes before one for a single device.
    """
    found = [
        p for p in prices if p.kind == "rent" and p.device == device and p.devices_count in (1, devices_count)
    ]
    return tuple(sorted(found, key=lambda p: _rank(p, devices_count)))


# Rented by the hour without a promise to stay or a right of the provider to take it back.
_PLAIN_TIERS = ("on demand", "community", "secure", "marketplace", "")


def _rank(price: Price, devices_count: int) -> tuple[object, ...]:
    newest_first = tuple(-ord(c) for c in price.date.ljust(10))
    return (
        not price.date, not price.is_verified, price.tier not in _PLAIN_TIERS,
        price.price_max is not None, newest_first, price.devices_count != devices_count, price.price,
    )  # fmt: skip


def with_own(own: Sequence[Price], prices: Iterable[Price]) -> tuple[Price, ...]:
    """The user's prices, and the catalog's of what the user gave no price for."""
    given = {(p.device, p.kind) for p in own}
    return (*own, *(p for p in prices if (p.device, p.kind) not in given))
