"""Checks the machines on sale, the announced hardware and the assumptions of `candidates/`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from plimsoll.catalog import candidates, devices, prices
from plimsoll.domain.price import Price
from plimsoll.errors import PlimsollError
from plimsoll.units import CURRENCIES

_DATE = re.compile(r"20[0-9]{2}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?)?")
_KINDS = ("unified", "cpu")
_STATUSES = ("announced", "reported")


def problems(catalog: Path) -> list[str]:
    """What is wrong in the folder `candidates` of a catalog, each with its file; nothing without one."""
    folder = catalog / "candidates"
    if not folder.is_dir():
        return []
    try:
        machines = candidates.load_machines(str(folder))
        awaited = candidates.load_announced(str(folder))
        assumed = candidates.load_assumed(str(folder))
        known = prices.load(str(catalog / "prices" / "prices.csv"))
    except PlimsollError as error:
        return [f"candidates/{error.message}"]
    found = [f"candidates/machines.toml: {x}" for x in _machines(machines, known)]
    found += [f"candidates/announced.toml: {x}" for x in _announced(awaited)]
    return found + [f"candidates/assumed.toml: {x}" for x in _assumed(assumed)]


def _machines(found: Sequence[candidates.MachineOnSale], known: Sequence[Price]) -> Iterator[str]:
    seen: set[str] = set()
    for entry in found:
        if entry.id in seen:
            yield f"{entry.id} is given twice"
        seen.add(entry.id)
        if entry.kind not in _KINDS:
            yield f"{entry.id}: kind {entry.kind!r} is not one of {', '.join(_KINDS)}"
        if not entry.parts:
            yield f"{entry.id}: no part, so no price"
        if (entry.watts is None) == bool(entry.watts_source):
            yield f"{entry.id}: watts and their source go together"
        try:
            devices.find(entry.machine)
        except PlimsollError as error:
            yield f"{entry.id}: {error.message}"
        for part in entry.parts:
            if not any(_is_priced(part, price) for price in known):
                yield f"{entry.id}: no price to buy {part.device or part.item} {part.provider}".rstrip()


def _is_priced(part: candidates.PricedPart, price: Price) -> bool:
    same = (part.device, part.item) == (price.device, price.item)
    return same and price.kind == "buy" and part.provider in ("", price.provider)


def _announced(found: Sequence[candidates.Awaited]) -> Iterator[str]:
    known = devices.load_index()["ids"]
    for entry in found:
        if entry.status not in _STATUSES:
            yield f"{entry.name}: status {entry.status!r} is not one of {', '.join(_STATUSES)}"
        if not _DATE.fullmatch(entry.dated):
            yield f"{entry.name}: {entry.dated!r} is not a day, month or year"
        if not entry.source.startswith("https://"):
            yield f"{entry.name}: source {entry.source!r} is not a web address"
        if entry.device and entry.device not in known:
            yield f"{entry.name}: device {entry.device!r} is not in the catalog"
        elif entry.device and devices.load(entry.device).status != "announced":
            yield f"{entry.name}: the catalog has {entry.device} as released"


def _assumed(found: candidates.Assumed) -> Iterator[str]:
    if found.electricity_currency not in CURRENCIES:
        yield f"currency {found.electricity_currency!r} is not known"
    if not found.tables["electricity"].get("source", "").startswith("http"):
        yield "the price of electricity has no source"
    limits = (
        ("electricity.price", found.electricity_price, 2.0),
        ("lifetime.months", found.lifetime_months, 240.0),
        ("work.hours_per_day", found.hours_per_day, 24.0),
        ("transfer.bytes_per_s", found.transfer_bytes_per_s, 1e11),
    )  # fmt: skip
    for name, value, most in limits:
        if not 0 < value <= most:
            yield f"{name} {value:g} is not above 0 and at most {most:g}"
    if not 0 <= found.resale_share <= 1:
        yield f"resale.share {found.resale_share:g} is no share"
    for name, table in found.tables.items():
        if not table.get("says"):
            yield f"{name} does not say what it is"
