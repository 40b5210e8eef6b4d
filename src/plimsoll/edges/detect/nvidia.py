"""NVIDIA cards: NVML through `nvidia-ml-py`, or `nvidia-smi` where that module is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from plimsoll.domain.machine import Device, Link
from plimsoll.domain.origin import Origin
from plimsoll.edges.detect import nvidia_smi
from plimsoll.edges.detect.probe import Found, Probe, detected
from plimsoll.formulas.bandwidth import PCIE_LANE, memory_bus_bytes_per_s, pcie_bytes_per_s
from plimsoll.units import format_bytes

_DRIVER_FILES = ("/dev/nvidiactl", "/dev/dxg", "/proc/driver/nvidia/version", "/dev/nvhost-gpu")
# CUDA C++ Programming Guide, table of compute capabilities.
ARCHITECTURES = {
    "6.0": "Pascal", "6.1": "Pascal", "7.0": "Volta", "7.2": "Volta", "7.5": "Turing",
    "8.0": "Ampere", "8.6": "Ampere", "8.7": "Ampere", "8.9": "Ada Lovelace", "9.0": "Hopper",
    "10.0": "Blackwell", "10.1": "Blackwell", "10.3": "Blackwell", "11.0": "Blackwell",
    "12.0": "Blackwell", "12.1": "Blackwell",
}  # fmt: skip

Ask = Callable[..., Any]


def find(probe: Probe, *, host_ram_bytes: int | None, host_used_bytes: int) -> Found:
    """Every NVIDIA card this process could use.

    `host_ram_bytes` and `host_used_bytes` stand in for the memory of chips that share it with the
    processor (GB10, Jetson): there NVML has no memory figure of its own.
    """
    if probe.system == "linux" and not any(probe.exists(path) for path in _DRIVER_FILES):
        return Found()
    if probe.system == "darwin":
        return Found()
    nvml = probe.nvml()
    if nvml is None:
        return nvidia_smi.find(probe, host_ram_bytes=host_ram_bytes, host_used_bytes=host_used_bytes)
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return Found(notes=(f"an NVIDIA driver is installed but NVML cannot be used: {error}",))
    try:
        return _read_all(probe, nvml, host_ram_bytes, host_used_bytes)
    finally:
        nvml.nvmlShutdown()


def _asker(nvml: Any) -> Ask:
    """A function that calls NVML by name and gives None where the driver does not answer."""

    def ask(name: str, *arguments: Any, **options: Any) -> Any:
        try:
            value = getattr(nvml, name)(*arguments, **options)
        except (nvml.NVMLError, AttributeError):
            return None
        return value.decode() if isinstance(value, bytes) else value

    return ask


def _read_all(probe: Probe, nvml: Any, host_ram_bytes: int | None, host_used_bytes: int) -> Found:
    ask = _asker(nvml)
    handles, notes = _visible(probe, nvml, ask)
    devices: list[Device] = []
    links: list[Link] = []
    for handle in handles:
        device_id = f"gpu{len(devices)}"
        device = _device(nvml, ask, handle, device_id, host_ram_bytes, host_used_bytes)
        if device is None:
            notes.append(f"{ask('nvmlDeviceGetName', handle) or 'a card'}: the driver gives no memory size")
            continue
        devices.append(device)
        links += _links(nvml, ask, handle, device_id)
        notes += _notes(nvml, ask, handle, device_id)
    cuda = ask("nvmlSystemGetCudaDriverVersion_v2")
    return Found(
        devices=tuple(devices),
        links=tuple(links),
        driver=ask("nvmlSystemGetDriverVersion") or "",
        cuda=f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else "",
        notes=tuple(notes),
    )


def _visible(probe: Probe, nvml: Any, ask: Ask) -> tuple[list[Any], list[str]]:
    """Handles of cards, or of MIG slices where a card is cut, that CUDA_VISIBLE_DEVICES leaves visible."""
    cards = [ask("nvmlDeviceGetHandleByIndex", i) for i in range(ask("nvmlDeviceGetCount") or 0)]
    whole = [card for card in cards if card is not None]
    notes: list[str] = []
    handles: list[Any] = []
    wanted = probe.environment("CUDA_VISIBLE_DEVICES")
    for index, card in enumerate(whole):
        slices = _slices(nvml, ask, card)
        for handle in slices or [card]:
            if wanted is None or is_visible(wanted, index, ask("nvmlDeviceGetUUID", handle) or ""):
                handles.append(handle)
        if slices:
            notes.append(f"{ask('nvmlDeviceGetName', card)} is cut into {len(slices)} MIG slices")
    if wanted is not None:
        notes.append(f"CUDA_VISIBLE_DEVICES={wanted} leaves {len(handles)} of {len(whole)} cards visible")
        names = {ask("nvmlDeviceGetName", card) for card in whole}
        if len(names) > 1 and probe.environment("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
            notes.append(
                "without CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA may number these different cards otherwise"
            )
    return handles, notes


def is_visible(wanted: str, index: int, uuid: str) -> bool:
    """Whether CUDA_VISIBLE_DEVICES names this card, by index or by (the beginning of) its UUID."""
    for token in wanted.split(","):
        token = token.strip()
        if token == str(index) or (len(token) > 4 and uuid.startswith(token)):
            return True
        if token.startswith("-"):  # CUDA stops at the first invalid entry
            return False
    return False


def _slices(nvml: Any, ask: Ask, card: Any) -> list[Any]:
    mode = ask("nvmlDeviceGetMigMode", card)
    if not mode or mode[0] != nvml.NVML_DEVICE_MIG_ENABLE:
        return []
    count = ask("nvmlDeviceGetMaxMigDeviceCount", card) or 0
    slices = [ask("nvmlDeviceGetMigDeviceHandleByIndex", card, i) for i in range(count)]
    return [handle for handle in slices if handle is not None]


class _Memory(NamedTuple):
    """`taken` is whatever is not free, thus also what the driver keeps for itself."""

    total: int
    taken: int
    driver: int
    where: str


def _memory(nvml: Any, ask: Ask, handle: Any) -> _Memory | None:
    info = ask("nvmlDeviceGetMemoryInfo", handle, version=getattr(nvml, "nvmlMemory_v2", None))
    info = info or ask("nvmlDeviceGetMemoryInfo", handle)
    if info is None or not info.total:
        return None
    total, driver = int(info.total), int(getattr(info, "reserved", 0))
    return _Memory(total, total - int(info.free), driver, "NVML nvmlDeviceGetMemoryInfo")


def _device(
    nvml: Any, ask: Ask, handle: Any, device_id: str, host_ram_bytes: int | None, host_used_bytes: int
) -> Device | None:
    memory = _memory(nvml, ask, handle)
    is_unified = memory is None
    if memory is None:
        if host_ram_bytes is None:
            return None
        where = "/proc/meminfo#MemTotal (NVML: no memory of its own)"
        memory = _Memory(host_ram_bytes, host_used_bytes, 0, where)
    capability = ask("nvmlDeviceGetCudaComputeCapability", handle)
    power_mw = ask("nvmlDeviceGetPowerManagementLimit", handle)
    bus_bits = ask("nvmlDeviceGetMemoryBusWidth", handle)
    clock_mhz = ask("nvmlDeviceGetMaxClockInfo", handle, nvml.NVML_CLOCK_MEM)
    version = f"{capability[0]}.{capability[1]}" if capability else ""
    origins: dict[str, Origin] = {
        "name": detected("NVML nvmlDeviceGetName"),
        "memory_bytes": detected(memory.where),
        "reserved_bytes": detected(f"{memory.where}: total - free"),
    }
    if capability:
        origins["compute_capability"] = detected("NVML nvmlDeviceGetCudaComputeCapability")
    if power_mw:
        origins["power_limit_watts"] = detected("NVML nvmlDeviceGetPowerManagementLimit")
    bandwidth = memory_bus_bytes_per_s(clock_mhz, bus_bits) if clock_mhz and bus_bits else None
    if bandwidth:
        origins["bandwidth_bytes_per_s"] = detected(
            "NVML nvmlDeviceGetMaxClockInfo x nvmlDeviceGetMemoryBusWidth"
        )
    return Device(
        id=device_id,
        name=ask("nvmlDeviceGetName", handle) or "NVIDIA card",
        vendor="nvidia",
        architecture=ARCHITECTURES.get(version, ""),
        backend="cuda",
        memory_bytes=memory.total,
        reserved_bytes=memory.taken,
        driver_reserved_bytes=memory.driver,
        bandwidth_bytes_per_s=bandwidth,
        power_limit_watts=power_mw // 1000 if power_mw else None,
        compute_capability=version,
        is_unified=is_unified,
        origins=origins,
    )


def _links(nvml: Any, ask: Ask, handle: Any, device_id: str) -> list[Link]:
    """The PCIe link at the width it runs now and the best generation card and slot share; NVLink if active.

    The current generation is not used: an idle card drops to generation 1.
    """
    found: list[Link] = []
    generation = ask("nvmlDeviceGetMaxPcieLinkGeneration", handle)
    width = ask("nvmlDeviceGetCurrPcieLinkWidth", handle)
    if generation in PCIE_LANE and width:
        found.append(pcie_link(generation, width, device_id))
    lanes = [
        link
        for link in range(getattr(nvml, "NVML_NVLINK_MAX_LINKS", 18))
        if ask("nvmlDeviceGetNvLinkState", handle, link) == 1
    ]
    if lanes:
        speed = ask(
            "nvmlDeviceGetFieldValues", handle, [getattr(nvml, "NVML_FI_DEV_NVLINK_SPEED_MBPS_COMMON", 90)]
        )
        mbps = speed[0].value.uiVal if speed and speed[0].nvmlReturn == 0 else 0
        if mbps:
            found.append(
                Link(
                    kind=f"NVLink x{len(lanes)}",
                    bandwidth_bytes_per_s=mbps * 1_000_000 * len(lanes),
                    ends=(device_id, "nvlink"),
                )
            )
    return found


def pcie_link(generation: int, width: int, device_id: str) -> Link:
    """The link between a card and the host."""
    return Link(
        kind=f"PCIe {generation}.0 x{width}",
        bandwidth_bytes_per_s=pcie_bytes_per_s(generation, width),
        ends=(device_id, "ram"),
    )


def _notes(nvml: Any, ask: Ask, handle: Any, device_id: str) -> list[str]:
    notes: list[str] = []
    width, widest = (
        ask("nvmlDeviceGetCurrPcieLinkWidth", handle),
        ask("nvmlDeviceGetMaxPcieLinkWidth", handle),
    )
    if width and widest and width < widest:
        notes.append(f"{device_id} runs on {width} of {widest} PCIe lanes")
    processes = {
        process.pid: process.usedGpuMemory
        for kind in ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses")
        for process in ask(kind, handle) or []
    }
    if processes:
        sizes = [size for size in processes.values() if size is not None]
        told = f"{format_bytes(sum(sizes))}" if sizes else "an amount the driver does not tell"
        who = "1 other process holds" if len(processes) == 1 else f"{len(processes)} other processes hold"
        notes.append(f"{device_id}: {who} {told}")
    if ask("nvmlDeviceGetDisplayActive", handle) == 1:
        notes.append(f"{device_id} drives a display; its memory use changes with what is shown")
    return notes
