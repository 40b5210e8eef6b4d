"""The header of a GGUF file: metadata and the table of tensors, and not one byte of weights.

Format: docs/gguf.md of ggml and ggml/src/gguf.cpp of llama.cpp. A header is magic, version, counts,
key-value pairs and tensor descriptions; tensor offsets count from the aligned end of the header.
Large arrays (token lists, merges) are stepped over; what remains is their type, count and place.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from plimsoll.errors import MalformedGguf
from plimsoll.formulas.formats import tensor_bytes
from plimsoll.parse.byte_source import ByteSource
from plimsoll.parse.gguf_types import TYPE_NAMES

Scalar = int | float | bool | str
_SCALARS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
_STRING, _ARRAY = 8, 9
_VALUE_TYPES = (
    "uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "bool", "string", "array",
    "uint64", "int64", "float64",
)  # fmt: skip

# Real headers stay far below: 524,000 merges, some 70 keys, 70,000 tensors when experts are not stacked.
LONGEST_KEY = 65_535
LONGEST_TENSOR_NAME = 1_024
LONGEST_TEXT = 65_536
LONGEST_KEPT_ARRAY = 2_048
LARGEST_VALUE_BYTES = 1 << 30
MOST_STRINGS = 1_200_000
MOST_KEYS = 20_000
MOST_TENSORS = 120_000
MOST_DIMS = 4
LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FarArray:
    """An array that was stepped over: `element` is its type, `offset` where its first element starts."""

    element: str
    count: int
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FarText:
    """A text too long to keep: where it starts and how long it is."""

    offset: int
    size_bytes: int


Value = Scalar | tuple[Scalar, ...] | FarArray | FarText


class GgufTensor(NamedTuple):
    """One row of the table; `shape` is in PyTorch order, `offset` is where its bytes start in the file."""

    name: str
    shape: tuple[int, ...]
    format: str
    size_bytes: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufHeader:
    """What one file says of itself. `size_bytes` is the header's, `file_bytes` the whole file's."""

    name: str
    version: int
    metadata: Mapping[str, Value]
    tensors: tuple[GgufTensor, ...]
    alignment: int
    size_bytes: int
    file_bytes: int
    notes: tuple[str, ...] = field(default=())


class _Cursor:
    """A position in a source, with one chunk in memory."""

    def __init__(self, source: ByteSource) -> None:
        self.source = source
        self.end = source.size_bytes
        self.base = 0
        self.at = 0
        self.data = b""

    @property
    def position(self) -> int:
        return self.base + self.at

    def fail(self, message: str, field_name: str, position: int | None = None) -> MalformedGguf:
        """The error for what stands at the cursor."""
        offset = self.position if position is None else position
        return MalformedGguf(f"{field_name} at byte {offset}: {message}", where=self.source.name)

    def need(self, count: int, field_name: str) -> None:
        """Make sure that `count` bytes stand in memory after the cursor."""
        if self.at + count <= len(self.data):
            return
        start = self.position
        if start + count > self.end:
            raise self.fail(f"the file ends at byte {self.end}, {count} more bytes were promised", field_name)
        wanted = min(max(count, self.source.chunk_bytes), self.end - start)
        self.data, self.base, self.at = self.source.read(start, wanted), start, 0
        if len(self.data) < count:
            raise self.fail(f"only {len(self.data)} of {count} bytes could be read", field_name)

    def skip(self, count: int, field_name: str) -> None:
        """Step over bytes without reading them."""
        if count > LARGEST_VALUE_BYTES:
            raise self.fail(f"{count} bytes, at most {LARGEST_VALUE_BYTES} are allowed", field_name)
        if self.position + count > self.end:
            raise self.fail(f"{count} bytes run past the end of the file at byte {self.end}", field_name)
        self.at += count

    def number(self, code: str, field_name: str) -> int | float | bool:
        """One scalar."""
        size = struct.calcsize(code)
        self.need(size, field_name)
        (value,) = struct.unpack_from(code, self.data, self.at)
        self.at += size
        return value  # type: ignore[no-any-return]

    def count(self, code: str, field_name: str) -> int:
        """One unsigned integer."""
        return int(self.number(code, field_name))

    def text(self, longest: int, field_name: str) -> str:
        """A length and that many bytes of UTF-8."""
        start = self.position
        length = self.count("<Q", field_name)
        if length > longest:
            raise self.fail(f"a text of {length} bytes, at most {longest} are allowed", field_name, start)
        self.need(length, field_name)
        raw = self.data[self.at : self.at + length]
        self.at += length
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise self.fail("not UTF-8", field_name, start) from None

    def skip_strings(self, count: int, field_name: str) -> None:
        """Step over `count` strings, reading only their lengths."""
        unpack, left = struct.Struct("<Q").unpack_from, count
        while left:
            self.need(8, field_name)
            data, at, last = self.data, self.at, len(self.data) - 8
            while left and at <= last:
                at += 8 + unpack(data, at)[0]
                left -= 1
            if self.base + at > self.end:
                raise self.fail(
                    f"string {count - left - 1} of {count} runs past the end of the file at byte {self.end}",
                    field_name,
                )  # fmt: skip
            self.at = at


def read_header(source: ByteSource) -> GgufHeader:
    """Read the header of one GGUF file (version 2 or 3, little endian).

    Raises MalformedGguf, naming field and byte offset, for anything that cannot be: wrong magic,
    counts and lengths past the end, duplicate names, impossible shapes, tensors that overlap or
    lie outside the file.
    """
    cursor = _Cursor(source)
    version = _read_version(cursor)
    tensors_count = _bounded(cursor, "tensor_count", MOST_TENSORS, 24)
    keys_count = _bounded(cursor, "metadata_kv_count", MOST_KEYS, 13)
    metadata = _read_metadata(cursor, keys_count)
    alignment = _alignment(cursor, metadata)
    rows = list(_read_tensors(cursor, tensors_count))
    header_end = cursor.position
    data_start = -(-header_end // alignment) * alignment
    notes: list[str] = []
    tensors = _placed(cursor, rows, data_start, alignment, notes)
    return GgufHeader(
        name=source.name, version=version, metadata=metadata, tensors=tensors, alignment=alignment,
        size_bytes=header_end, file_bytes=source.size_bytes, notes=tuple(notes),
    )  # fmt: skip


def read_strings(source: ByteSource, array: FarArray) -> Iterator[str]:
    """The strings of an array that `read_header` stepped over; bad UTF-8 is replaced."""
    cursor = _Cursor(source)
    cursor.base = array.offset
    for _ in range(array.count):
        length = cursor.count("<Q", "string length")
        cursor.need(length, "string")
        yield cursor.data[cursor.at : cursor.at + length].decode("utf-8", "replace")
        cursor.at += length


def read_numbers(source: ByteSource, array: FarArray) -> tuple[int | float, ...]:
    """The numbers of an array that `read_header` stepped over."""
    code = _SCALARS[_VALUE_TYPES.index(array.element)]
    data = source.read(array.offset, array.size_bytes)
    if len(data) != array.size_bytes:
        raise MalformedGguf(
            f"only {len(data)} of {array.size_bytes} bytes of an array could be read", where=source.name
        )
    return struct.unpack(f"<{array.count}{code[1]}", data)


_OTHER_FILES = {
    b"vers": "this looks like a Git LFS pointer; fetch the file behind it: git lfs pull",
    b"<!DO": "this looks like a web page; download the file again",
    b"<!do": "this looks like a web page; download the file again",
    b"<htm": "this looks like a web page; download the file again",
    b"PK\x03\x04": "this looks like a zip archive or a pickle of PyTorch",
    bytes(4): "the file is empty space; the download has not written its beginning",
}


def _read_version(cursor: _Cursor) -> int:
    if cursor.end < 4:
        raise cursor.fail(f"the file has only {cursor.end} bytes", "magic")
    cursor.need(4, "magic")
    magic = cursor.data[:4]
    if magic != b"GGUF":
        error = cursor.fail(f"{magic!r} is not b'GGUF'", "magic", 0)
        error.hint = _OTHER_FILES.get(magic, "")
        raise error
    cursor.at = 4
    version = cursor.count("<I", "version")
    if version and version & 0xFFFF == 0:
        raise cursor.fail("this is a big-endian file, made for machines such as s390x", "version", 4)
    if version not in (2, 3):
        raise cursor.fail(f"version {version} is not known (2 and 3 are)", "version", 4)
    return version


def _bounded(cursor: _Cursor, field_name: str, most: int, least_bytes: int) -> int:
    """A count whose items, at `least_bytes` each, must fit into the rest of the file."""
    start = cursor.position
    count = cursor.count("<Q", field_name)
    if count * least_bytes > cursor.end - cursor.position:
        raise cursor.fail(f"{count} do not fit into a file of {cursor.end} bytes", field_name, start)
    if count > most:
        raise cursor.fail(f"{count} is more than {most}", field_name, start)
    return count


def _read_metadata(cursor: _Cursor, count: int) -> dict[str, Value]:
    metadata: dict[str, Value] = {}
    strings_left = MOST_STRINGS
    for index in range(count):
        start = cursor.position
        key = cursor.text(LONGEST_KEY, f"key {index} of {count}")
        if not key:
            raise cursor.fail("an empty name", f"key {index} of {count}", start)
        if key in metadata:
            raise cursor.fail("this key stands twice", _shown(key), start)
        kind = cursor.count("<I", f"type of {_shown(key)}")
        value = _read_value(cursor, kind, _shown(key), strings_left)
        if isinstance(value, FarArray) and value.element == "string":
            strings_left -= value.count
        metadata[key] = value
    return metadata


def _read_value(cursor: _Cursor, kind: int, key: str, strings_left: int) -> Value:
    if kind in _SCALARS:
        return cursor.number(_SCALARS[kind], key)
    if kind == _STRING:
        return _read_text(cursor, key)
    if kind == _ARRAY:
        return _read_array(cursor, key, strings_left)
    raise cursor.fail(f"value type {kind} is not known", key, cursor.position - 4)


def _read_text(cursor: _Cursor, key: str) -> str | FarText:
    """Metadata texts are only ever shown, so bad UTF-8 in them is replaced, not refused."""
    length = cursor.count("<Q", key)
    if length > LONGEST_TEXT:
        far = FarText(offset=cursor.position, size_bytes=length)
        cursor.skip(length, key)
        return far
    cursor.need(length, key)
    raw = cursor.data[cursor.at : cursor.at + length]
    cursor.at += length
    return raw.decode("utf-8", "replace")


def _read_array(cursor: _Cursor, key: str, strings_left: int) -> tuple[Scalar, ...] | FarArray:
    start = cursor.position
    kind = cursor.count("<I", key)
    if kind == _ARRAY or (kind != _STRING and kind not in _SCALARS):
        raise cursor.fail(f"an array of type {kind} is not known", key, start)
    count = cursor.count("<Q", key)
    offset = cursor.position
    if kind == _STRING:
        if count * 8 > cursor.end - offset or count > strings_left:
            raise cursor.fail(f"an array of {count} strings is too long", key, start)
        cursor.skip_strings(count, key)
        return FarArray(element="string", count=count, offset=offset, size_bytes=cursor.position - offset)
    code = _SCALARS[kind]
    size = struct.calcsize(code) * count
    if size > cursor.end - offset:
        raise cursor.fail(
            f"an array of {count} {_VALUE_TYPES[kind]} runs past the end of the file", key, start
        )
    if count > LONGEST_KEPT_ARRAY:
        cursor.skip(size, key)
        return FarArray(element=_VALUE_TYPES[kind], count=count, offset=offset, size_bytes=size)
    cursor.need(size, key)
    values = struct.unpack_from(f"<{count}{code[1]}", cursor.data, cursor.at)
    cursor.at += size
    return values


def _alignment(cursor: _Cursor, metadata: Mapping[str, Value]) -> int:
    """`general.alignment`, 32 when absent; a power of two as ggml demands."""
    value = metadata.get("general.alignment", 32)
    if (
        not isinstance(value, int)
        or isinstance(value, bool)
        or value <= 0
        or value & (value - 1)
        or value > 2**20
    ):
        raise MalformedGguf(
            f"{value!r} is not a usable alignment", where=f"{cursor.source.name}#general.alignment"
        )
    return value


def _read_tensors(cursor: _Cursor, count: int) -> Iterator[tuple[str, tuple[int, ...], int, int]]:
    """(name, shape, type id, relative offset) of each description."""
    seen: set[str] = set()
    for index in range(count):
        start = cursor.position
        name = cursor.text(LONGEST_TENSOR_NAME, f"name of tensor {index} of {count}")
        if name in seen:
            raise cursor.fail("this tensor stands twice", _shown(name), start)
        seen.add(name)
        dims = cursor.count("<I", f"dimensions of {_shown(name)}")
        if not 0 < dims <= MOST_DIMS:
            raise cursor.fail(f"{dims} dimensions", _shown(name), start)
        cursor.need(8 * dims + 12, _shown(name))
        *shape, kind, offset = struct.unpack_from(f"<{dims}QIQ", cursor.data, cursor.at)
        _refuse_shape(cursor, name, shape)
        cursor.at += 8 * dims + 12
        yield name, tuple(reversed(shape)), kind, offset


def _refuse_shape(cursor: _Cursor, name: str, shape: list[int]) -> None:
    values = 1
    for dim in shape:
        values *= dim
    if min(shape) <= 0 or max(shape) > LARGEST or values > LARGEST:
        raise cursor.fail(f"the shape {shape} cannot be", _shown(name))


def _placed(
    cursor: _Cursor, rows: list[tuple[str, tuple[int, ...], int, int]], data_start: int, alignment: int,
    notes: list[str],
) -> tuple[GgufTensor, ...]:  # fmt: skip
    """The rows with their sizes; checks that each lies in the file and on nobody else's bytes."""
    where, end = cursor.source.name, cursor.end
    order = sorted(range(len(rows)), key=lambda i: rows[i][3])
    placed: list[GgufTensor | None] = [None] * len(rows)
    previous, free_from, unknown = "", 0, dict[int, list[str]]()
    for position, index in enumerate(order):
        name, shape, kind, offset = rows[index]
        at = f"{_shown(name)} at byte {data_start + offset}"
        if offset % alignment:
            raise MalformedGguf(f"{at}: not aligned to {alignment} bytes", where=where)
        if offset < free_from:
            raise MalformedGguf(f"{at}: overlaps {_shown(previous)}", where=where)
        following = rows[order[position + 1]][3] if position + 1 < len(order) else end - data_start
        size = _size_of(name, shape, kind, following - offset, where, unknown)
        if data_start + offset + size > end:
            raise MalformedGguf(f"{at}: needs {size} bytes, but the file ends at byte {end}", where=where)
        previous, free_from = name, offset + size
        placed[index] = GgufTensor(name, shape, _format_name(kind), size, data_start + offset)
    notes += (
        f"{where}: {len(names)} tensors ({_shown(names[0])} ..) have the unknown ggml type {kind}; "
        "their size is the room up to the next tensor"
        for kind, names in unknown.items()
    )
    return tuple(row for row in placed if row is not None)


def _size_of(
    name: str, shape: tuple[int, ...], kind: int, room: int, where: str, unknown: dict[int, list[str]]
) -> int:
    if kind not in TYPE_NAMES:
        if room <= 0:
            raise MalformedGguf(f"{_shown(name)}: type {kind} is not known and no bytes follow", where=where)
        unknown.setdefault(kind, []).append(name)
        return room
    try:
        return tensor_bytes(TYPE_NAMES[kind], shape)
    except ValueError as error:
        raise MalformedGguf(f"{_shown(name)}: {error}", where=where) from None


def _format_name(kind: int) -> str:
    return TYPE_NAMES.get(kind, f"ggml_type_{kind}")


def _shown(name: str) -> str:
    """A name from a stranger's file, safe to print."""
    short = name if len(name) <= 80 else name[:77] + "..."
    return short if short.isascii() and short.isprintable() else ascii(short)
