"""CPU hosts by name: `<cpu>[-<n>ch][-<ddrN>-<speed>][-<ram>gb]`, such as epyc-9554-12ch-ddr5-4800-384gb."""

from __future__ import annotations

import re
from dataclasses import replace

from plimsoll.catalog import devices
from plimsoll.catalog.devices import GIB, DeviceRecord
from plimsoll.errors import BadSetting

_TOKENS = (
    ("channels", re.compile(r"\b([0-9]{1,2}) ?(?:ch|channels?)\b")),
    ("speed", re.compile(r"\b(?:lp|m)?(?:ddr|rdimm|dimm)[345]x?[ -]?([0-9]{4,5})\b")),
    ("ram", re.compile(r"\b([0-9]{1,5}) ?(?:gib|gb|g)\b")),
    ("tib", re.compile(r"\b([0-9]{1,2}) ?(?:tib|tb|t)\b")),
    ("sockets", re.compile(r"^\b(?:dual|([1-8])s)\b")),
)
_CPU_WORDS = re.compile(r"\b(?:epyc|xeon|threadripper|ryzen|core|i[3579]|w[3579])\b")


def find_host(name: str) -> DeviceRecord | None:
    """The CPU platform that `name` describes, with its bandwidth, or None if it names no known CPU.

    Bandwidth = channels x transfers per second x 8 bytes, per socket. Raises BadSetting for more
    channels than the platform has.
    """
    text = re.sub(r"[^0-9a-z.+]+", " ", name.lower()).strip()
    if not _CPU_WORDS.search(text):
        return None
    found: dict[str, int] = {}
    for label, pattern in _TOKENS:
        match = pattern.search(text)
        if match:
            found[label] = int(match.group(1) or 2)
            text = f"{text[: match.start()]} {text[match.end() :]}".strip()
    record = _platform(text)
    return None if record is None else _configured(record, name, found)


def _platform(text: str) -> DeviceRecord | None:
    """The family whose id, alias or model pattern is `text`."""
    index = devices.load_index()
    key = devices.device_key(text)
    ids = [i for i in index["names"].get(key, ()) if i in index["cpus"]]
    if not ids:
        ids = [i for i, patterns in index["cpus"].items() if any(re.fullmatch(p, key) for p in patterns)]
    return devices.load(ids[0], index) if len(ids) == 1 else None


def _configured(record: DeviceRecord, name: str, found: dict[str, int]) -> DeviceRecord:
    cpu = record.cpu
    assert cpu is not None
    channels = found.get("channels", cpu.memory_channels_count)
    sockets = found.get("sockets", 1)
    speed = found.get("speed", cpu.memory_mt_per_s)
    if not 0 < channels <= cpu.memory_channels_count * sockets:
        raise BadSetting(
            f"{record.name} has {cpu.memory_channels_count} memory channels per socket, not {channels}",
            hint=f"write {record.id}-{cpu.memory_channels_count}ch",
        )
    if sockets > 1 and "channels" not in found:
        channels *= sockets
    ram = found["tib"] * 1024 * GIB if "tib" in found else found["ram"] * GIB if "ram" in found else None
    notes = record.notes
    if speed > cpu.memory_mt_per_s:
        notes = (*notes, f"rated for {cpu.memory_mt_per_s} MT/s; {speed} MT/s is beyond the rating")
    return replace(
        record, id=name.strip().lower().replace(" ", "-"), memory_bytes=ram, memory_nominal_bytes=ram,
        bandwidth_bytes_per_s=channels * speed * 1_000_000 * 8, notes=notes,
    )  # fmt: skip
