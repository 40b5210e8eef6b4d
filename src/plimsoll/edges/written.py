"""Files that appear whole or not at all, and never in place of others unless that was asked for."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from plimsoll.errors import BadSetting


def write_all(folder: str, texts: Mapping[str, str], *, is_forced: bool = False) -> tuple[str, ...]:
    """Write every text under its name below `folder` (made where it is missing); the paths written.

    First all texts are written beside their places, then each is put in place at once: when the disk is full
    or a name is taken, nothing is left. A text that begins with '#!' may be run. Raises BadSetting.
    """
    root = Path(folder).expanduser()
    places = {root / _plain(name): text for name, text in texts.items()}
    taken = [path for path in places if os.path.lexists(path)]
    if taken and not is_forced:
        raise BadSetting(
            f"{taken[0]} is already there", hint="--force writes over it, or give another folder"
        )
    made: list[Path] = []
    waiting: list[tuple[Path, Path]] = []
    try:
        for path, text in places.items():
            made += _make(path.parent)
            waiting.append((_beside(path, text), path))
        for temporary, path in waiting:
            _put(temporary, path, is_forced)
    except OSError as error:
        _undo(waiting, made)
        raise BadSetting(f"{error.filename or root}: {error.strerror}", hint="--write FOLDER") from None
    except BadSetting:
        _undo(waiting, made)
        raise
    return tuple(str(path) for path in places)


def _plain(name: str) -> str:
    """A relative path that stays below the folder."""
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts:
        raise BadSetting(f"{name!r} is not the name of a file below a folder")
    return name


def _make(folder: Path) -> list[Path]:
    """Make a folder with its parents; those that were not there, innermost last."""
    missing = [p for p in (folder, *folder.parents) if not p.exists()][::-1]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _beside(path: Path, text: str) -> Path:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o755 if text.startswith("#!") else 0o644)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _put(temporary: Path, path: Path, is_forced: bool) -> None:
    """Rename; without force a link, which fails where another file has appeared meanwhile."""
    if is_forced:
        os.replace(temporary, path)
        return
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise BadSetting(f"{path} is already there", hint="--force writes over it") from None
    except OSError:  # no links on this file system
        os.rename(temporary, path)
        return
    temporary.unlink()


def _undo(waiting: list[tuple[Path, Path]], made: list[Path]) -> None:
    for temporary, _ in waiting:
        temporary.unlink(missing_ok=True)
    for folder in reversed(made):
        with contextlib.suppress(OSError):
            folder.rmdir()
