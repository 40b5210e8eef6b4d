"""Brings released source packages and their metadata here, through pip and its configuration.

Pip's finder and downloader are used as they stand, because `pip download` itself runs the build code of
a source package to learn its metadata, and nothing of a stranger's package may run here. Index, mirror,
certificates and proxies are whatever pip is configured to use on this machine.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from plimsoll.errors import ReachError, ReadError

MOST_BYTES = 400_000_000  # the largest source package of the projects here has 60 MB
_CHUNK = 1 << 20
_SUFFIXES = (".tar.gz", ".zip", ".whl")


class BadDownload(ReadError):
    """What came is not what the index announced."""


def default_cache() -> Path:
    """Where packages are kept: outside of the repository, in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "plimsoll" / "harvest"


@contextmanager
def _pip(project: str) -> Iterator[tuple[Any, Any]]:
    """Pip's session and finder; what pip refuses becomes a ReachError."""
    from pip._internal.commands import create_command
    from pip._internal.exceptions import PipError

    command: Any = create_command("download")
    try:
        options, _ = command.parse_args(["--no-deps", "--disable-pip-version-check", "-q", project])
        with command.main_context():
            session = command.get_default_session(options)
            yield session, command._build_package_finder(options, session)
    except (PipError, OSError, AttributeError) as error:
        raise ReachError(f"{project}: pip cannot reach it: {error}", hint="pip config list") from error


def released_versions(project: str) -> list[str]:
    """All versions that the index lists and nobody withdrew, without previews, oldest first."""
    with _pip(project) as (_, finder):
        found = finder.find_all_candidates(project)
        versions = {
            candidate.version for candidate in found
            if not candidate.version.is_prerelease and not candidate.link.is_yanked
        }  # fmt: skip
        return [str(version) for version in sorted(versions) if not version.local]


def source_package(project: str, version: str, cache: Path) -> Path:
    """The path of a release's source package in the cache; downloads it when it is not there.

    A release without a source package is read from its wheel, which holds the same Python files.
    Raises ReachError when the index has neither, BadDownload when size or digest is not the announced.
    """
    kept = [path for suffix in _SUFFIXES if (path := cache / f"{project}-{version}{suffix}").exists()]
    if kept:
        return kept[0]
    with _pip(project) as (session, finder):
        links = _links(finder, project, version)
        if not links:
            raise ReachError(f"the index has no {project} {version}", hint=f"pip index versions {project}")
        link = min(links, key=lambda link: (link.is_wheel, link.filename))
        suffix = next((s for s in _SUFFIXES if link.filename.endswith(s)), ".tar.gz")
        target = cache / f"{project}-{version}{suffix}"
        _download(session, link, target)
    return target


def metadata(project: str, version: str, cache: Path) -> str:
    """The metadata of a release's wheel, read by its index entry or by ranges of the file; cached.

    torch publishes wheels of 800 MB and nothing else: only the few kilobytes of metadata come here.
    """
    target = cache / f"{project}-{version}.metadata"
    if not target.exists():
        with _pip(project) as (session, finder):
            from pip._internal.network.lazy_wheel import dist_from_wheel_url

            wheels = [link for link in _links(finder, project, version) if link.is_wheel]
            if not wheels:
                raise ReachError(f"the index has no wheel of {project} {version} for this platform")
            text = str(dist_from_wheel_url(project, wheels[0].url_without_fragment, session).metadata)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, "utf-8")
    return target.read_text("utf-8", "replace")


def _links(finder: Any, project: str, version: str) -> list[Any]:
    return [c.link for c in finder.find_all_candidates(project) if str(c.version) == version]


def _download(session: Any, link: Any, target: Path) -> None:
    """Stream into a file beside the target and rename it once size and digest are right."""
    target.parent.mkdir(parents=True, exist_ok=True)
    sha256 = link.hash if link.hash_name == "sha256" else ""
    answer = session.get(link.url_without_fragment, stream=True)
    answer.raise_for_status()
    digest, size = hashlib.sha256(), 0
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".partial-")
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in answer.iter_content(_CHUNK):
                size += len(chunk)
                if size > MOST_BYTES:
                    raise BadDownload(f"larger than {MOST_BYTES:,} bytes", where=target.name)
                digest.update(chunk)
                file.write(chunk)
        if sha256 and digest.hexdigest() != sha256:
            raise BadDownload("its SHA-256 is not the one that the index states", where=target.name)
        os.replace(name, target)
    finally:
        Path(name).unlink(missing_ok=True)
