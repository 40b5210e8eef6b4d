"""GGUF headers: what is read, what is stepped over, and what is refused."""

from __future__ import annotations

import struct
import time
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plimsoll.errors import MalformedGguf, PlimsollError
from plimsoll.parse.byte_source import Buffer
from plimsoll.parse.gguf import FarArray, FarText, GgufHeader, read_header, read_strings
from plimsoll.parse.gguf_model import model_from_gguf
from tests.parse import gguf_bytes as make


class Counting(Buffer):
    """A source that remembers how much was read and how far."""

    def __init__(self, data: bytes, name: str = "m.gguf", chunk_bytes: int = 65536) -> None:
        super().__init__(data, name, chunk_bytes)
        self.read_bytes, self.furthest = 0, 0

    def read(self, offset: int, count: int) -> bytes:
        data = super().read(offset, count)
        self.read_bytes += len(data)
        self.furthest = max(self.furthest, offset + len(data))
        return data


class Sparse:
    """A huge file that is zero after its head."""

    name, chunk_bytes = "huge.gguf", 65536

    def __init__(self, head: bytes, size_bytes: int) -> None:
        self.head, self.size_bytes = head, size_bytes

    def read(self, offset: int, count: int) -> bytes:
        part = self.head[offset : offset + count]
        return part + b"\0" * (min(count, self.size_bytes - offset) - len(part))


def read(data: bytes) -> GgufHeader:
    return read_header(Buffer(data, "m.gguf"))


@pytest.mark.parametrize("chunk", [16, 100, 65536])
def test_reads_every_value_type_and_shapes_in_pytorch_order(chunk: int) -> None:
    keys = {
        "a": ("u8", 200), "b": ("i8", -3), "c": ("u16", 60000), "d": ("i16", -2), "e": 7, "f": ("i32", -7),
        "g": 1.5, "h": True, "i": "grüße", "j": ("u64", 2**60), "k": ("i64", -(2**60)), "l": ("f64", 0.1),
        "m": [1, 2, 3], "n": [True, False], "o": ["x", "yz"],
    }  # fmt: skip
    head = make.header(keys, [make.tensor("t", (64, 3, 2), 8, 0)], version=2)
    found = read_header(Buffer(make.whole(head, 408), "m.gguf", chunk))
    assert found.version == 2
    assert found.size_bytes == len(head)
    values = dict(found.metadata)
    array = values.pop("o")
    assert values == {
        "a": 200, "b": -3, "c": 60000, "d": -2, "e": 7, "f": -7, "g": 1.5, "h": True, "i": "grüße",
        "j": 2**60, "k": -(2**60), "l": 0.1, "m": (1, 2, 3), "n": (True, False),
    }  # fmt: skip
    assert isinstance(array, FarArray)
    assert (array.element, array.count) == ("string", 2)
    assert list(read_strings(Buffer(make.whole(head, 408), chunk_bytes=chunk), array)) == ["x", "yz"]
    (row,) = found.tensors
    assert (row.shape, row.format, row.size_bytes) == ((2, 3, 64), "q8_0", 2 * 3 * 2 * 34)
    assert row.offset == -(-len(head) // 32) * 32


def test_large_arrays_and_long_texts_are_stepped_over() -> None:
    keys = {"scores": ("f32", [0.5] * 100_000), "template": "x" * 200_000, "tokens": ["tok"] * 5000}
    data = make.whole(make.header(keys), 0)
    source = Counting(data)
    found = read_header(source)
    assert found.metadata["scores"].size_bytes == 400_000
    assert isinstance(found.metadata["template"], FarText)
    assert found.metadata["tokens"].count == 5000
    assert source.read_bytes < len(data) - 300_000


def test_only_header_bytes_are_read_of_a_header_with_150_000_tokens() -> None:
    tokens = [f"token{i}" for i in range(150_000)]
    keys = {
        **make.LLAMA,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.merges": [f"{t} x" for t in tokens],
    }
    head = make.header(keys, [make.tensor("t", (1 << 30,), 0, 0)])
    source = Counting(head)
    source.size_bytes = len(head) + 32 + (4 << 30)
    tracemalloc.start()
    began = time.process_time()
    found = read_header(source)
    took = time.process_time() - began
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.metadata["tokenizer.ggml.merges"].count == 150_000
    assert source.furthest <= len(head) + source.chunk_bytes
    assert source.read_bytes <= len(head) + source.chunk_bytes
    assert peak < 2 << 20
    assert took < 1.5  # under tracemalloc and on a busy machine; bench/gguf_header.py prints the real time


def test_unknown_tensor_type_takes_the_room_up_to_the_next_and_says_so() -> None:
    rows = [make.tensor("a", (64,), 0, 0), make.tensor("b", (100,), 777, 256), make.tensor("c", (8,), 0, 320)]
    found = read(make.whole(make.header({}, rows), 352))
    assert [(t.format, t.size_bytes) for t in found.tensors] == [
        ("f32", 256),
        ("ggml_type_777", 64),
        ("f32", 32),
    ]
    assert "777" in found.notes[0]


def test_ik_types_count_their_bytes_per_row() -> None:
    """IQ4_KS: 136 bytes per 256 values and 4 bytes per row (type_traits.row_meta_size of ik_llama.cpp)."""
    rows = [make.tensor("a", (512, 10), 144, 0)]
    (row,) = read(make.whole(make.header({}, rows), 10 * (2 * 136 + 4))).tensors
    assert (row.format, row.size_bytes) == ("iq4_ks", 10 * (2 * 136 + 4))


def test_general_alignment_moves_the_data() -> None:
    head = make.header(
        {"general.alignment": 4096}, [make.tensor("a", (8,), 0, 0), make.tensor("b", (8,), 0, 4096)]
    )
    found = read(make.whole(head, 4128, 4096))
    assert [t.offset for t in found.tensors] == [4096, 8192]


def _two(offset: int, size: int = 352) -> bytes:
    return make.whole(
        make.header({}, [make.tensor("a", (64,), 0, 0), make.tensor("b", (8,), 0, offset)]), size
    )


HUGE = 2**60
_KEY = make.header({}, keys_count=1) + make.text("k")
_ROW = make.tensor("a", (8,), 0, 0)


def _one(dims: tuple[int, ...], kind: int) -> bytes:
    return make.whole(make.header({}, [make.tensor("a", dims, kind, 0)]), 64)


HOSTILE = {
    "empty": (b"", "magic"),
    "wrong magic": (b"GGML" + bytes(40), "magic at byte 0"),
    "pickle": (b"\x80\x04\x95" + bytes(40), "magic at byte 0"),
    "truncated after magic": (b"GGUF", "version"),
    "version 1": (make.header({}, version=1), "version at byte 4"),
    "version 99": (make.header({}, version=99), "version at byte 4"),
    "big endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
    "2^60 tensors": (make.header({}, tensors_count=HUGE), "tensor_count at byte 8"),
    "2^60 keys": (make.header({}, keys_count=HUGE), "metadata_kv_count at byte 16"),
    "key past the end": (make.header({}, keys_count=1) + struct.pack("<2Q", HUGE, 0), "key 0 of 1 at"),
    "empty key": (make.header({"": 1}) + bytes(64), "empty"),
    "duplicate key": (make.header({"k": 1}, keys_count=2) + make.text("k") + make.value(2), "k at byte"),
    "unknown value type": (_KEY + struct.pack("<IQ", 99, 0), "k at byte"),
    "string past the end": (
        _KEY + struct.pack("<IQ", 8, HUGE) + bytes(64), "k at byte",
    ),
    "array of arrays": (_KEY + struct.pack("<IIQ", 9, 9, 1) + bytes(64), "k"),
    "array of 2^60 strings": (
        _KEY + struct.pack("<IIQ", 9, 8, HUGE) + bytes(64), "k at byte",
    ),
    "array of 2^60 numbers": (
        _KEY + struct.pack("<IIQ", 9, 12, HUGE) + bytes(64), "k at byte",
    ),
    "string in an array past the end": (
        _KEY + struct.pack("<IIQQ", 9, 8, 2, HUGE) + bytes(64), "string 0 of 2",
    ),
    "duplicate tensor": (make.whole(make.header({}, [_ROW, _ROW]), 64), "stands twice"),
    "tensor name past the end": (make.header({}, tensors_count=1) + b"\xff" * 32, "of 1"),
    "tensor name not UTF-8": (make.whole(make.header({}, [make.tensor(b"\xff", (8,), 0, 0)]), 32), "UTF-8"),
    "no dimensions": (_one((), 0), "0 dimensions"),
    "2^32 - 1 dimensions": (
        make.header({}, tensors_count=1) + make.text("a") + b"\xff" * 4 + bytes(64), "dimensions",
    ),
    "zero dimension": (_one((8, 0), 0), "cannot be"),
    "negative dimension": (_one((2**64 - 8,), 0), "cannot be"),
    "overflowing shape": (_one((2**40, 2**40), 0), "cannot be"),
    "row not divisible": (_one((33,), 8), "blocks of 32"),
    "tensor past the end": (_one((2**30,), 0), "the file ends at"),
    "offset past the end": (_two(2**50), "the file ends at"),
    "offset not aligned": (_two(257), "not aligned"),
    "overlap": (_two(128), "overlaps a"),
    "truncated data": (_two(256, 280), "b at byte"),
    "alignment 3": (make.whole(make.header({"general.alignment": 3}), 64), "general.alignment"),
    "alignment 0": (make.whole(make.header({"general.alignment": 0}), 64), "general.alignment"),
    "alignment text": (make.whole(make.header({"general.alignment": "32"}), 64), "general.alignment"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused_naming_file_field_and_offset(case: str) -> None:
    data, says = HOSTILE[case]
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(MalformedGguf) as caught:
        read(data)
    took, peak = time.process_time() - began, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "m.gguf" in caught.value.message
    assert says in caught.value.message
    assert took < 0.2
    assert peak < 10 << 20


@pytest.mark.parametrize(
    "head",
    [
        make.header({}, tensors_count=2**31),
        make.header({}, keys_count=2**31),
        _KEY + struct.pack("<IIQ", 9, 8, 2**33),
        _KEY + struct.pack("<IQ", 8, 2**36),
        make.header({}, tensors_count=100_000),
    ],
)  # fmt: skip
def test_a_hostile_header_in_a_huge_file_costs_neither_time_nor_memory(head: bytes) -> None:
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(MalformedGguf):
        read_header(Sparse(head, 2**37))
    took, peak = time.process_time() - began, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert took < 0.2
    assert peak < 100 << 20


def test_arrays_of_empty_strings_cannot_keep_the_reader_busy() -> None:
    """Two arrays of a million empty strings each: the second is refused before it is walked."""
    array = struct.pack("<IIQ", 9, 8, 1_000_000)
    head = make.header({}, keys_count=2) + make.text("k") + array + bytes(8_000_000) + make.text("l") + array
    began = time.process_time()
    with pytest.raises(MalformedGguf, match="1000000 strings is too long"):
        read_header(Sparse(head, 2**37))
    assert time.process_time() - began < 0.4


def test_a_source_that_gives_less_than_it_promised_is_refused() -> None:
    source = Counting(make.llama())
    source.size_bytes += 10**9
    source.data = source.data[:40]
    with pytest.raises(MalformedGguf, match="could be read"):
        read_header(source)


_GOOD = make.llama()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.integers(0, len(_GOOD) - 1), st.binary(min_size=1, max_size=8)), max_size=6),
    st.booleans(),
)
def test_damaged_files_give_a_model_or_a_typed_error(damage: list[tuple[int, bytes]], is_cut: bool) -> None:
    data = bytearray(_GOOD)
    for at, patch in damage:
        at = at % 1200
        data[at : at + len(patch)] = patch
    if is_cut and damage:
        del data[damage[0][0] :]
    with suppress(PlimsollError):
        model_from_gguf([read(bytes(data))], id="x")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_noise_after_the_magic_gives_a_header_or_a_typed_error(noise: bytes) -> None:
    with suppress(MalformedGguf):
        read(b"GGUF\x03\0\0\0" + noise)
