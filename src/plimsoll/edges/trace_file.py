"""Reads a trace of any size block by block, unpacked where it is packed."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from plimsoll.errors import BadSetting, NotFound, ReadError

_BLOCK_BYTES = 1 << 20
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_GZIP_MAGIC = b"\x1f\x8b"


def blocks(path: str, told: Callable[[int, int], None] = lambda done, size: None) -> Iterator[bytes]:
    """The file's bytes ('-' is standard input), unpacked from gzip or Zstandard by what it begins with.

    `told(read, size)` reports progress in bytes of the file itself; size 0 means unknown. Raises NotFound,
    ReadError for what cannot be read or unpacked, BadSetting for Zstandard where nothing here unpacks it.
    """
    with ExitStack() as stack:
        raw, size = _opened(path, stack)
        start = raw.peek(4)[:4]
        stream: Any = raw
        broken: tuple[type[Exception], ...] = (OSError, EOFError, zlib.error)
        if start.startswith(_GZIP_MAGIC):
            stream = stack.enter_context(gzip.open(raw))
        elif start == _ZSTD_MAGIC:
            zstd = _zstd(path)
            stream = stack.enter_context(zstd.open(raw))
            broken = (*broken, zstd.ZstdError)
        done = 0
        while block := _read(stream, path, broken):
            done += len(block)
            told(done if stream is raw or not size else raw.tell(), size)
            yield block


def _opened(path: str, stack: ExitStack) -> tuple[Any, int]:
    if path == "-":
        return sys.stdin.buffer, 0
    file = Path(path)
    try:
        if not file.is_file():
            raise NotFound(f"there is no file {path!r}", hint="--trace FILE, or - for standard input")
        return stack.enter_context(file.open("rb")), file.stat().st_size
    except OSError as error:
        raise ReadError(error.strerror or "cannot be read", where=path[:80]) from error


def _read(stream: IO[bytes], path: str, broken: tuple[type[Exception], ...]) -> bytes:
    try:
        return stream.read(_BLOCK_BYTES)
    except broken as error:
        raise ReadError(f"cannot be read: {error}", where=path[:80], hint="is the file whole?") from error


def _zstd(path: str) -> Any:
    """Python's own module from 3.14 on, or its backport."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return import_module(name)
        except ImportError:
            continue
    raise BadSetting(
        f"{path} is packed by Zstandard, which Python unpacks from 3.14 on",
        hint=f"pip install 'plimsoll-llm[zstd]', or unzstd -c {path} | plimsoll load ... --trace -",
    )
