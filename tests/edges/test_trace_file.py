"""Trace files: packed, broken, missing."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from plimsoll.edges import trace_file
from plimsoll.errors import BadSetting, NotFound, ReadError

TEXT = b"arrival_s,prompt_tokens,output_tokens\n" + b"0,1,1\n" * 400_000


def test_plain_and_packed_files_hold_the_same_bytes(tmp_path: Path) -> None:
    plain, packed = tmp_path / "t.csv", tmp_path / "t.csv.gz"
    plain.write_bytes(TEXT)
    packed.write_bytes(gzip.compress(TEXT))
    for path in (plain, packed):
        told: list[tuple[int, int]] = []
        assert b"".join(trace_file.blocks(str(path), lambda *done, told=told: told.append(done))) == TEXT
        assert told[-1] == (path.stat().st_size, path.stat().st_size)
        assert all(done <= size for done, size in told)


def test_standard_input_is_a_file_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(gzip.compress(b"a,b\n"))
    with (tmp_path / "t").open("rb") as stream:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stream))
        assert list(trace_file.blocks("-")) == [b"a,b\n"]


def test_what_cannot_be_read_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no file"):
        list(trace_file.blocks(str(tmp_path / "none.csv")))
    with pytest.raises(NotFound):
        list(trace_file.blocks(str(tmp_path)))
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(TEXT)[:-100])
    with pytest.raises(ReadError, match="cannot be read"):
        list(trace_file.blocks(str(cut)))
    cut.write_bytes(b"\x1f\x8b" + b"no gzip at all")
    with pytest.raises(ReadError, match="cannot be read"):
        list(trace_file.blocks(str(cut)))


def test_zstandard_is_unpacked_where_something_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd....")
    for name in ("compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BadSetting) as caught:
        list(trace_file.blocks(str(path)))
    assert "unzstd" in caught.value.hint

    class ZstdError(Exception):
        pass

    fake = SimpleNamespace(open=gzip.open, ZstdError=ZstdError)
    monkeypatch.setitem(sys.modules, "backports.zstd", fake)
    with pytest.raises(
        ReadError
    ):  # it is no gzip; that the module's own reader is asked is what is seen here
        list(trace_file.blocks(str(path)))
