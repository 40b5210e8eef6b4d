"""Logs of any size and encoding come as whole lines of UTF-8."""

from __future__ import annotations

from pathlib import Path

import pytest

from plimsoll.edges import log_file
from plimsoll.errors import NotFound, ReadError


def test_blocks_end_with_lines_and_give_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "BLOCK_BYTES", 64)
    text = "".join(f"line {i} с текстом\n" for i in range(50)) + "no end"
    path = tmp_path / "a.log"
    path.write_text(text, encoding="utf-8")
    blocks = list(log_file.blocks(str(path)))
    assert len(blocks) > 10
    assert all(block.endswith(b"\n") for block in blocks)
    assert b"".join(blocks).decode() == text + "\n"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_windows_text_becomes_utf8(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.log"
    mark = "\ufeff" if encoding.endswith("be") else ""
    path.write_bytes((mark + "ошибка: нет\r\nok\r\n").encode(encoding))
    assert b"".join(log_file.blocks(str(path))).decode() == "ошибка: нет\nok\n"


def test_what_is_no_text_or_not_there_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"GGUF\0\0\0\3" * 100)
    with pytest.raises(ReadError, match="not text"):
        list(log_file.blocks(str(path)))
    with pytest.raises(NotFound):
        list(log_file.blocks(str(tmp_path / "none.log")))
    with pytest.raises(ReadError, match="name too long"):
        list(log_file.blocks("9" * 400))


def test_one_endless_line_does_not_fill_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "BLOCK_BYTES", 1000)
    path = tmp_path / "a.log"
    path.write_bytes(b"x" * 50_000)
    assert max(len(block) for block in log_file.blocks(str(path))) <= 2001
