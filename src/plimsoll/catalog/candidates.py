"""Machines that can be bought, hardware that is announced, and what costs rest on: `candidates/*.toml`."""

from __future__ import annotations

import os.path
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from plimsoll.errors import CatalogError

FOLDER = os.path.join(os.path.dirname(__file__), "candidates")
MachineKind = Literal["unified", "cpu"]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedPart:
    """`count` of what the price rows with this device (or item) and, where told, this provider price."""

    device: str = ""
    item: str = ""
    provider: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineOnSale:
    """A machine as --on takes it, and the parts whose prices add up to its price, without `not_counted`.

    `watts` is the most it draws at the wall, where that was read; None: the limit of its device.
    """

    id: str
    kind: MachineKind
    label: str
    machine: str
    parts: tuple[PricedPart, ...]
    not_counted: str = ""
    watts: float | None = None
    watts_source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """Hardware that is 'announced' by its maker or only 'reported'; `device` is its catalog id, if any."""

    name: str
    status: str
    dated: str
    says: str
    source: str
    device: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """What costs rest on where the user says nothing: value, words, and source where there is one."""

    electricity_price: float
    electricity_currency: str
    lifetime_months: float
    resale_share: float
    hours_per_day: float
    transfer_bytes_per_s: float
    tables: Mapping[str, Mapping[str, Any]]


def load_machines(folder: str = FOLDER) -> tuple[MachineOnSale, ...]:
    """The machines on sale; raises CatalogError naming the table."""
    return tuple(_machine(t) for t in _tables(folder, "machines.toml", "machine"))


def load_announced(folder: str = FOLDER) -> tuple[Awaited, ...]:
    """What is announced or reported; raises CatalogError naming the table."""
    return tuple(_made(Awaited, t, "announced.toml") for t in _tables(folder, "announced.toml", "announced"))


def load_assumed(folder: str = FOLDER) -> Assumed:
    """The assumptions; raises CatalogError."""
    tables = _read(folder, "assumed.toml")
    try:
        return Assumed(
            electricity_price=tables["electricity"]["price"],
            electricity_currency=tables["electricity"]["currency"],
            lifetime_months=tables["lifetime"]["months"], resale_share=tables["resale"]["share"],
            hours_per_day=tables["work"]["hours_per_day"],
            transfer_bytes_per_s=tables["transfer"]["bytes_per_s"], tables=tables,
        )  # fmt: skip
    except (KeyError, TypeError) as error:
        raise CatalogError(f"assumed.toml: {error} is missing") from error


def _machine(table: Mapping[str, Any]) -> MachineOnSale:
    rest = {key: value for key, value in table.items() if key != "part"}
    parts = tuple(_made(PricedPart, part, "machines.toml") for part in table.get("part", ()))
    return _made(MachineOnSale, {**rest, "parts": parts}, "machines.toml")


def _made(kind: type[_T], table: Mapping[str, Any], name: str) -> _T:
    try:
        return kind(**table)
    except TypeError as error:
        raise CatalogError(f"{name}: {error}") from error


def _tables(folder: str, name: str, key: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _read(folder, name).get(key, [])
    return found


def _read(folder: str, name: str) -> dict[str, Any]:
    import tomllib  # 4 ms to import

    try:
        with open(os.path.join(folder, name), "rb") as file:
            return tomllib.load(file)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CatalogError(f"{name}: {error}") from error
