"""Devices of the shipped catalog: `devices/<vendor>/<id>.toml` becomes a DeviceRecord."""

from __future__ import annotations

import json
import os.path
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from plimsoll.catalog.names import name_key, nearest, one_of
from plimsoll.errors import AmbiguousName, CatalogError, UnknownDevice
from plimsoll.formulas.unified import metal_working_set_bytes

# Plain paths: pathlib would add 4 ms to every cold start.
FOLDER = os.path.join(os.path.dirname(__file__), "devices")
GIB = 1024**3

Kind = Literal["gpu", "soc", "accelerator", "cpu"]
MemoryBasis = Literal["driver", "os", "nominal"]

_VENDOR_WORDS = re.compile(
    r"\((?:r|tm)\)|[™®]|\b(?:nvidia|geforce|amd|radeon|intel|apple|instinct|tesla|gpu|graphics|generation|edition)\b"
)
_MEMORY_SUFFIX = re.compile(r"[-_ ]*\b([0-9]{1,4}) ?(?:gib|gb|g)(?: ?(?:ram|vram|memory|unified))?$")
_MAC = re.compile(r"^(?:apple )?(?:mac ?studio|mac ?book ?(?:pro|air)?|mac ?mini|mac ?pro|imac)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnifiedMemory:
    """How much of shared memory the accelerator may take.

    `default_share` of the RAM is the limit without doing anything (for Apple the rule of older macOS;
    `formulas.unified` has what newer ones show); `raised_share` is the most that was seen after raising
    it; `raise_how` says how to raise it, with {mib} for the new limit in MiB.
    """

    default_share: float
    raised_share: float | None = None
    raise_how: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuPlatform:
    """A CPU family's memory: `memory_mt_per_s` is the rated speed, in transfers of 8 bytes per channel."""

    sockets_max_count: int
    memory_channels_count: int
    memory_mt_per_s: int
    memory_max_bytes: int | None = None
    instructions: str = ""
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DeviceRecord:
    """One fact file, with a memory size chosen.

    `memory_bytes` is what one device offers: as the driver reports it (`memory_basis` "driver"), as the
    operating system shows it ("os"), or the size on the box ("nominal", always in GiB). For unified
    memory it is the whole RAM; `unified` says which share the accelerator gets. For a CPU it is the
    RAM the name stated, or None.
    `memory_options_bytes` lists the sizes on sale when there are several; without a size in the name
    `memory_default_bytes` is meant, or a person is asked.
    `bandwidth_bytes_per_s` is theoretical; `measured_bandwidth_bytes_per_s` was seen by someone.
    `flops_per_s` is dense, without sparsity, by format ('bf16' and 'fp16' accumulate in FP32,
    'fp16_acc16' in FP16); `flops_method` says whether the rates were "published", "computed" as cores x
    clock x rate per core, or "scaled" from a larger part of the same chip.
    `link_bytes_per_s` is the card-to-card link (NVLink, xGMI), both directions together.
    `sources` maps a field to the sources it was read in; keys are the field names above.
    """

    id: str
    name: str
    vendor: str
    kind: Kind
    segment: str
    status: str
    architecture: str
    backend: str
    memory_bytes: int | None
    memory_basis: MemoryBasis
    chip: str = ""
    released_on: str = ""
    aliases: tuple[str, ...] = ()
    memory_nominal_bytes: int | None = None
    memory_options_bytes: tuple[int, ...] = ()
    memory_default_bytes: int | None = None
    memory_type: str = ""
    memory_bus_bits: int | None = None
    bandwidth_bytes_per_s: int | None = None
    measured_bandwidth_bytes_per_s: int | None = None
    flops_per_s: Mapping[str, float] = field(default_factory=dict)
    measured_flops_per_s: Mapping[str, float] = field(default_factory=dict)
    is_flops_verified: bool = False
    flops_method: str = ""
    power_limit_watts: int | None = None
    compute_capability: str = ""
    cores_count: int | None = None
    l2_bytes: int | None = None
    pcie: str = ""
    link_kind: str = ""
    link_bytes_per_s: int | None = None
    devices_per_board_count: int = 1
    is_unified: bool = False
    unified: UnifiedMemory | None = None
    cpu: CpuPlatform | None = None
    is_verified: bool = False
    notes: tuple[str, ...] = ()
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    where: str = ""

    @property
    def default_gpu_memory_bytes(self) -> int | None:
        """What the accelerator may use without changing a setting: all, or its share of unified memory."""
        if self.unified is None or self.memory_bytes is None:
            return self.memory_bytes
        if self.backend == "metal":
            return metal_working_set_bytes(self.memory_bytes)
        return round(self.memory_bytes * self.unified.default_share)

    @property
    def raised_gpu_memory_bytes(self) -> int | None:
        """What it may use at most after raising the limit, or None where there is no limit to raise."""
        if self.unified is None or self.memory_bytes is None or self.unified.raised_share is None:
            return None
        return round(self.memory_bytes * self.unified.raised_share)


# What to say to a name of a whole family; each names one that exists.
_FAMILIES = {
    "mac": "name the chip and its memory, such as mac-studio-m3-ultra-512gb or macbook-pro-m4-max-128gb",
    "epyc": "name the processor, such as epyc-9554 or epyc-9554-12ch-ddr5-4800",
    "xeon": "name the processor, such as xeon-w9-3495x",
}


def find(name: str) -> DeviceRecord:
    """The device a person means by `name`: 'rtx 3090', 'mac-studio-m3-ultra-512gb', 'epyc-9554-12ch'.

    Raises AmbiguousName when several devices fit (or the memory size must be told), UnknownDevice with
    the nearest names otherwise.
    """
    from plimsoll.catalog import cpus

    host = cpus.find_host(name)
    if host is not None:
        return host
    index = load_index()
    record = _by_name(name, index)
    if record is not None:
        return record
    close = nearest(device_key(name), index["names"])
    whole = next((hint for word, hint in _FAMILIES.items() if word in name.lower()), "")
    hint = f"did you mean {one_of(close)}?" if close else whole or "list them with: plimsoll devices"
    raise UnknownDevice(f"no such device: {name}", name=name, nearest=close, hint=hint)


def find_all() -> tuple[str, ...]:
    """The ids of all devices, sorted."""
    return tuple(sorted(load_index()["ids"]))


def device_key(text: str) -> str:
    """The form device names are compared in; vendor words such as NVIDIA or GeForce do not count."""
    words = re.sub(r"[^0-9a-z.+()™®]+", " ", text.lower())
    return name_key(_VENDOR_WORDS.sub(" ", words))


def load_index() -> dict[str, Any]:
    """The generated index: names to ids, ids to files (see `index.device_index`)."""
    with open(os.path.join(FOLDER, "index.json"), "rb") as file:
        index: dict[str, Any] = json.loads(file.read())
    return index


def _by_name(name: str, index: Mapping[str, Any]) -> DeviceRecord | None:
    """Exact key first; then the name without a trailing memory size, filtered by that size."""
    ids = index["names"].get(device_key(name))
    if ids:
        return _choose(name, [load(i, index) for i in ids], None)
    plain = re.sub(r"[^0-9a-z.+]+", " ", name.lower()).strip()
    match = _MEMORY_SUFFIX.search(plain)
    stem = plain[: match.start()] if match else plain
    stem = _MAC.sub("", stem)
    ids = index["names"].get(device_key(stem)) if device_key(stem) else None
    if not ids:
        return None
    return _choose(name, [load(i, index) for i in ids], int(match.group(1)) * GIB if match else None)


def _choose(name: str, records: list[DeviceRecord], memory_bytes: int | None) -> DeviceRecord:
    """The one record that fits the memory size; asks when several remain or a size must be told."""
    options = [(r, size) for r in records for size in (r.memory_options_bytes or (r.memory_nominal_bytes,))]
    wanted = memory_bytes or (records[0].memory_default_bytes if len(records) == 1 else None)
    fitting = [pair for pair in options if wanted in (None, pair[1])]
    if len(fitting) == 1:
        record, size = fitting[0]
        return with_memory(record, size) if record.memory_options_bytes else record
    names = tuple(_spoken_id(record, size) for record, size in (fitting or options))
    if not fitting:
        raise UnknownDevice(
            f"no such device: {name} (known: {one_of(names)})", name=name, nearest=names,
            hint=f"did you mean {one_of(names)}?",
        )  # fmt: skip
    raise AmbiguousName(
        f"{name!r} fits several devices: {', '.join(names)}", name=name, nearest=names,
        hint=f"name one of them, such as {names[0]}",
    )  # fmt: skip


def _spoken_id(record: DeviceRecord, size_bytes: int | None) -> str:
    if not record.memory_options_bytes or size_bytes is None:
        return record.id
    return f"{record.id}-{size_bytes // GIB}gb"


def with_memory(record: DeviceRecord, size_bytes: int | None) -> DeviceRecord:
    """The record with one of its memory sizes; its id then names the size."""
    spoken = _spoken_id(record, size_bytes)
    return replace(record, id=spoken, memory_bytes=size_bytes, memory_nominal_bytes=size_bytes)


def load(device_id: str, index: Mapping[str, Any] | None = None) -> DeviceRecord:
    """The record of an id, with its first memory option; raises CatalogError for a bad file."""
    index = index or load_index()
    if device_id not in index["ids"]:
        raise UnknownDevice(f"no such device: {device_id}", name=device_id)
    with open(os.path.join(FOLDER, "records.jsonl"), "rb") as file:
        lines = file.read()
    start = lines.index(json.dumps({"id": device_id})[:-1].encode())
    return record_from(
        json.loads(lines[start : lines.index(b"\n", start)]), f"catalog/devices/{index['ids'][device_id]}"
    )


def read_file(path: str) -> DeviceRecord:
    """The record in one TOML file."""
    import tomllib  # 4 ms to import

    folder, name = os.path.split(path)
    try:
        with open(path, "rb") as file:
            data = tomllib.load(file)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CatalogError(f"{name}: {error}") from error
    return record_from(data, f"catalog/devices/{os.path.basename(folder)}/{name}")


def record_from(data: Mapping[str, Any], where: str) -> DeviceRecord:
    """The record in a parsed file; raises CatalogError naming an unknown or missing key."""
    flat = dict(data)
    memory = dict(flat.pop("memory", {}))
    flat.update({f"memory_{key}": value for key, value in memory.items()})
    for key in ("memory_bandwidth_bytes_per_s", "memory_measured_bandwidth_bytes_per_s"):
        if key in flat:
            flat[key.removeprefix("memory_")] = flat.pop(key)
    flat.pop("shared_aliases", None)
    try:
        for key, make in (("unified", UnifiedMemory), ("cpu", CpuPlatform)):
            if key in flat:
                flat[key] = make(**_tuples(flat[key]))
        flat["sources"] = {key: tuple(value) for key, value in flat.get("sources", {}).items()}
        options = tuple(flat.get("memory_options_bytes", ()))
        if options:
            flat["memory_bytes"] = flat.get("memory_default_bytes", options[0])
        flat.setdefault("memory_bytes", flat.get("memory_nominal_bytes"))
        flat.setdefault("memory_basis", "nominal")
        flat["is_unified"] = "unified" in flat
        record = DeviceRecord(**_tuples(flat), where=where)
    except (TypeError, ValueError, AttributeError) as error:
        raise CatalogError(f"{where}: {error}") from error
    return record


def _tuples(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
