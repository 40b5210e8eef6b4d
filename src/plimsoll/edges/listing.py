"""Names and sizes of the files in a folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from plimsoll.errors import ReadError


def sizes_of(folder: Path) -> tuple[tuple[str, int], ...]:
    """(name, bytes) of every regular file directly in a folder (links followed), sorted by name."""
    found = []
    try:
        names = sorted(entry.name for entry in os.scandir(folder))
    except OSError as error:
        raise ReadError(error.strerror or "cannot be listed", where=str(folder)) from None
    for name in names:
        try:
            status = os.stat(folder / name)
        except OSError:
            continue  # a link that leads nowhere has no size
        if stat.S_ISREG(status.st_mode):
            found.append((name, status.st_size))
    return tuple(found)
