"""A user's own prices in a TOML file: [[price]] tables and `electricity`; unknown keys are errors."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from plimsoll.domain.price import Price
from plimsoll.errors import BadSetting, CatalogError
from plimsoll.units import Money, parse_money

_HINT = 'such as [[price]] with device = "rtx-4090" and rent = "0.34USD/h"'
_KEYS = {"device", "rent", "buy", "devices", "provider", "tier", "date", "note"}
DATE = re.compile(r"20[0-9]{2}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class PricesFile:
    """The whole file; `devices` of the prices are as written."""

    prices: tuple[Price, ...] = ()
    electricity: Money | None = None


def parse(text: str, *, where: str) -> PricesFile:
    """The prices in a TOML text; raises CatalogError or BadSetting naming `where` and the key."""
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise CatalogError(f"{where}: {error}", hint=_HINT) from error
    unknown = sorted(set(data) - {"price", "electricity"})
    if unknown:
        raise CatalogError(f"{where}: unknown key {unknown[0]!r}", hint="known keys: electricity, [[price]]")
    tables = data.get("price", [])
    if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise CatalogError(f"{where}: write each price as a [[price]] table", hint=_HINT)
    told = data.get("electricity")
    return PricesFile(
        prices=tuple(_price(table, f"{where}#price[{i}]") for i, table in enumerate(tables)),
        electricity=None if told is None else _money(told, ("kWh",), f"{where}#electricity"),
    )


def _price(table: Mapping[str, Any], where: str) -> Price:
    unknown = sorted(set(table) - _KEYS)
    if unknown:
        raise CatalogError(
            f"{where}: unknown key {unknown[0]!r}", hint=f"known keys: {', '.join(sorted(_KEYS))}"
        )
    if ("rent" in table) == ("buy" in table):
        raise CatalogError(f"{where}: a price is either rent or buy", hint=_HINT)
    kind: Literal["rent", "buy"] = "rent" if "rent" in table else "buy"
    money = _money(table[kind], ("hour",) if kind == "rent" else ("",), f"{where}.{kind}")
    count = table.get("devices", 1)
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= 1024:
        raise CatalogError(f"{where}.devices: {count!r} is not a whole number from 1 to 1024")
    date = _text(table, "date", where)
    if date and not DATE.fullmatch(date):
        raise CatalogError(f"{where}.date: {date!r} is not a day, month or year", hint='date = "2026-11-26"')
    device = _text(table, "device", where)
    if not device:
        raise CatalogError(f"{where}: device missing", hint=_HINT)
    return Price(
        device=device, kind=kind, tier=_text(table, "tier", where),
        provider=_text(table, "provider", where), price=money.amount, currency=money.currency,
        unit="hour" if kind == "rent" else "card", date=date, source=where, devices_count=count,
        note=_text(table, "note", where),
    )  # fmt: skip


def _money(value: object, per: tuple[str, ...], where: str) -> Money:
    if not isinstance(value, str):
        raise CatalogError(f"{where}: {value!r} is not a price in quotes", hint=_HINT)
    try:
        return parse_money(value, per=per)
    except BadSetting as error:
        raise BadSetting(f"{where}: {error.message}", hint=error.hint) from error


def _text(table: Mapping[str, Any], key: str, where: str) -> str:
    value = table.get(key, "")
    if key == "date" and type(value).__name__ == "date":
        return str(value)
    if not isinstance(value, str):
        raise CatalogError(f"{where}.{key}: {value!r} is not text in quotes")
    return value
