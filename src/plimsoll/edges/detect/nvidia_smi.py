"""NVIDIA cards through `nvidia-smi --query-gpu`, for machines without `nvidia-ml-py`."""

from __future__ import annotations

import csv

from plimsoll.domain.machine import Device, Link
from plimsoll.domain.origin import Origin
from plimsoll.edges.detect.probe import Found, Probe, detected
from plimsoll.formulas.bandwidth import PCIE_LANE, pcie_bytes_per_s
from plimsoll.units import MIB

_FIELDS = (
    "index", "name", "uuid", "memory.total", "memory.free", "memory.reserved", "compute_cap",
    "driver_version", "power.limit",
    "pcie.link.gen.max", "pcie.link.width.current", "pcie.link.width.max", "display_active",
    "mig.mode.current",
)  # fmt: skip
# Drivers before 510 refuse the whole query when they do not know one field.
_OLD_FIELDS = ("index", "name", "uuid", "memory.total", "memory.free", "driver_version", "power.limit")


def find(probe: Probe, *, host_ram_bytes: int | None, host_used_bytes: int) -> Found:
    """Every card nvidia-smi lists; a card whose memory it cannot tell shares the host's."""
    rows: list[dict[str, str]] = []
    for fields in (_FIELDS, _OLD_FIELDS):
        text = probe.run(["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"])
        if text is not None:
            rows = read_rows(text, fields)
            break
    notes = [] if rows else ["an NVIDIA driver is installed but neither NVML nor nvidia-smi could be used"]
    devices: list[Device] = []
    links: list[Link] = []
    for row in rows:
        if row.get("mig.mode.current") == "Enabled":
            notes.append(f"{row['name']} is cut into MIG slices: install nvidia-ml-py to read them")
            continue
        device = _device(row, f"gpu{len(devices)}", host_ram_bytes, host_used_bytes)
        if device is None:
            notes.append(f"{row['name']}: nvidia-smi gives no memory size")
            continue
        devices.append(device)
        links += _links(row, device.id)
        notes += _notes(row, device.id)
    driver = rows[0].get("driver_version", "") if rows else ""
    return Found(devices=tuple(devices), links=tuple(links), driver=driver, notes=tuple(notes))


def read_rows(text: str, fields: tuple[str, ...]) -> list[dict[str, str]]:
    """Rows of the CSV as field -> text, without what the driver does not tell ([N/A], [Not Supported])."""
    rows: list[dict[str, str]] = []
    for cells in csv.reader(text.splitlines(), skipinitialspace=True):
        if len(cells) != len(fields):
            continue
        pairs = ((field, cell.strip()) for field, cell in zip(fields, cells, strict=True))
        rows.append({field: cell for field, cell in pairs if cell and not cell.startswith(("[", "N/A"))})
    return [row for row in rows if "name" in row]


def _whole(row: dict[str, str], field: str) -> int | None:
    """A number without its fraction ('600.00' watts), or None."""
    try:
        return int(float(row[field]))
    except (KeyError, ValueError):
        return None


def _device(
    row: dict[str, str], device_id: str, host_ram_bytes: int | None, host_used_bytes: int
) -> Device | None:
    total_mib, free_mib = _whole(row, "memory.total"), _whole(row, "memory.free")
    if total_mib is not None:
        total_bytes, where = total_mib * MIB, "nvidia-smi --query-gpu=memory.total"
        reserved_bytes = (total_mib - free_mib) * MIB if free_mib is not None else 0
    elif host_ram_bytes is not None:
        total_bytes, reserved_bytes = host_ram_bytes, host_used_bytes
        where = "/proc/meminfo#MemTotal (nvidia-smi: memory.total [N/A])"
    else:
        return None
    origins: dict[str, Origin] = {
        "name": detected("nvidia-smi --query-gpu=name"),
        "memory_bytes": detected(where),
        "reserved_bytes": detected(f"{where} - memory.free" if total_mib is not None else where),
    }
    power_watts = _whole(row, "power.limit")
    if power_watts is not None:
        origins["power_limit_watts"] = detected("nvidia-smi --query-gpu=power.limit")
    if "compute_cap" in row:
        origins["compute_capability"] = detected("nvidia-smi --query-gpu=compute_cap")
    return Device(
        id=device_id,
        name=row["name"],
        vendor="nvidia",
        architecture="",
        backend="cuda",
        memory_bytes=total_bytes,
        reserved_bytes=reserved_bytes,
        driver_reserved_bytes=(_whole(row, "memory.reserved") or 0) * MIB,
        power_limit_watts=power_watts,
        compute_capability=row.get("compute_cap", ""),
        is_unified=total_mib is None,
        origins=origins,
    )


def _links(row: dict[str, str], device_id: str) -> list[Link]:
    generation, width = _whole(row, "pcie.link.gen.max"), _whole(row, "pcie.link.width.current")
    if generation not in PCIE_LANE or not width:
        return []
    return [
        Link(
            kind=f"PCIe {generation}.0 x{width}",
            bandwidth_bytes_per_s=pcie_bytes_per_s(generation, width),
            ends=(device_id, "ram"),
        )
    ]


def _notes(row: dict[str, str], device_id: str) -> list[str]:
    notes: list[str] = []
    width, widest = _whole(row, "pcie.link.width.current"), _whole(row, "pcie.link.width.max")
    if width and widest and width < widest:
        notes.append(f"{device_id} runs on {width} of {widest} PCIe lanes")
    if row.get("display_active") == "Enabled":
        notes.append(f"{device_id} drives a display; its memory use changes with what is shown")
    return notes
