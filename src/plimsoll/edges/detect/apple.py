"""Apple silicon: sysctl, system_profiler and Metal's own working-set figure."""

from __future__ import annotations

import json

from plimsoll.domain.machine import Device
from plimsoll.domain.origin import Origin
from plimsoll.edges.detect.probe import Found, Probe, detected
from plimsoll.formulas.unified import metal_working_set_bytes, raised_wired_limit_bytes
from plimsoll.units import MIB, format_bytes


def find(probe: Probe, *, host_ram_bytes: int | None) -> Found:
    """The graphics part of an Apple chip, with what it may wire by default and at most."""
    if probe.system != "darwin" or host_ram_bytes is None:
        return Found()
    name, cores = _chip(probe)
    if not name.startswith("Apple"):
        return Found(notes=(f"{name or 'this Mac'} has no Apple graphics part; only its processor counts",))
    size, origin = _usable(probe, host_ram_bytes)
    limit = max(size, raised_wired_limit_bytes(host_ram_bytes))
    notes = [wired_limit_note("gpu0", limit)] if limit > size else []
    device = Device(
        id="gpu0",
        name=f"{name} ({cores}-core GPU)" if cores else name,
        vendor="apple",
        architecture=name.removeprefix("Apple "),
        backend="metal",
        memory_bytes=size,
        memory_limit_bytes=limit,
        is_unified=True,
        origins={
            "name": detected("system_profiler SPDisplaysDataType#sppci_model"),
            "memory_bytes": origin,
            "memory_limit_bytes": Origin(
                kind="default", where="larger of 80 % and all but 5 GiB of hw.memsize"
            ),
        },
    )
    return Found(devices=(device,), notes=tuple(notes))


def wired_limit_note(device_id: str, limit_bytes: int) -> str:
    """The command that raises the limit until the next start of the machine."""
    return (
        f"{device_id} can be given {format_bytes(limit_bytes)}: "
        f"sudo sysctl iogpu.wired_limit_mb={limit_bytes // MIB} (until the next start)"
    )


def _usable(probe: Probe, host_ram_bytes: int) -> tuple[int, Origin]:
    """What the GPU may wire now: the raised limit, else what Metal says, else the observed share."""
    raised = (probe.run(["sysctl", "-n", "iogpu.wired_limit_mb"]) or "").strip()
    if raised.isdecimal() and int(raised) > 0:
        return int(raised) * MIB, detected("sysctl iogpu.wired_limit_mb")
    told = probe.metal_working_set_bytes()
    if told is not None:
        return told, detected("Metal recommendedMaxWorkingSetSize")
    where = "share of hw.memsize that macOS was seen to allow"
    return metal_working_set_bytes(host_ram_bytes), Origin(kind="default", where=where)


def _chip(probe: Probe) -> tuple[str, str]:
    """('Apple M4 Max', '40'); the cores are '' when unknown."""
    name = (probe.run(["sysctl", "-n", "machdep.cpu.brand_string"]) or "").strip()
    try:
        rows = json.loads(probe.run(["system_profiler", "SPDisplaysDataType", "-json"]) or "{}")
        row = rows["SPDisplaysDataType"][0]
        return str(row.get("sppci_model") or name), str(row.get("sppci_cores") or "")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return name, ""
