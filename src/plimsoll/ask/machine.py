"""Which machine is meant: the one we run on, one declared by names, or one described in a file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from plimsoll.catalog import devices as catalog
from plimsoll.catalog.devices import DeviceRecord
from plimsoll.domain.machine import Backend, Device, Link, Machine
from plimsoll.domain.origin import Origin
from plimsoll.errors import AmbiguousName, BadSetting, UnknownDevice
from plimsoll.formulas.bandwidth import pcie_bytes_per_s
from plimsoll.formulas.driver import cuda_reserved_bytes
from plimsoll.formulas.unified import raised_wired_limit_bytes
from plimsoll.units import GIB, MIB, format_bytes, parse_bytes

if TYPE_CHECKING:
    from plimsoll.edges.detect.probe import Probe
    from plimsoll.parse.machine_file import DeviceEntry, MachineFile

# A plus inside a name ("AI Max+ 395") has no blank before it and follows "max".
_TERMS = re.compile(r"\s+\+\s*|\s*[,;]\s*|(?<!max)\+(?=\s*[0-9])", re.IGNORECASE)
_COUNT_FIRST = re.compile(r"([0-9]{1,3})\s*[x×*]\s*(.+)", re.IGNORECASE)
_COUNT_LAST = re.compile(r"(.+?)\s+[x×*]\s*([0-9]{1,3})", re.IGNORECASE)
_WORDS_COUNT = re.compile(r"(dual|twin|two|triple|three|quad|four|eight)\s+(.+)", re.IGNORECASE)
_COUNTS = {"dual": 2, "twin": 2, "two": 2, "triple": 3, "three": 3, "quad": 4, "four": 4, "eight": 8}
_RAM = re.compile(
    r"([0-9][0-9.,]*\s*[kmgt]i?b)|([0-9][0-9.,]*\s*[kmgt]i?b?)\s+(?:of\s+)?(?:ram|memory|dram|ddr[345]?)",
    re.IGNORECASE,
)
# 'rtx-3090 128gb ram': what was meant as two terms.
_RAM_BEHIND = re.compile(
    r"(.*\S)\s+([0-9][0-9.,]*\s*[kmgt]i?b?\s+(?:of\s+)?(?:ram|memory|dram|(?:lp)?ddr[345]).*)", re.IGNORECASE
)
_RAM_SPEED = re.compile(
    r"([0-9][0-9.,]*\s*[kmgt]i?b?)\s+(?:of\s+)?(?:lp)?ddr[345]x?[- ]([0-9]{4,5})"
    r"(?:\s*[x×]\s*([0-9]{1,2})|[\s,-]+([0-9]{1,2})\s*(?:ch|channels?))?(?:\s+ram)?",
    re.IGNORECASE,
)
_PCIE = re.compile(r"PCIe ([1-6])\.0 x([0-9]{1,2})")
_BACKENDS: dict[str, Backend] = {
    "cuda": "cuda", "rocm": "rocm", "metal": "metal", "vulkan": "vulkan", "sycl": "sycl", "cpu": "cpu",
}  # fmt: skip
# A detected card is a catalog card when its memory is the catalog's within this share.
_SAME_MEMORY_SHARE = 0.06


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What the terms of a declaration add up to."""

    records: tuple[DeviceRecord, ...] = ()
    cpu: DeviceRecord | None = None
    ram_bytes: int | None = None
    ram_bandwidth_bytes_per_s: int | None = None


def resolve(
    text: str | None = None,
    *,
    file: str | None = None,
    vram_free_bytes: int | None = None,
    ram_bytes: int | None = None,
    desktop_bytes: int | None = None,
    probe: Probe | None = None,
) -> Machine:
    """The machine in question.

    `text` declares it ('2x rtx-3090 + epyc-9554-12ch-ddr5-4800 + 128GiB ram', or the path of a TOML
    file); without `text` and `file` this machine is read (`probe` stands in for it in tests).
    `vram_free_bytes` is what is free on each card, `ram_bytes` the host memory, `desktop_bytes` what
    a desktop takes on the first card: the user's figures, whatever was declared or detected.
    Raises UnknownDevice, AmbiguousName, BadSetting, CatalogError, NotFound.
    """
    if text is not None and not text.strip():
        raise BadSetting("no machine is named", hint="such as '2x rtx-3090'; leave --on out for this machine")
    if text and file:
        raise BadSetting("the machine is given twice", hint="use either --on or --machine")
    if text and text.strip().lower().endswith(".toml"):
        file, text = text.strip(), None
    if file:
        machine = _from_file(file)
    elif text:
        machine = _declared(text)
    else:
        machine = _detected(probe)
    return _adjusted(machine, vram_free_bytes, ram_bytes, desktop_bytes)


def host_terms(text: str) -> list[str]:
    """The terms of a declaration that are no accelerator: the processor and the memory beside the cards."""
    terms = [] if text.strip().lower().endswith(".toml") else _apart(text)
    return [t for t in terms if _RAM_SPEED.fullmatch(t) or _RAM.fullmatch(t) or _counted(t)[1].kind == "cpu"]


def processor(text: str) -> DeviceRecord | None:
    """The host processor that a declaration names, if any."""
    return None if text.strip().lower().endswith(".toml") else _terms(text).cpu


def _detected(probe: Probe | None) -> Machine:
    from plimsoll.edges.detect import detect

    machine = detect(probe)
    known = tuple(_with_facts(device, machine.ram_bytes) for device in machine.devices)
    machine = replace(machine, devices=known)
    if machine.ram_bandwidth_bytes_per_s is None and not known:
        note = "the speed of the host memory could not be read; declare it, such as epyc-9554-12ch-ddr5-4800"
        machine = replace(machine, notes=(*machine.notes, note))
    return machine


def _with_facts(device: Device, ram_bytes: int | None) -> Device:
    """A detected device with what the catalog knows of a device of that name and memory size."""
    record = _record_of(device, ram_bytes)
    if record is None:
        return device
    origins = dict(device.origins)
    told = {"flops_per_s": record.flops_per_s, "architecture": record.architecture}
    if device.bandwidth_bytes_per_s is None:
        told["bandwidth_bytes_per_s"] = record.bandwidth_bytes_per_s  # type: ignore[assignment]
    origins.update({key: _catalog(record, key) for key, value in told.items() if value})
    return replace(
        device,
        catalog_id=record.id,
        architecture=record.architecture or device.architecture,
        flops_per_s=record.flops_per_s,
        bandwidth_bytes_per_s=device.bandwidth_bytes_per_s or record.bandwidth_bytes_per_s,
        origins=origins,
    )


def _record_of(device: Device, ram_bytes: int | None) -> DeviceRecord | None:
    """The one catalog record of this name and memory size, or None.

    A shared memory comes in the sizes the machine is sold with; the operating system shows a little less.
    """
    try:
        candidates = [catalog.find(device.name)]
    except AmbiguousName as error:
        candidates = [catalog.find(name) for name in error.nearest]
    except (UnknownDevice, BadSetting):
        return None
    if device.is_unified:
        sizes = [size for record in candidates for size in record.memory_options_bytes]
        fitting = [size for size in sizes if ram_bytes is not None and size >= ram_bytes]
        if fitting:
            return catalog.with_memory(candidates[0], min(fitting))
    else:
        candidates = [record for record in candidates if _is_same_size(record, device)]
    return candidates[0] if len(candidates) == 1 else None


def _is_same_size(record: DeviceRecord, device: Device) -> bool:
    size = record.memory_bytes
    return size is not None and abs(size - device.memory_bytes) <= size * _SAME_MEMORY_SHARE


def _declared(text: str) -> Machine:
    parts = _terms(text)
    devices, links, notes = _devices(parts.records)
    ram_bytes = parts.ram_bytes
    origins: dict[str, Origin] = {}
    if ram_bytes is not None:
        origins["ram_bytes"] = Origin(kind="user", where=text)
    elif parts.cpu is not None and parts.cpu.memory_bytes is not None:
        ram_bytes = parts.cpu.memory_bytes
        origins["ram_bytes"] = Origin(kind="user", where=parts.cpu.id)
    shared = [record for record in parts.records if record.is_unified]
    if shared:
        if ram_bytes is not None:
            raise BadSetting(
                f"the memory of {shared[0].name} is its host memory; it cannot have other RAM beside it",
                hint="name the size with the machine, such as mac-studio-m3-ultra-256gb",
            )
        ram_bytes = shared[0].memory_bytes
        origins["ram_bytes"] = _catalog(shared[0], "memory_bytes")
    if ram_bytes is None:
        notes.append("host memory is unknown: add it, such as '+ 128GiB ram' or --ram 128GiB")
    cpu = parts.cpu
    if parts.ram_bandwidth_bytes_per_s:
        origins["ram_bandwidth_bytes_per_s"] = Origin(kind="user", where=text)
    elif cpu is not None and cpu.bandwidth_bytes_per_s is not None:
        origins["ram_bandwidth_bytes_per_s"] = _catalog(cpu, "bandwidth_bytes_per_s")
    notes += cpu.notes if cpu else ()
    return Machine(
        name=_name(parts, ram_bytes if not shared else None), devices=devices, links=links,
        ram_bytes=ram_bytes, origins=origins, notes=tuple(notes),
        ram_bandwidth_bytes_per_s=parts.ram_bandwidth_bytes_per_s or _host_bandwidth(cpu, shared),
    )  # fmt: skip


def _host_bandwidth(cpu: DeviceRecord | None, shared: Sequence[DeviceRecord]) -> int | None:
    return cpu.bandwidth_bytes_per_s if cpu else shared[0].bandwidth_bytes_per_s if shared else None


def _terms(text: str) -> _Parts:
    """Cards, at most one host processor, at most one RAM size."""
    records: list[DeviceRecord] = []
    cpu: DeviceRecord | None = None
    ram_bytes: int | None = None
    rate: int | None = None
    for term in _apart(text):
        ram = _RAM_SPEED.fullmatch(term) or _RAM.fullmatch(term)
        if ram:
            if ram_bytes is not None:
                raise BadSetting(f"host memory is given twice in {text!r}", hint="name it once")
            ram_bytes = parse_bytes(ram[1] or ram[2])
            rate = _ram_rate(ram) if ram.re is _RAM_SPEED else None
            continue
        count, record = _counted(term)
        if record.kind != "cpu":
            records += [record] * count * record.devices_per_board_count
        elif cpu is not None or count > 1:
            raise BadSetting(
                f"several host processors in {text!r}",
                hint="write two sockets as 2s-epyc-9554 or dual epyc 9554",
            )
        else:
            cpu = record
    if not records and cpu is None:
        raise BadSetting(
            f"{text!r} names no device and no processor", hint="such as '2x rtx-3090 + 128GiB ram'"
        )
    return _Parts(records=tuple(records), cpu=cpu, ram_bytes=ram_bytes, ram_bandwidth_bytes_per_s=rate)


def _apart(text: str) -> list[str]:
    """The terms of a declaration; memory behind a name without a plus belongs to a machine that shares it
    ('m3 ultra 512gb ram'), else it is a term of its own."""
    terms: list[str] = []
    for term in filter(None, (part.strip() for part in _TERMS.split(text))):
        behind = None if _RAM.fullmatch(term) or _RAM_SPEED.fullmatch(term) else _RAM_BEHIND.fullmatch(term)
        if behind is None:
            terms.append(term)
            continue
        size = behind[2].rpartition(" ")[0]
        try:
            _counted(f"{behind[1]} {size}")
            terms.append(f"{behind[1]} {size}")
        except (UnknownDevice, BadSetting):
            terms += behind.groups()
    return terms


def _ram_rate(found: re.Match[str]) -> int:
    """Bytes per second of host memory told as 'ddr5-6000 x2': channels x transfers x 8 bytes.

    Raises BadSetting without the number of channels, which no speed of a module tells.
    """
    size, speed, channels = found[1], int(found[2]), int(found[3] or found[4] or 0)
    if not 1 <= channels <= 24:
        raise BadSetting(
            f"{channels} memory channels are more than any board has" if channels
            else f"how many memory channels {found[0]!r} fills is not told",
            hint=f"write '+ {size} ddr5-{speed} x2' for two channels, as most desktops have",
        )  # fmt: skip
    if not 800 <= speed <= 16000:
        raise BadSetting(f"{speed} MT/s is no speed of memory", hint=f"such as '+ {size} ddr5-6000 x2'")
    return channels * speed * 1_000_000 * 8


def _counted(term: str) -> tuple[int, DeviceRecord]:
    """'2x rtx-3090', 'rtx 3090 x2' and 'dual 3090' are two; the catalog decides what the rest means.

    Two processors are one host with two sockets.
    """
    first, last = _COUNT_FIRST.fullmatch(term), _COUNT_LAST.fullmatch(term)
    count, name = (int(first[1]), first[2]) if first else (int(last[2]), last[1]) if last else (1, term)
    if count < 1:
        raise BadSetting(f"{count} devices in {term!r}", hint="write 2x rtx-3090")
    try:
        found = catalog.find(name.strip())
    except UnknownDevice:
        worded = _WORDS_COUNT.fullmatch(name.strip())
        if count > 1 or worded is None:
            raise
        return _COUNTS[worded[1].lower()], catalog.find(worded[2])
    if count == 2 and found.kind == "cpu":
        return 1, catalog.find(f"dual {name.strip()}")
    return count, found


def _devices(records: Sequence[DeviceRecord]) -> tuple[tuple[Device, ...], tuple[Link, ...], list[str]]:
    devices: list[Device] = []
    links: list[Link] = []
    notes: list[str] = []
    for index, record in enumerate(records):
        device, told = device_from(record, f"gpu{index}")
        devices.append(device)
        notes += told
        pcie = _PCIE.fullmatch(record.pcie)
        if pcie and not record.is_unified:
            links.append(
                Link(
                    kind=record.pcie,
                    bandwidth_bytes_per_s=pcie_bytes_per_s(int(pcie[1]), int(pcie[2])),
                    ends=(device.id, "ram"),
                )
            )
        if len(records) > 1 and record.link_bytes_per_s and "sxm" in f"{record.id} {record.name}".lower():
            # Only SXM boards always carry the link; elsewhere a bridge may or may not have been bought.
            half = record.link_bytes_per_s // 2
            links.append(
                Link(kind=record.link_kind, bandwidth_bytes_per_s=half, ends=(device.id, record.link_kind))
            )
    return tuple(devices), tuple(links), list(dict.fromkeys(notes))


def device_from(record: DeviceRecord, device_id: str) -> tuple[Device, list[str]]:
    """A declared device: catalog facts, only the driver's share taken; and what to say about its memory."""
    if record.memory_bytes is None:
        raise BadSetting(f"the memory of {record.name} is not known", hint="describe it in a machine file")
    memory_bytes, limit_bytes, notes = _usable(record, record.memory_bytes, device_id)
    if record.memory_basis == "nominal" and not record.is_unified:
        size = format_bytes(memory_bytes)
        notes.append(f"{record.name}: {size} is the size on the box; the driver shows somewhat less")
    kept = (
        cuda_reserved_bytes(memory_bytes).value if record.backend == "cuda" and not record.is_unified else 0
    )
    keys = ("memory_bytes", "bandwidth_bytes_per_s", "flops_per_s", "power_limit_watts", "compute_capability")
    origins = {key: _catalog(record, key) for key in keys if getattr(record, key)}
    if kept:
        origins["reserved_bytes"] = Origin(kind="default", where="the driver's own share of a card this size")
    device = Device(
        id=device_id,
        name=record.name,
        vendor=record.vendor,
        architecture=record.architecture,
        backend=_BACKENDS.get(record.backend, "vulkan"),
        memory_bytes=memory_bytes,
        catalog_id=record.id,
        memory_limit_bytes=limit_bytes,
        reserved_bytes=kept,
        driver_reserved_bytes=kept,
        bandwidth_bytes_per_s=record.bandwidth_bytes_per_s,
        flops_per_s=record.flops_per_s,
        power_limit_watts=record.power_limit_watts,
        compute_capability=record.compute_capability,
        is_unified=record.is_unified,
        origins=origins,
    )
    return device, notes


def _usable(record: DeviceRecord, ram_bytes: int, device_id: str) -> tuple[int, int | None, list[str]]:
    """(memory by default, memory at most, notes): shared memory is only in part the graphics part's."""
    unified = record.unified
    if unified is None:
        return ram_bytes, None, []
    default = record.default_gpu_memory_bytes or ram_bytes
    limit = (
        raised_wired_limit_bytes(ram_bytes) if record.backend == "metal" else record.raised_gpu_memory_bytes
    )
    if limit is None or limit <= default:
        return default, None, []
    how = unified.raise_how.format(mib=limit // MIB, gib=limit // GIB, pages=limit // 4096)
    now = f"{device_id} may use {format_bytes(default)} of {format_bytes(ram_bytes)}"
    return default, limit, [f"{now}; {format_bytes(limit)} with: {how}"]


def _catalog(record: DeviceRecord, key: str) -> Origin:
    sources = ", ".join(record.sources.get(key, ()))
    return Origin(kind="catalog", where=f"{record.where}#{key}" + (f" ({sources})" if sources else ""))


def _name(parts: _Parts, ram_bytes: int | None) -> str:
    """'2x GeForce RTX 3090 + 128.00 GiB RAM'."""
    counts: dict[str, int] = {}
    for record in parts.records:
        counts[record.name] = counts.get(record.name, 0) + 1
    names = [f"{count}x {name}" if count > 1 else name for name, count in counts.items()]
    if parts.cpu is not None:
        names.append(parts.cpu.name)
    if ram_bytes is not None:
        names.append(f"{format_bytes(ram_bytes)} RAM")
    return " + ".join(names)


def _from_file(path: str) -> Machine:
    from plimsoll.edges.local_file import read_small_text
    from plimsoll.parse import machine_file

    described = machine_file.parse(read_small_text(path), where=path)
    devices: list[Device] = []
    notes: list[str] = []
    for entry in described.devices:
        for _ in range(entry.count):
            device, told = _entry_device(entry, f"gpu{len(devices)}", path)
            devices.append(device)
            notes += told
    cpu = catalog.find(described.cpu) if described.cpu else None
    bandwidth = described.ram_bandwidth_bytes_per_s or (cpu.bandwidth_bytes_per_s if cpu else None)
    own = cpu.memory_bytes if cpu else None
    ram_bytes = own if described.ram_bytes is None else described.ram_bytes
    if ram_bytes is None:
        notes.append(f'host memory is unknown: write it in {path}, such as ram = "128GiB"')
    names = {device.id for device in devices} | {"ram"}
    for link in described.links:
        if not set(link.ends) <= names:
            raise BadSetting(
                f"{path}: a link ends at {' and '.join(link.ends)}", hint=f"ends: {sorted(names)}"
            )
    return Machine(
        name=described.name or path, devices=tuple(devices),
        links=tuple(
            Link(kind=link.kind, bandwidth_bytes_per_s=link.bandwidth_bytes_per_s, ends=link.ends)
            for link in described.links
        ),
        ram_bytes=ram_bytes, ram_reserved_bytes=described.ram_reserved_bytes,
        ram_bandwidth_bytes_per_s=bandwidth, os=described.os, driver=described.driver, cuda=described.cuda,
        origins=_file_origins(path, described), notes=tuple(dict.fromkeys(notes)),
    )  # fmt: skip


def _file_origins(path: str, described: MachineFile) -> dict[str, Origin]:
    keys = ("ram_bytes", "ram_reserved_bytes", "ram_bandwidth_bytes_per_s", "os", "driver", "cuda")
    return {key: Origin(kind="user", where=f"{path}#{key}") for key in keys if getattr(described, key)}


def _entry_device(entry: DeviceEntry, device_id: str, path: str) -> tuple[Device, list[str]]:
    """The catalog's device with the file's facts on top, or the file's facts alone."""
    told = {
        key: value
        for key in (
            "name", "vendor", "architecture", "backend", "memory_bytes", "reserved_bytes",
            "memory_limit_bytes", "bandwidth_bytes_per_s", "power_limit_watts", "compute_capability",
            "is_unified",
        )
        if (value := getattr(entry, key)) not in (None, "", 0)
    }  # fmt: skip
    origins = {key: Origin(kind="user", where=f"{path}#device.{key}") for key in told}
    if entry.catalog_name:
        device, notes = device_from(catalog.find(entry.catalog_name), device_id)
        if "reserved_bytes" in told:
            told["reserved_bytes"] += device.driver_reserved_bytes
        return replace(device, **told, origins={**device.origins, **origins}), notes
    own = {"vendor": "", "architecture": "", **told}
    return Device(id=device_id, origins=origins, **own), []


def _adjusted(
    machine: Machine, vram_free_bytes: int | None, ram_bytes: int | None, desktop_bytes: int | None
) -> Machine:
    """The machine with the user's figures in place of what was declared or read."""
    if vram_free_bytes is not None:
        if not machine.devices:
            raise BadSetting("there is no card whose free memory could be set", hint="leave out --vram-free")
        machine = replace(machine, devices=tuple(_with_free(d, vram_free_bytes) for d in machine.devices))
    if desktop_bytes is not None:
        if not machine.devices:
            raise BadSetting("there is no card for a desktop to be on", hint="leave out --desktop")
        free = _free(machine.devices[0])
        if desktop_bytes > free:
            raise BadSetting(
                f"a desktop cannot take {format_bytes(desktop_bytes)}: {format_bytes(free)} are free on "
                f"{machine.devices[0].name}",
                hint="--desktop 1GiB",
            )
        first = _with_free(machine.devices[0], free - desktop_bytes)
        machine = replace(machine, devices=(first, *machine.devices[1:]))
    if ram_bytes is None:
        return machine
    if any(device.is_unified for device in machine.devices):
        raise BadSetting(
            f"{machine.name} has one memory for everything",
            hint="name its size (mac-studio-m3-ultra-256gb) or use --vram-free",
        )
    origins = {**machine.origins, "ram_bytes": Origin(kind="user", where="--ram")}
    origins.pop("ram_reserved_bytes", None)
    notes = tuple(note for note in machine.notes if not note.startswith("host memory is unknown"))
    return replace(machine, ram_bytes=ram_bytes, ram_reserved_bytes=0, origins=origins, notes=notes)


def _free(device: Device) -> int:
    return device.memory_bytes - device.reserved_bytes


def _with_free(device: Device, free_bytes: int) -> Device:
    most = max(device.memory_bytes, device.memory_limit_bytes or 0)
    if not 0 <= free_bytes <= most:
        raise BadSetting(
            f"{format_bytes(free_bytes)} cannot be free on {device.name}: it has {format_bytes(most)}",
            hint=f"a size up to {most // MIB}MiB",
        )
    origins = {**device.origins, "reserved_bytes": Origin(kind="user", where="--vram-free or --desktop")}
    # A shared memory whose limit was raised: more is free than the default allows.
    size = max(device.memory_bytes, free_bytes)
    kept = min(size - free_bytes, device.driver_reserved_bytes)
    return replace(
        device,
        memory_bytes=size,
        reserved_bytes=size - free_bytes,
        driver_reserved_bytes=kept,
        origins=origins,
    )
