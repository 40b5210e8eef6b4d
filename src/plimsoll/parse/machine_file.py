"""A machine described in a TOML file: tables become a MachineFile; unknown keys are errors."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from plimsoll.domain.machine import Backend
from plimsoll.errors import CatalogError, PlimsollError
from plimsoll.units import parse_bytes

_LARGEST_COUNT = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEntry:
    """One [[device]] table: a catalog name, own facts, or a catalog name with own facts on top."""

    catalog_name: str = ""
    count: int = 1
    name: str = ""
    vendor: str = ""
    architecture: str = ""
    backend: Backend | None = None
    memory_bytes: int | None = None
    reserved_bytes: int = 0
    memory_limit_bytes: int | None = None
    bandwidth_bytes_per_s: int | None = None
    power_limit_watts: int | None = None
    compute_capability: str = ""
    is_unified: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEntry:
    """One [[link]] table."""

    kind: str
    bandwidth_bytes_per_s: int
    ends: tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFile:
    """The whole file; None and '' mean: not told."""

    name: str = ""
    cpu: str = ""
    ram_bytes: int | None = None
    ram_reserved_bytes: int = 0
    ram_bandwidth_bytes_per_s: int | None = None
    os: str = ""
    driver: str = ""
    cuda: str = ""
    devices: tuple[DeviceEntry, ...] = ()
    links: tuple[LinkEntry, ...] = ()


# Key in the file -> (field, how its value is read). Sizes are text with a unit, rates are GB/s (10^9).
_MACHINE_KEYS = {
    "name": ("name", "text"), "cpu": ("cpu", "text"), "os": ("os", "text"),
    "driver": ("driver", "text"), "cuda": ("cuda", "text"),
    "ram": ("ram_bytes", "size"), "ram_reserved": ("ram_reserved_bytes", "size"),
    "ram_bandwidth_gb_per_s": ("ram_bandwidth_bytes_per_s", "rate"),
}  # fmt: skip
_DEVICE_KEYS = {
    "is": ("catalog_name", "text"), "count": ("count", "whole"), "name": ("name", "text"),
    "vendor": ("vendor", "text"), "architecture": ("architecture", "text"), "backend": ("backend", "backend"),
    "memory": ("memory_bytes", "size"), "reserved": ("reserved_bytes", "size"),
    "memory_limit": ("memory_limit_bytes", "size"),
    "bandwidth_gb_per_s": ("bandwidth_bytes_per_s", "rate"),
    "power_limit_watts": ("power_limit_watts", "whole"),
    "compute_capability": ("compute_capability", "text"), "is_unified": ("is_unified", "yes_no"),
}  # fmt: skip
_LINK_KEYS = {
    "kind": ("kind", "text"), "bandwidth_gb_per_s": ("bandwidth_bytes_per_s", "rate"),
    "ends": ("ends", "ends"),
}  # fmt: skip


def parse(text: str, *, where: str) -> MachineFile:
    """The machine in a TOML text; raises CatalogError naming `where` and the key."""
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise CatalogError(
            f"{where}: {error}", hint="see docs/reference/machine.md for an example"
        ) from error
    tables = {name: _tables(data.pop(name, []), where, name) for name in ("device", "link")}
    values = _read(data, _MACHINE_KEYS, where, also=("device", "link"))
    devices = tuple(
        _device(table, f"{where}#device[{index}]") for index, table in enumerate(tables["device"])
    )
    links = tuple(_link(table, f"{where}#link[{index}]") for index, table in enumerate(tables["link"]))
    return MachineFile(**values, devices=devices, links=links)


def _tables(value: Any, where: str, name: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise CatalogError(f"{where}: write each {name} as a [[{name}]] table")
    return value


def _device(table: Mapping[str, Any], where: str) -> DeviceEntry:
    entry = DeviceEntry(**_read(table, _DEVICE_KEYS, where))
    if not 1 <= entry.count <= _LARGEST_COUNT:
        raise CatalogError(f"{where}.count: {entry.count} is not between 1 and {_LARGEST_COUNT}")
    if not entry.catalog_name:
        wanted = {"name": entry.name, "memory": entry.memory_bytes, "backend": entry.backend}
        missing = [key for key, value in wanted.items() if not value]
        if missing:
            raise CatalogError(
                f"{where}: {', '.join(missing)} missing", hint='or name a known device: is = "rtx-3090"'
            )
    return entry


def _link(table: Mapping[str, Any], where: str) -> LinkEntry:
    values = _read(table, _LINK_KEYS, where)
    missing = [key for key, (name, _) in _LINK_KEYS.items() if name not in values]
    if missing:
        raise CatalogError(f"{where}: {', '.join(missing)} missing")
    return LinkEntry(**values)


def _read(
    table: Mapping[str, Any], keys: Mapping[str, tuple[str, str]], where: str, also: tuple[str, ...] = ()
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in keys:
            known = ", ".join(sorted((*keys, *also)))
            raise CatalogError(f"{where}: unknown key {key!r}", hint=f"known keys: {known}")
        name, kind = keys[key]
        values[name] = _value(value, kind, f"{where}.{key}")
    return values


def _value(value: Any, kind: str, where: str) -> Any:
    """A value of the kind a key asks for, or CatalogError."""
    if kind == "text" and isinstance(value, str):
        return value
    if kind == "yes_no" and isinstance(value, bool):
        return value
    if kind == "whole" and isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    if kind == "rate" and isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e9:
        return round(value * 10**9)
    if kind == "backend" and value in get_args(Backend):
        return value
    if kind == "ends" and isinstance(value, list) and len(value) == 2 and all(type(v) is str for v in value):
        return (value[0], value[1])
    if kind == "size" and isinstance(value, str):
        try:
            return parse_bytes(value)
        except PlimsollError as error:
            raise CatalogError(f"{where}: {error.message}", hint=error.hint) from error
    raise CatalogError(f"{where}: {value!r} is not {_EXPECTED[kind]}")


_EXPECTED = {
    "text": "text in quotes", "yes_no": "true or false", "whole": "a whole number above 0",
    "rate": "a number of GB/s", "backend": f"one of {', '.join(get_args(Backend))}",
    "ends": 'two names such as ["gpu0", "gpu1"]', "size": 'a size in quotes such as "24576MiB"',
}  # fmt: skip
