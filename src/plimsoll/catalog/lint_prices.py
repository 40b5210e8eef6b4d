"""Checks the price rows: known device, currency and unit, a source, and an amount that can be."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any, get_args

from plimsoll.catalog.prices import COLUMNS, price_from
from plimsoll.domain.price import Price, PriceKind, PriceUnit
from plimsoll.errors import CatalogError
from plimsoll.units import CURRENCIES

_DATE = re.compile(r"(20[0-9]{2}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?)?)?")
_TIERS = {
    "rent": {"on demand", "community", "secure", "marketplace", "spot", "serverless", "reserved"},
    "buy": {"new", "used"},
}  # fmt: skip
# Per device and unit, in US dollars; outside them a unit or a digit is wrong.
_RANGES = {
    "hour": (0.02, 30), "card": (20, 100_000), "machine": (200, 200_000),
    "kit": (20, 200_000), "GB": (1, 100),
}  # fmt: skip
# How many of a currency a dollar is worth, roughly: to find a wrong digit, never to show an amount.
_ROUGHLY = {"USD": 1.0, "EUR": 1.0, "GBP": 1.0, "CNY": 7.0}


def problems(rows: list[dict[str, Any]], devices: Collection[str]) -> Iterator[str]:
    """What is wrong with the rows of prices.csv, each with its line."""
    seen: set[tuple[Any, ...]] = set()
    for line, row in enumerate(rows, start=2):
        try:
            price = price_from(row, line)
        except CatalogError as error:
            yield error.message.removeprefix("prices.csv ")
            continue
        yield from (f"line {line}: {found}" for found in _of(price, devices))
        key = tuple(row[name] for name in COLUMNS)
        if key in seen:
            yield f"line {line}: the same price is given twice"
        seen.add(key)


def _of(price: Price, devices: Collection[str]) -> Iterator[str]:
    if bool(price.device) == bool(price.item):
        yield "names a device or an item, not both"
    if price.device and price.device not in devices:
        yield f"device {price.device!r} is not in the catalog"
    if price.kind not in get_args(PriceKind) or price.unit not in get_args(PriceUnit):
        yield f"kind {price.kind!r} or unit {price.unit!r} is not known"
        return
    if (price.kind == "rent") != (price.unit == "hour"):
        yield f"a price to {price.kind} is not per {price.unit}"
    if price.tier not in _TIERS[price.kind]:
        yield f"tier {price.tier!r} is not one of {', '.join(sorted(_TIERS[price.kind]))}"
    if not price.provider:
        yield "the provider is not told"
    if not _DATE.fullmatch(price.date):
        yield f"date {price.date!r} is not a day, month or year"
    if not price.source.startswith(("https://", "http://")):
        yield f"source {price.source!r} is not a web address"
    yield from _amounts(price)


def _amounts(price: Price) -> Iterator[str]:
    if price.currency not in CURRENCIES or price.currency not in _ROUGHLY:
        yield f"currency {price.currency!r} is not known here"
        return
    if price.devices_count < 1:
        yield f"{price.devices_count} devices"
        return
    low, high = _RANGES[price.unit]
    worth = _ROUGHLY[price.currency] * price.devices_count
    for amount in filter(None, (price.price, price.price_max)):
        if not low <= amount / worth <= high:
            said = f"{amount:g} {price.currency} per {price.unit}"
            yield f"{said} is outside {low * worth:g} to {high * worth:g}"
    if price.price <= 0:
        yield f"{price.price:g} is not above 0"
    if price.price_max is not None and price.price_max <= price.price:
        yield f"price_max {price.price_max:g} is not above {price.price:g}"
