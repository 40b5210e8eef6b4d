"""Models in local files: what lies at a path, and bytes from it. Pickle files are never opened."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from plimsoll.errors import AmbiguousName, NotFound, ReadError

PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl"})
INDEX = "model.safetensors.index.json"
_SHARD = re.compile(r"(.+)-\d{5}-of-(\d{5})\.(gguf|safetensors)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a path leads to.

    `gguf`: `weights` is one file, whole or any shard. `checkpoint`: `folder` has config.json and
    `weights` are its safetensors files, `index` the file that joins them. `config`: config.json alone.
    """

    kind: Literal["gguf", "checkpoint", "config"]
    folder: Path
    weights: tuple[Path, ...] = ()
    config: Path | None = None
    index: Path | None = None


class FileSource:
    """Bytes of one regular file, read in place; use it in a `with` block."""

    chunk_bytes = 65536

    def __init__(self, path: Path, name: str = "") -> None:
        self.path = path
        self.name = name or path.name
        try:
            # Without O_NONBLOCK, opening a pipe would wait for a writer that never comes.
            self._file = os.open(
                path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
            )
        except FileNotFoundError:
            raise NotFound(f"there is no file {path}", hint=_shard_hint(path)) from None
        except OSError as error:
            raise ReadError(error.strerror or "cannot be opened", where=str(path)) from None
        status = os.fstat(self._file)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._file)
            raise ReadError("this is not a regular file", where=str(path))
        self.size_bytes = status.st_size
        self.bytes_read = 0

    def read(self, offset: int, count: int) -> bytes:
        """`count` bytes from `offset`, fewer at the end of the file."""
        parts: list[bytes] = []
        while count > 0:
            try:
                part = os.pread(self._file, count, offset)
            except OSError as error:
                raise ReadError(
                    error.strerror or "cannot be read", where=f"{self.path} at byte {offset}"
                ) from None
            if not part:
                break
            parts.append(part)
            offset, count = offset + len(part), count - len(part)
            self.bytes_read += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._file)

    def __enter__(self) -> FileSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def exists(path: Path) -> bool:
    """Whether something is there, also a link that leads nowhere."""
    try:
        return os.path.lexists(path)
    except (OSError, ValueError):
        return False


def read_bytes(path: Path, most_bytes: int) -> bytes:
    """A whole small file; ReadError when it is larger than `most_bytes`."""
    with FileSource(path) as source:
        if source.size_bytes > most_bytes:
            raise ReadError(
                f"{source.size_bytes} bytes; more than {most_bytes} are not read", where=str(path)
            )
        return source.read(0, source.size_bytes)


def find(path: Path) -> Found:
    """What lies at `path`: a .gguf, a .safetensors, a config.json, or a folder with a model.

    Raises NotFound, ReadError for what cannot be a model (with a hint for pickles), AmbiguousName
    for a folder with several models.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist" + (" (a broken link)" if path.is_symlink() else "")) from None
    except (OSError, ValueError) as error:
        raise ReadError(getattr(error, "strerror", None) or "cannot be a path", where=str(path)) from None
    if stat.S_ISDIR(status.st_mode):
        return _in_folder(path)
    if not stat.S_ISREG(status.st_mode):
        raise ReadError("this is neither a file nor a folder", where=str(path))
    return _file(path)


def _file(path: Path) -> Found:
    suffix = path.suffix.lower()
    if suffix in PICKLES:
        raise _pickle(path)
    if suffix == ".gguf" or _magic(path) == b"GGUF":
        return Found(kind="gguf", folder=path.parent, weights=(path,))
    if suffix == ".json" and path.name != INDEX:
        return Found(kind="config", folder=path.parent, config=path)
    if suffix == ".safetensors" or path.name == INDEX:
        # A snapshot's files are links into a blob store: the folder of the link counts, not the blob's.
        alone = None if path.name == INDEX or _SHARD.fullmatch(path.name) else path
        return _checkpoint(path.parent, alone)
    raise ReadError(
        "not a file that holds a model",
        where=str(path),
        hint="give a .gguf, a .safetensors, a config.json or a folder",
    )


def _in_folder(folder: Path) -> Found:
    try:
        names = sorted(entry.name for entry in os.scandir(folder))
    except OSError as error:
        raise ReadError(error.strerror or "cannot be listed", where=str(folder)) from None
    if "config.json" in names and any(n.endswith(".safetensors") for n in names):
        return _checkpoint(folder, None)
    ggufs = [n for n in names if n.lower().endswith(".gguf") and not n.lower().startswith("mmproj")]
    if ggufs:
        stems: dict[str, str] = {}
        for name in ggufs:
            match = _SHARD.fullmatch(name)
            stems.setdefault(match[1] if match else name, name)
        if len(stems) > 1:
            raise AmbiguousName(
                f"{folder} holds {len(stems)} models", name=str(folder),
                nearest=tuple(str(folder / n) for n in stems.values()), hint="give one of its files",
            )  # fmt: skip
        return Found(kind="gguf", folder=folder, weights=(folder / next(iter(stems.values())),))
    pickles = [n for n in names if Path(n).suffix.lower() in PICKLES]
    if pickles:
        raise _pickle(folder / pickles[0])
    if "config.json" in names:
        return Found(kind="config", folder=folder, config=folder / "config.json")
    if any(n.endswith(".safetensors") for n in names):
        raise _without_config(folder)
    projectors = [n for n in names if n.lower().endswith(".gguf")]
    if projectors:
        raise ReadError(
            f"only {projectors[0]} is here, a model's vision part", where=str(folder),
            hint="download the .gguf of the model itself, too",
        )  # fmt: skip
    raise ReadError(
        "there is no model in this folder", where=str(folder), hint="a model has config.json or a .gguf"
    )


def _checkpoint(folder: Path, alone: Path | None) -> Found:
    """The index decides which files belong; without it, every .safetensors of the folder."""
    config, index = folder / "config.json", folder / INDEX
    if not config.exists():
        raise _without_config(folder)
    if alone is None and index.exists():
        return Found(kind="checkpoint", folder=folder, config=config, index=index)
    weights = (alone,) if alone else tuple(_whole(folder))
    return Found(kind="checkpoint", folder=folder, config=config, weights=weights)


def _without_config(folder: Path) -> NotFound:
    return NotFound(
        f"there is no config.json beside the weights in {folder}", hint="download it from the same repository"
    )


def _whole(folder: Path) -> list[Path]:
    names = sorted(n.name for n in os.scandir(folder) if n.name.endswith(".safetensors"))
    if "model.safetensors" in names:
        return [folder / "model.safetensors"]
    sharded = [n for n in names if _SHARD.fullmatch(n)]
    if sharded:
        match = _SHARD.fullmatch(sharded[0])
        stem, count = (match[1], match[2]) if match else ("", "0")
        return [
            folder / f"{stem}-{i:05d}-of-{count}.safetensors" for i in range(1, min(int(count), 1000) + 1)
        ]
    if len(names) > 1:
        raise AmbiguousName(
            f"{folder} holds {len(names)} weight files and no index", name=str(folder),
            nearest=tuple(str(folder / n) for n in names), hint="give one of its files",
        )  # fmt: skip
    return [folder / n for n in names]


def _magic(path: Path) -> bytes:
    with FileSource(path) as source:
        return source.read(0, 4)


def _pickle(path: Path) -> ReadError:
    return ReadError(
        "a pickle can run code when it is opened, so it is never opened",
        where=str(path),
        hint="use the .safetensors or .gguf version of the model, or give config.json alone",
    )


def _shard_hint(path: Path) -> str:
    return "a shard of this model is missing: download it again" if _SHARD.fullmatch(path.name) else ""
