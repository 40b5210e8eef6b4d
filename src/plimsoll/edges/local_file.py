"""Small local files that a user wrote."""

from __future__ import annotations

from plimsoll.errors import NotFound, ReadError

_LARGEST_BYTES = 1 << 20


def read_small_text(path: str) -> str:
    """The text of a file of at most 1 MiB; NotFound or ReadError otherwise."""
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST_BYTES + 1)
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}") from None
    except OSError as error:
        raise ReadError(error.strerror or "cannot be read", where=path) from None
    if len(data) > _LARGEST_BYTES:
        raise ReadError("larger than 1 MiB", where=path)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ReadError("is not UTF-8 text", where=f"{path}@{error.start}") from None


def write_text(path: str, text: str) -> None:
    r"""Write a file whole or not at all; ReadError where it cannot be written.

    A byte of a name that is no UTF-8 is written as \\udcff, which JSON reads back as that byte.
    """
    import os

    beside = f"{path}.part"
    try:
        with open(beside, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        os.replace(beside, path)
    except OSError as error:
        if os.path.exists(beside):
            os.remove(beside)
        raise ReadError(f"cannot be written: {error.strerror}", where=path) from None
