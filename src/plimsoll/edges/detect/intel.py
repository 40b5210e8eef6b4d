"""Intel cards: the xe driver's sysfs, i915's where it tells, else `xpu-smi`."""

from __future__ import annotations

import json

from plimsoll.domain.machine import Device
from plimsoll.edges.detect.probe import Found, Probe, detected
from plimsoll.edges.detect.sysfs import cards, whole_number


def find(probe: Probe, *, first_index: int) -> Found:
    """Every discrete Intel card whose memory can be read; the others are named in the notes.

    Integrated graphics sit at PCI slot 00:02.0 and are left out: they have no memory of their own.
    """
    if probe.system != "linux":
        return Found()
    devices: list[Device] = []
    notes: list[str] = []
    told: list[dict[str, object]] | None = None
    for folder in cards(probe, vendor="0x8086"):
        slot = _slot(probe, folder)
        if slot.endswith("00:02.0"):
            continue
        told = _xpu_smi(probe) if told is None else told
        row = next((r for r in told if r.get("pci_bdf_address") == slot), {})
        pci_id = (probe.read_text(f"{folder}/device") or "").strip().removeprefix("0x")
        name = str(row.get("device_name") or f"Intel graphics 8086:{pci_id}")
        size, where = _memory(probe, folder, row)
        if size is None:
            notes.append(f"{name}: the driver gives no memory size; declare the card with --on")
            continue
        devices.append(
            Device(
                id=f"gpu{first_index + len(devices)}",
                name=name,
                vendor="intel",
                architecture="",
                backend="sycl",
                memory_bytes=size,
                origins={"memory_bytes": detected(where)},
            )
        )
        notes.append(f"gpu{first_index + len(devices) - 1}: memory used by others could not be read")
    return Found(devices=tuple(devices), notes=tuple(notes))


def _slot(probe: Probe, folder: str) -> str:
    for line in (probe.read_text(f"{folder}/uevent") or "").splitlines():
        if line.startswith("PCI_SLOT_NAME="):
            return line.partition("=")[2].strip()
    return ""


def _memory(probe: Probe, folder: str, row: dict[str, object]) -> tuple[int | None, str]:
    """xe: the sum over tiles; i915 (Intel's own build): lmem_total_bytes beside the card; else xpu-smi."""
    tiles = [name for name in probe.list_dir(folder) if name.startswith("tile") and name[4:].isdecimal()]
    sizes = [whole_number(probe, f"{folder}/{tile}/physical_vram_size_bytes") for tile in tiles]
    if sizes and all(size is not None for size in sizes):
        return sum(size or 0 for size in sizes), f"{folder}/tile*/physical_vram_size_bytes"
    beside = f"{folder.removesuffix('/device')}/lmem_total_bytes"
    size = whole_number(probe, beside)
    if size:
        return size, beside
    printed = str(row.get("memory_physical_size_byte", ""))
    return (
        (int(printed), "xpu-smi discovery#memory_physical_size_byte") if printed.isdecimal() else (None, "")
    )


def _xpu_smi(probe: Probe) -> list[dict[str, object]]:
    """One row per card: `discovery -j` lists them, `discovery -d N -j` tells the memory."""
    try:
        listed = json.loads(probe.run(["xpu-smi", "discovery", "-j"]) or "{}").get("device_list", [])
        return [
            json.loads(probe.run(["xpu-smi", "discovery", "-d", str(row["device_id"]), "-j"]) or "{}")
            for row in listed
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
