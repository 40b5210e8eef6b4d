"""Memory modules as the firmware lists them (SMBIOS type 17), and the bandwidth they add up to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from plimsoll.formulas.bandwidth import ram_bytes_per_s

_CHANNEL = re.compile(r"(?:CHANNEL|CHAN|CH)[ _-]*([A-Z]|[0-9]{1,2})(?![A-Z])")
_LETTER = re.compile(r"(?:DIMM|DDR[345])[ _-]?([A-P])[0-9]?(?![A-Z])")
_SOCKET = re.compile(r"\b(?:P|CPU|PROC|SOCKET|NODE)[ _-]?([0-9])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One populated slot."""

    place: str
    rate_mt_per_s: int
    width_bits: int


def read_udev(text: str) -> tuple[Module, ...]:
    """Modules in udev's database, whose lines are 'E:MEMORY_DEVICE_0_SIZE=17179869184'."""
    slots: dict[str, dict[str, str]] = {}
    for slot, key, value in re.findall(r"^E: ?MEMORY_DEVICE_([0-9]+)_(\w+)=(.*)$", text, flags=re.MULTILINE):
        slots.setdefault(slot, {})[key] = value.strip()
    return tuple(
        module
        for slot in slots.values()
        if slot.get("PRESENT") != "0" and slot.get("SIZE", "0") != "0"
        for module in _module(
            slot.get("CONFIGURED_SPEED_MTS") or slot.get("SPEED_MTS", ""),
            slot.get("DATA_WIDTH", ""),
            slot.get("BANK_LOCATOR", ""),
            slot.get("LOCATOR", ""),
        )
    )


def read_dmidecode(text: str) -> tuple[Module, ...]:
    """Modules in the output of `dmidecode -t 17`."""
    modules: list[Module] = []
    for block in text.split("\nMemory Device\n")[1:]:
        fields = dict(re.findall(r"^\t([^:\t]+): (.*)$", block.split("\nHandle ")[0], flags=re.MULTILINE))
        if fields.get("Size", "No Module Installed").startswith(("No Module", "0", "Unknown")):
            continue
        if fields.get("Type") == "Flash":
            continue
        speed = fields.get("Configured Memory Speed") or fields.get("Configured Clock Speed", "")
        modules += _module(
            speed if speed[:1].isdecimal() else fields.get("Speed", ""),
            fields.get("Data Width", ""),
            fields.get("Bank Locator", ""),
            fields.get("Locator", ""),
        )
    return tuple(modules)


def _module(speed: str, width: str, bank: str, locator: str) -> list[Module]:
    """A module, or nothing known about its place or speed (rate 0, width 0) when the firmware is silent."""
    rate = re.match(r"[0-9]+", speed)
    bits = re.match(r"[0-9]+", width)
    return [
        Module(
            place=f"{bank} {locator}".upper(),
            rate_mt_per_s=int(rate.group()) if rate else 0,
            width_bits=int(bits.group()) if bits else 0,
        )
    ]


def bandwidth_bytes_per_s(modules: Iterable[Module]) -> int | None:
    """Peak bandwidth: one term per channel that holds a module; None when any piece is missing.

    Two modules on one channel share it. A channel is only recognised where the firmware names it
    ('P0 CHANNEL A', 'ChannelA-DIMM0', 'DIMM_A1'); where one module's channel is unnamed nothing is told.
    """
    channels: dict[str, tuple[int, int]] = {}
    for module in modules:
        channel = channel_of(module.place)
        if channel is None or not module.rate_mt_per_s or not module.width_bits:
            return None
        rate, width = channels.get(channel, (module.rate_mt_per_s, module.width_bits))
        channels[channel] = (min(rate, module.rate_mt_per_s), width)
    return ram_bytes_per_s(channels.values()) if channels else None


def channel_of(place: str) -> str | None:
    """'0/A' for 'P0 CHANNEL A DIMM 1', or None where no channel is named."""
    socket = _SOCKET.search(place)
    controller = re.search(r"CONTROLLER[ _-]?([0-9])", place)
    match = _CHANNEL.search(place) or _LETTER.search(place)
    if match is None:
        return None
    where = "/".join(found.group(1) for found in (socket, controller) if found)
    return f"{where}/{match.group(1)}"
