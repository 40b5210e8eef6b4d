"""Safetensors headers and indexes: what is read and what is refused."""

from __future__ import annotations

import json
import struct
import time
import tracemalloc
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plimsoll.errors import MalformedSafetensors
from plimsoll.parse.byte_source import Buffer
from plimsoll.parse.safetensors import SafetensorsHeader, join, read_header, read_index


def entry(dtype: str, shape: list[Any], first: Any, last: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}


def file(header: Any, data_bytes: int = 0) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + bytes(data_bytes)


def read(data: bytes) -> SafetensorsHeader:
    return read_header(Buffer(data, "m.safetensors"))


def test_reads_names_shapes_formats_and_places() -> None:
    header = {
        "__metadata__": {"format": "pt"},
        "b": entry("F8_E4M3", [4], 24, 28), "a": entry("BF16", [3, 4], 0, 24),
        "empty": entry("F32", [0, 7], 28, 28), "scalar": entry("F32", [], 28, 32),
        "q": entry("F4", [2, 8], 32, 40),
    }  # fmt: skip
    data = file(header, 40)
    found = read(data)
    start = len(data) - 40
    assert [(t.name, t.shape, t.format, t.size_bytes, t.offset - start) for t in found.tensors] == [
        ("a", (3, 4), "bf16", 24, 0), ("b", (4,), "fp8_e4m3", 4, 24), ("empty", (0, 7), "f32", 0, 28),
        ("scalar", (), "f32", 4, 28), ("q", (2, 8), "fp4", 8, 32),
    ]  # fmt: skip
    assert found.metadata == {"format": "pt"}
    assert found.size_bytes == start


class TenGigabytes:
    name, chunk_bytes, size_bytes = "m.safetensors", 65536, 10_000_000_100

    def read(self, offset: int, count: int) -> bytes:
        assert count == 8, "not one byte of such a header is read"
        return struct.pack("<Q", 10_000_000_000)


HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "header length at byte 0"),
    "seven bytes": (b"1234567", "header length at byte 0"),
    "header past the end": (struct.pack("<Q", 2**60) + b"{}", "header length at byte 0"),
    "header of 2^64 - 1": (b"\xff" * 8 + b"{}", "header length at byte 0"),
    "not JSON": (file(b"GGUFGGUF"), "not JSON"),
    "a list": (file([]), "not an object"),
    "100,000 levels deep": (file(b'{"a":' * 100_000), "nested"),
    "NaN": (file(b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}', 4), "NaN"),
    "a tensor twice": (file(b'{"a":{},"a":{}}'), "stands twice"),
    "no dtype": (file({"a": {"shape": [1], "data_offsets": [0, 4]}}, 4), "a: an entry has"),
    "more keys": (file({"a": {**entry("F32", [1], 0, 4), "x": 1}}, 4), "a: an entry has"),
    "entry is a number": (file({"a": 3}), "a: an entry has"),
    "unknown dtype": (file({"a": entry("F33", [1], 0, 4)}, 4), "a: dtype F33"),
    "dtype is a list": (file({"a": entry([], [1], 0, 4)}, 4), "a: dtype"),  # type: ignore[arg-type]
    "negative dimension": (file({"a": entry("F32", [-1], 0, 4)}, 4), "a: shape"),
    "fraction": (file({"a": entry("F32", [1.5], 0, 4)}, 4), "a: shape"),
    "true as a dimension": (file({"a": entry("F32", [True], 0, 4)}, 4), "a: shape"),
    "dimension of 2^64": (file({"a": entry("F32", [2**64], 0, 4)}, 4), "a: shape"),
    "overflowing shape": (file({"a": entry("F32", [2**40, 2**40], 0, 4)}, 4), "a at byte"),
    "99 dimensions": (file({"a": entry("F32", [1] * 99, 0, 4)}, 4), "a: shape"),
    "offsets backwards": (file({"a": entry("F32", [1], 4, 0)}, 4), "a: data_offsets"),
    "three offsets": (file({"a": entry("F32", [1], 0, 4) | {"data_offsets": [0, 2, 4]}}, 4), "a: data_"),
    "wrong size": (file({"a": entry("F32", [2], 0, 4)}, 4), "a at byte"),
    "half a byte": (file({"a": entry("F4", [3], 0, 1)}, 1), "a at byte"),
    "past the end": (file({"a": entry("F32", [4], 0, 16)}, 4), "the file at"),
    "a hole at the start": (file({"a": entry("F32", [1], 4, 8)}, 8), "unused after the header"),
    "a hole between": (file({"a": entry("F32", [1], 0, 4), "b": entry("F32", [1], 8, 12)}, 12), "after a"),
    "overlap": (file({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 4, 12)}, 12), "b at byte"),
    "bytes left over": (file({"a": entry("F32", [1], 0, 4)}, 99), "the tensors end at"),
    "truncated": (file({"a": entry("F32", [4], 0, 16)}, 16)[:-1], "the file at"),
    "metadata with numbers": (file({"__metadata__": {"a": 1}}), "__metadata__"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused_naming_file_tensor_and_offset(case: str) -> None:
    data, says = HOSTILE[case]
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(MalformedSafetensors) as caught:
        read(data)
    took, peak = time.process_time() - began, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.message.startswith("m.safetensors")
    assert says in caught.value.message
    assert took < 0.2
    assert peak < 100 << 20


def test_a_header_of_10_gb_is_not_read() -> None:
    with pytest.raises(MalformedSafetensors, match="10000000000 bytes"):
        read_header(TenGigabytes())


@pytest.mark.parametrize(
    "shard",
    ["../other.safetensors", "/etc/passwd", "a/../../b.safetensors", "C:\\x.safetensors", "x.bin", "",
     "a//b.safetensors",
     "..\\x.safetensors", "x\0.safetensors", "a" * 600 + ".safetensors", 7, None],
)  # fmt: skip
def test_an_index_names_only_files_beside_it(shard: Any) -> None:
    data = json.dumps({"weight_map": {"w": shard}}).encode()
    with pytest.raises(MalformedSafetensors, match=r"x\.index\.json#weight_map\.w"):
        read_index(data, where="x.index.json")


@pytest.mark.parametrize(
    "data", [b"{}", b"[]", b'{"weight_map": {}}', b'{"weight_map": 3}', b"{", b"[" * 100_000]
)
def test_an_index_without_a_map_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedSafetensors, match=r"^x\.index\.json"):
        read_index(data, where="x.index.json")


def _shard(name: str, *tensors: str) -> SafetensorsHeader:
    header = {t: entry("F32", [1], 4 * i, 4 * i + 4) for i, t in enumerate(tensors)}
    return read_header(Buffer(file(header, 4 * len(tensors)), f"repo/{name}"))


def test_shards_are_joined_and_checked_against_the_index() -> None:
    weight_map = {"a": "x-1.safetensors", "b": "x-2.safetensors"}
    index = read_index(
        json.dumps({"weight_map": weight_map, "metadata": {"total_size": 8}}).encode(), where="i"
    )
    assert index.shards == ("x-1.safetensors", "x-2.safetensors")
    assert index.total_bytes == 8
    first, second = _shard("x-1.safetensors", "a"), _shard("x-2.safetensors", "b")
    assert [t.name for t in join(index, [first, second])] == ["a", "b"]
    with pytest.raises(MalformedSafetensors, match=r"x-2\.safetensors should hold b, but it does not"):
        join(index, [first, _shard("x-2.safetensors", "c")])
    with pytest.raises(MalformedSafetensors, match="a stands in"):
        join(index, [first, _shard("x-2.safetensors", "a", "b")])
    with pytest.raises(MalformedSafetensors, match=r"should hold b, but repo/x-1\.safetensors does"):
        join(index, [_shard("x-1.safetensors", "a", "b"), _shard("x-2.safetensors")])


_GOOD = file({"a": entry("F32", [2], 0, 8), "b": entry("BF16", [2, 2], 8, 16)}, 16)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(_GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_files_give_a_header_or_a_typed_error(damage: list[tuple[int, int]]) -> None:
    data = bytearray(_GOOD)
    for at, byte in damage:
        data[at] = byte
    with suppress(MalformedSafetensors):
        read(bytes(data))
