"""Files written by upstream's own writer (PyPI `gguf`) are read as they were meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from plimsoll.edges.files import FileSource
from plimsoll.formulas.formats import GGUF, tensor_bytes
from plimsoll.parse.gguf import FarArray, read_header, read_strings
from plimsoll.parse.gguf_types import IK_TYPES, RECIPE_NAMES, TYPE_NAMES

pytestmark = pytest.mark.oracle


def test_every_value_type_and_every_tensor_type(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    np = pytest.importorskip("numpy")
    path = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    for kind, value in {
        "uint8": 1, "int8": -1, "uint16": 2, "int16": -2, "uint32": 3, "int32": -3,
        "uint64": 2**60, "int64": -(2**60),
        "float32": 0.5, "float64": 0.1, "bool": True, "string": "häuser",
    }.items():  # fmt: skip
        getattr(writer, f"add_{kind}")(f"x.{kind}", value)
    writer.add_array("x.numbers", [1, 2, 3])
    writer.add_array("x.flags", [True, False])
    writer.add_array("x.words", ["ein", "zwei"])
    writer.add_custom_alignment(64)
    expected = []
    for kind, (block, size) in gguf.GGML_QUANT_SIZES.items():
        shape = (3, 2 * block)
        raw = np.zeros((3, 2 * size), dtype=np.uint8)
        writer.add_tensor(f"t.{kind.name}", raw, raw_shape=raw.shape, raw_dtype=kind)
        expected.append((f"t.{kind.name}", shape, kind.name.lower(), raw.nbytes))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with FileSource(path) as source:
        header = read_header(source)
        words = header.metadata["x.words"]
        assert isinstance(words, FarArray)
        assert list(read_strings(source, words)) == ["ein", "zwei"]
    values = {k.removeprefix("x."): v for k, v in header.metadata.items() if k.startswith("x.")}
    del values["words"]
    assert values == {
        "uint8": 1, "int8": -1, "uint16": 2, "int16": -2, "uint32": 3, "int32": -3,
        "uint64": 2**60, "int64": -(2**60),
        "float32": 0.5, "float64": 0.1, "bool": True, "string": "häuser",
        "numbers": (1, 2, 3), "flags": (True, False),
    }  # fmt: skip
    assert header.alignment == 64
    assert [(t.name, t.shape, t.format, t.size_bytes) for t in header.tensors] == expected
    reader = gguf.GGUFReader(path)
    assert [t.offset for t in header.tensors] == [t.data_offset for t in reader.tensors]


def test_type_numbers_names_and_block_sizes_are_upstreams() -> None:
    gguf = pytest.importorskip("gguf")
    for kind in gguf.GGMLQuantizationType:
        assert TYPE_NAMES[kind.value] == kind.name.lower()
    for kind, sizes in gguf.GGML_QUANT_SIZES.items():
        assert GGUF[kind.name.lower()] == sizes
        assert tensor_bytes(kind.name.lower(), (2, sizes[0])) == 2 * sizes[1]
    assert {TYPE_NAMES[n] for n in TYPE_NAMES if n >= 133} == IK_TYPES


def test_recipe_numbers_are_upstreams() -> None:
    gguf = pytest.importorskip("gguf")
    for kind in gguf.LlamaFileType:
        if kind.name == "GUESSED":
            continue
        name = kind.name.removeprefix("ALL_").removeprefix("MOSTLY_").lower()
        assert RECIPE_NAMES[kind.value] == name
