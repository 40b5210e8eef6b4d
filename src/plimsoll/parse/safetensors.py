"""Headers of safetensors files and the index that joins their shards.

Format: README of huggingface/safetensors: 8 bytes with the header's length, the header as JSON, then
the tensors, which cover the rest of the file without holes or overlaps.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from plimsoll.errors import MalformedConfig, MalformedSafetensors
from plimsoll.parse import strict_json
from plimsoll.parse.byte_source import ByteSource

# dtype -> (our format name, bits per value); safetensors/src/tensor.rs
DTYPES: dict[str, tuple[str, int]] = {
    "F64": ("f64", 64), "F32": ("f32", 32), "F16": ("f16", 16), "BF16": ("bf16", 16),
    "F8_E4M3": ("fp8_e4m3", 8), "F8_E5M2": ("fp8_e5m2", 8), "F8_E8M0": ("fp8_e8m0", 8), "F4": ("fp4", 4),
    "I64": ("i64", 64), "I32": ("i32", 32), "I16": ("i16", 16), "I8": ("i8", 8),
    "U64": ("u64", 64), "U32": ("u32", 32), "U16": ("u16", 16), "U8": ("u8", 8), "BOOL": ("bool", 8),
    "C64": ("c64", 64),
}  # fmt: skip
# The library allows 100 MB; headers of real models stay below 20 MB.
LARGEST_HEADER = strict_json.HEADER.size_bytes
MOST_DIMS = 8


class StoredTensor(NamedTuple):
    """One row of a header; `offset` is where its bytes start in the file."""

    name: str
    shape: tuple[int, ...]
    format: str
    size_bytes: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetensorsHeader:
    """What one file holds."""

    name: str
    tensors: tuple[StoredTensor, ...]
    metadata: Mapping[str, str]
    size_bytes: int
    file_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetensorsIndex:
    """Which shard holds which tensor; `shards` in order of their names."""

    name: str
    weight_map: Mapping[str, str]
    shards: tuple[str, ...]
    total_bytes: int | None


def read_header(source: ByteSource) -> SafetensorsHeader:
    """Read the header of one safetensors file; raises MalformedSafetensors naming tensor and offset."""
    size = _header_size(source)
    data = source.read(8, size)
    if len(data) < size:
        raise _bad(source, f"header at byte 8: only {len(data)} of {size} bytes could be read")
    try:
        header = strict_json.loads_object(data, where=f"{source.name} header", limits=strict_json.HEADER)
    except MalformedConfig as error:
        raise _as_safetensors(error) from None
    metadata = header.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise _bad(source, "__metadata__ is not a map of texts")
    start = 8 + size
    rows = sorted((_row(source, name, entry, start) for name, entry in header.items()), key=_by_offset)
    _refuse_holes(source, rows, start)
    return SafetensorsHeader(
        name=source.name,
        tensors=tuple(rows),
        metadata=metadata,
        size_bytes=start,
        file_bytes=source.size_bytes,
    )


def read_index(data: bytes, *, where: str) -> SafetensorsIndex:
    """Read model.safetensors.index.json; raises MalformedSafetensors."""
    try:
        index = strict_json.loads_object(data, where=where, limits=strict_json.INDEX)
    except MalformedConfig as error:
        raise _as_safetensors(error) from None
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise MalformedSafetensors("there is no weight_map", where=where)
    shards = set()
    for name, shard in weight_map.items():
        if not isinstance(shard, str) or not _is_plain(shard):
            raise MalformedSafetensors(
                f"{_shown(shard)} is not the name of a shard beside the index",
                where=f"{where}#weight_map.{_shown(name)}",
            )
        shards.add(shard)
    metadata = index.get("metadata")
    total = metadata.get("total_size") if isinstance(metadata, dict) else None
    return SafetensorsIndex(
        name=where, weight_map=weight_map, shards=tuple(sorted(shards)),
        total_bytes=total if isinstance(total, int) and not isinstance(total, bool) else None,
    )  # fmt: skip


def join(index: SafetensorsIndex, headers: Iterable[SafetensorsHeader]) -> tuple[StoredTensor, ...]:
    """All tensors of all shards, checked against the index: none missing, none elsewhere, none twice."""
    home: dict[str, str] = {}
    rows: list[StoredTensor] = []
    for header in headers:
        for row in header.tensors:
            if row.name in home:
                raise MalformedSafetensors(
                    f"{_shown(row.name)} stands in {home[row.name]}, too", where=header.name
                )
            home[row.name] = header.name
            rows.append(row)
    for name, shard in index.weight_map.items():
        at = home.get(name)
        if at is None or at.rsplit("/", 1)[-1] != shard.rsplit("/", 1)[-1]:
            raise MalformedSafetensors(
                f"{shard} should hold {_shown(name)}, " + (f"but {at} does" if at else "but it does not"),
                where=f"{index.name}#weight_map",
            )
    return tuple(rows)


def _header_size(source: ByteSource) -> int:
    head = source.read(0, 8) if source.size_bytes >= 8 else b""
    if len(head) < 8:
        raise _bad(source, f"header length at byte 0: the file has only {source.size_bytes} bytes")
    (size,) = struct.unpack("<Q", head)
    if size > source.size_bytes - 8:
        raise _bad(source, f"header length at byte 0: {size} bytes in a file of {source.size_bytes}")
    if size > LARGEST_HEADER:
        raise _bad(source, f"header length at byte 0: {size} bytes, more than {LARGEST_HEADER} are not read")
    return int(size)


def _row(source: ByteSource, name: str, entry: Any, start: int) -> StoredTensor:
    label = _shown(name)
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _bad(source, f"{label}: an entry has dtype, shape and data_offsets, nothing else")
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in DTYPES:
        raise _bad(source, f"{label}: dtype {_shown(entry['dtype'])} is not known")
    format_name, bits = DTYPES[entry["dtype"]]
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _are_counts(shape) or len(shape) > MOST_DIMS:
        raise _bad(source, f"{label}: shape {_shown(shape)} cannot be")
    if not _are_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _bad(source, f"{label}: data_offsets {_shown(offsets)} cannot be")
    values = 1
    for dim in shape:
        values *= dim
    first, last = offsets
    if values * bits % 8 or values * bits // 8 != last - first:
        raise _bad(
            source,
            f"{label} at byte {start + first}: {last - first} bytes for {values} values of {bits} bits",
        )
    if start + last > source.size_bytes:
        raise _bad(
            source,
            f"{label} at byte {start + first}: ends at {start + last}, the file at {source.size_bytes}",
        )
    return StoredTensor(name, tuple(shape), format_name, last - first, start + first)


def _refuse_holes(source: ByteSource, rows: list[StoredTensor], start: int) -> None:
    at, previous = start, "the header"
    for row in rows:
        if row.offset != at:
            what = "overlaps" if row.offset < at else f"leaves {row.offset - at} bytes unused after"
            raise _bad(source, f"{_shown(row.name)} at byte {row.offset}: {what} {_shown(previous)}")
        at, previous = row.offset + row.size_bytes, row.name
    if at != source.size_bytes:
        raise _bad(source, f"the tensors end at byte {at}, the file at byte {source.size_bytes}")


def _by_offset(row: StoredTensor) -> tuple[int, int]:
    return row.offset, row.size_bytes


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(v, int) and not isinstance(v, bool) and 0 <= v < 2**63 for v in value
    )


def _is_plain(name: str) -> bool:
    """A file below the same folder: no absolute path, no way up, nothing that is no safetensors."""
    parts = name.replace("\\", "/").split("/")
    return (
        name.endswith(".safetensors") and name.isprintable() and ":" not in name and len(name) < 512
        and not any(part in ("", ".", "..") for part in parts)
    )  # fmt: skip


def _as_safetensors(error: MalformedConfig) -> MalformedSafetensors:
    return MalformedSafetensors(error.message.removeprefix(f"{error.where}: "), where=error.where)


def _bad(source: ByteSource, message: str) -> MalformedSafetensors:
    return MalformedSafetensors(message, where=source.name)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else str(value)
    text = text if len(text) <= 80 else text[:77] + "..."
    return text if text.isascii() and text.isprintable() else ascii(text)
