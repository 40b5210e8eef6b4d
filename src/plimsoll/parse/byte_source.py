"""Where header bytes come from, as a value: a file, a web address or a buffer look the same here."""

from __future__ import annotations

from typing import Protocol


class ByteSource(Protocol):
    """Bytes that can be read in any order. `name` is what error messages call it.

    `chunk_bytes` is how much to ask for at a time: little for a file, more where each read is a
    request. `read` gives exactly `count` bytes, fewer only past the end.
    """

    @property
    def name(self) -> str: ...

    @property
    def size_bytes(self) -> int: ...

    @property
    def chunk_bytes(self) -> int: ...

    def read(self, offset: int, count: int) -> bytes: ...


class Buffer:
    """Bytes in memory as a source."""

    def __init__(self, data: bytes, name: str = "memory", chunk_bytes: int = 65536) -> None:
        self.data = data
        self.name = name
        self.size_bytes = len(data)
        self.chunk_bytes = chunk_bytes

    def read(self, offset: int, count: int) -> bytes:
        """The slice."""
        return self.data[offset : offset + count]
