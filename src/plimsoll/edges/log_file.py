"""Reads a log of any size, block by block, as UTF-8."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

from plimsoll.errors import NotFound, ReadError

BLOCK_BYTES = 1 << 20
_UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def blocks(path: str, told: Callable[[int, int], None] = lambda done, all: None) -> Iterator[bytes]:
    """The file's bytes ('-' is standard input) in blocks that end with a line, or after 1 MiB of one.

    `told(read, size)` reports progress; size 0 means unknown. Windows' UTF-16 becomes UTF-8. Raises NotFound,
    and ReadError where it is not text (zero bytes).
    """
    if path == "-":
        opened, size = nullcontext(sys.stdin.buffer), 0
    else:
        file = Path(path)
        try:
            if not file.is_file():
                raise NotFound(
                    f"there is no file {path!r}", hint="plimsoll diagnose FILE, or - for standard input"
                )
            opened, size = nullcontext(file.open("rb")), file.stat().st_size
        except OSError as error:
            raise ReadError(error.strerror or "cannot be read", where=path[:80]) from error
    with opened as stream:
        try:
            yield from _whole_lines(stream, path, size, told)
        finally:
            if path != "-":
                stream.close()


def _whole_lines(stream: BinaryIO, path: str, size: int, told: Callable[[int, int], None]) -> Iterator[bytes]:
    rest, done = b"", 0
    decoder = None
    while raw := stream.read(BLOCK_BYTES):
        if done == 0 and raw[:2] in _UTF16:
            decoder = codecs.getincrementaldecoder(_UTF16[raw[:2]])("replace")
        done += len(raw)
        if decoder:
            raw = decoder.decode(raw).lstrip("\ufeff").encode()
        elif b"\0" in raw:
            raise ReadError("is not text: it holds zero bytes", where=path, hint="give the log as text")
        told(done, size)
        block = rest + (raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in raw else raw)
        cut = block.rfind(b"\n") + 1
        if not cut and len(block) >= BLOCK_BYTES:
            cut = len(block)
        rest = block[cut:]
        if cut:
            yield block[:cut]
    if rest:
        yield rest + b"\n"
