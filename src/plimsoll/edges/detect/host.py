"""The host: memory, what limits it, its speed, and the name of the processor."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from plimsoll.domain.origin import Origin
from plimsoll.edges.detect import dimms
from plimsoll.edges.detect.probe import Probe, detected
from plimsoll.units import format_bytes

_UDEV_DMI = "/run/udev/data/+dmi:id"
_DMI_TABLE = "/sys/firmware/dmi/tables/DMI"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Host memory and processor; None and '' mean: could not be read."""

    cpu: str = ""
    os: str = ""
    ram_bytes: int | None = None
    ram_reserved_bytes: int = 0
    ram_bandwidth_bytes_per_s: int | None = None
    origins: dict[str, Origin] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read(probe: Probe) -> Host:
    """The host this process runs on."""
    if probe.system == "linux":
        return _linux(probe)
    if probe.system == "darwin":
        return _darwin(probe)
    size = probe.installed_ram_bytes()
    origins = {} if size is None else {"ram_bytes": detected("GetPhysicallyInstalledSystemMemory")}
    return Host(os=probe.system, ram_bytes=size, origins=origins)


def _linux(probe: Probe) -> Host:
    memory = read_meminfo(probe.read_text("/proc/meminfo") or "")
    total, available = memory.get("MemTotal"), memory.get("MemAvailable")
    reserved = total - available if total is not None and available is not None else 0
    origins: dict[str, Origin] = {}
    notes: list[str] = []
    if total is not None:
        origins["ram_bytes"] = detected("/proc/meminfo#MemTotal")
        origins["ram_reserved_bytes"] = detected("/proc/meminfo#MemTotal - MemAvailable")
    limited = _cgroup_limit(probe)
    if limited is not None and (total is None or limited[0] < total):
        limit, used, where = limited
        free = min(limit - used, available if available is not None else limit)
        total, reserved = limit, limit - free
        origins["ram_bytes"] = origins["ram_reserved_bytes"] = detected(where)
        notes.append(f"a container limit leaves {format_bytes(limit)} of host memory ({where})")
    version = probe.read_text("/proc/version") or ""
    is_wsl = "microsoft" in version.lower()
    if is_wsl:
        notes.append("WSL: host memory is what the virtual machine was given (.wslconfig, memory=)")
    bandwidth, where = _bandwidth(probe)
    if bandwidth is not None:
        origins["ram_bandwidth_bytes_per_s"] = detected(where)
    return Host(
        cpu=_cpu_name(probe.read_text("/proc/cpuinfo") or ""),
        os="linux (WSL)" if is_wsl else "linux",
        ram_bytes=total,
        ram_reserved_bytes=reserved,
        ram_bandwidth_bytes_per_s=bandwidth,
        origins=origins,
        notes=tuple(notes),
    )


def read_meminfo(text: str) -> dict[str, int]:
    """/proc/meminfo in bytes ('MemTotal: 24682416 kB')."""
    rows = re.findall(r"^(\w+):\s+([0-9]+) kB$", text, flags=re.MULTILINE)
    return {key: int(kib) * 1024 for key, kib in rows}


def _cpu_name(text: str) -> str:
    match = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", text, flags=re.MULTILINE)
    return " ".join(match.group(1).split()) if match else ""


def _cgroup_limit(probe: Probe) -> tuple[int, int, str] | None:
    """(limit, bytes in use that cannot be given back, file) of the tightest control group above us.

    Version 2: memory.max of our group and of each group above it. Version 1: memory.limit_in_bytes.
    """
    own = ""
    for line in (probe.read_text("/proc/self/cgroup") or "").splitlines():
        if line.startswith("0::"):
            own = line[3:].strip().rstrip("/")
    tightest: tuple[int, int, str] | None = None
    while True:
        folder = f"/sys/fs/cgroup{own}"
        found = _group(probe, folder, "memory.max", "memory.current", "inactive_file")
        if found is not None and (tightest is None or found[0] < tightest[0]):
            tightest = found
        if not own:
            break
        own = own.rpartition("/")[0]
    if tightest is not None:
        return tightest
    folder = "/sys/fs/cgroup/memory"
    return _group(probe, folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def _group(
    probe: Probe, folder: str, limit_file: str, used_file: str, cache_key: str
) -> tuple[int, int, str] | None:
    limit = (probe.read_text(f"{folder}/{limit_file}") or "").strip()
    if not limit.isdecimal() or int(limit) >= 1 << 62:  # version 1 writes a huge number for "no limit"
        return None
    used = (probe.read_text(f"{folder}/{used_file}") or "0").strip()
    stat = re.search(
        rf"^{cache_key} ([0-9]+)$", probe.read_text(f"{folder}/memory.stat") or "", flags=re.MULTILINE
    )
    cache = int(stat.group(1)) if stat else 0
    kept = max(0, int(used) - cache) if used.isdecimal() else 0
    return int(limit), min(kept, int(limit)), f"{folder}/{limit_file}"


def _bandwidth(probe: Probe) -> tuple[int | None, str]:
    """Peak bandwidth from the memory modules: udev's copy of the firmware table, else dmidecode (root)."""
    text = probe.read_text(_UDEV_DMI)
    if text is not None and "MEMORY_DEVICE_" in text:
        return dimms.bandwidth_bytes_per_s(dimms.read_udev(text)), _UDEV_DMI
    if probe.exists(_DMI_TABLE):
        text = probe.run(["dmidecode", "-t", "17"])
        if text is not None:
            return dimms.bandwidth_bytes_per_s(dimms.read_dmidecode(text)), "dmidecode -t 17"
    return None, ""


def _darwin(probe: Probe) -> Host:
    size = (probe.run(["sysctl", "-n", "hw.memsize"]) or "").strip()
    cpu = (probe.run(["sysctl", "-n", "machdep.cpu.brand_string"]) or "").strip()
    total = int(size) if size.isdecimal() else None
    origins = {} if total is None else {"ram_bytes": detected("sysctl hw.memsize")}
    return Host(cpu=cpu, os="macos", ram_bytes=total, origins=origins)
