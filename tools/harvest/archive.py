"""Reads the files of a source package into memory; nothing is unpacked, nothing is run.

A package is a stranger's file. Every name and size is checked before a byte is kept: names that leave
the archive, links that point out of it, devices, files beyond the limits and archives that grow without
measure raise BadArchive. A link inside the archive is skipped, since no file of interest is one.
"""

from __future__ import annotations

import gzip
import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from plimsoll.errors import ReadError


class BadArchive(ReadError):
    """The archive is damaged or hostile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an archive may hold; sizes in bytes. The largest real one here has 9,700 files, 190 MB."""

    members_count: int = 60_000
    total_bytes: int = 2_000_000_000
    kept_bytes: int = 200_000_000
    file_bytes: int = 8_000_000  # of a file that is kept; others may be larger, within the total
    growth: int = 60  # unpacked over packed, beyond the first 50 MB
    depth: int = 30
    name_length: int = 500


LIMITS = Limits()
_FREE_BYTES = 50_000_000
_HEADER_BYTES = 4096  # a header, a long name and padding
_UNACCOUNTED_BYTES = 1_000_000


def read_package(path: Path, wanted: str, limits: Limits = LIMITS) -> dict[str, str]:
    """Name -> text of the files whose name, without the archive's own folder, matches `wanted` in full.

    Raises BadArchive. Bytes that are not UTF-8 become U+FFFD, as in a comment in another encoding.
    """
    pattern = re.compile(wanted)
    members = _zip_members if zipfile.is_zipfile(path) else _tar_members
    found: dict[str, str] = {}
    kept_bytes = 0
    try:
        for name, size, opened in members(path, limits):
            inside = name if members is _zip_members else name.partition("/")[2]
            if not pattern.fullmatch(inside):
                continue
            if size > limits.file_bytes:
                raise BadArchive(f"{inside} has {size:,} bytes, more than a source file may", where=path.name)
            kept_bytes += size
            if kept_bytes > limits.kept_bytes:
                raise BadArchive(f"more than {limits.kept_bytes:,} bytes of source", where=path.name)
            found[inside] = _content(opened, size, path).decode("utf-8-sig", "replace")
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError,
            NotImplementedError, ValueError) as error:  # fmt: skip
        raise BadArchive(f"cannot be read as an archive: {error}", where=path.name) from error
    return found


def _content(opened: IO[bytes] | None, size: int, path: Path) -> bytes:
    data = opened.read(size + 1) if opened else b""
    if len(data) != size:
        raise BadArchive("a file is not as long as the archive states", where=path.name)
    return data


def _tar_members(path: Path, limits: Limits) -> Iterator[tuple[str, int, IO[bytes] | None]]:
    budget = _Budget(path, limits)
    with gzip.open(path) as packed, tarfile.open(fileobj=_Metered(packed, budget), mode="r|") as archive:
        for member in archive:
            budget.spend(member.name, member.size)
            if member.issym() or member.islnk():
                base = PurePosixPath(member.name).parent if member.issym() else PurePosixPath()
                budget.check_name(_joined(base, member.linkname, budget), "a link to ")
            elif member.isfile():
                yield member.name, member.size, archive.extractfile(member)
            elif not member.isdir():
                raise BadArchive(f"{member.name!r} is a device or pipe", where=path.name)


def _zip_members(path: Path, limits: Limits) -> Iterator[tuple[str, int, IO[bytes] | None]]:
    budget = _Budget(path, limits)
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            budget.spend(member.filename, member.file_size)
            kind = member.external_attr >> 28
            if kind not in (0, 4, 8):  # told nothing, a folder, a file
                raise BadArchive(f"{member.filename!r} is a link or device", where=path.name)
            if not member.is_dir():
                with archive.open(member) as opened:
                    yield member.filename, member.file_size, opened


class _Metered(io.RawIOBase):
    """The unpacked bytes, refused where more come than names and sizes account for (a bomb in a header)."""

    def __init__(self, packed: IO[bytes], budget: _Budget) -> None:
        self.packed, self.budget, self.read_bytes = packed, budget, 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes; raises BadArchive."""
        data = self.packed.read(size)
        self.read_bytes += len(data)
        accounted = self.budget.total_bytes + self.budget.members_count * _HEADER_BYTES
        if self.read_bytes > accounted + _UNACCOUNTED_BYTES:
            raise BadArchive("its headers are too large", where=self.budget.path.name)
        return data


class _Budget:
    """Counts what an archive has claimed so far and refuses what is beyond the limits."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path, self.limits = path, limits
        self.members_count = self.total_bytes = 0
        self.most_bytes = min(limits.total_bytes, _FREE_BYTES + limits.growth * path.stat().st_size)

    def spend(self, name: str, size: int) -> None:
        """Take one more member into account."""
        self.check_name(name)
        self.members_count += 1
        self.total_bytes += max(size, 0)
        if self.members_count > self.limits.members_count:
            raise BadArchive(f"more than {self.limits.members_count:,} files", where=self.path.name)
        if self.total_bytes > self.most_bytes:
            raise BadArchive(f"it unpacks to more than {self.most_bytes:,} bytes", where=self.path.name)

    def check_name(self, name: str, what: str = "") -> None:
        """Refuse names that leave the archive or that no source tree has."""
        parts = name.replace("\\", "/").split("/")
        if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name:
            raise BadArchive(f"{what}{name[:80]!r} leaves the archive", where=self.path.name)
        if len(parts) > self.limits.depth or len(name) > self.limits.name_length:
            raise BadArchive(f"{what}{name[:80]!r}... is nested too deeply", where=self.path.name)


def _joined(base: PurePosixPath, target: str, budget: _Budget) -> str:
    """Where a link points, with '..' taken as far as it stays inside; raises BadArchive beyond that."""
    if target.startswith("/"):
        budget.check_name(target, "a link to ")
    parts: list[str] = []
    for part in (*base.parts, *target.split("/")):
        if part == ".." and not parts:
            raise BadArchive(f"a link to {target[:80]!r} leaves the archive", where=budget.path.name)
        if part == "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
