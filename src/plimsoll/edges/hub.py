"""Models on the Hugging Face hub: which files a repository has, small files, and ranges of large ones.

`huggingface_hub` is imported only here and only when asked, with its cache, token, endpoint and
offline mode. Weights are never downloaded: their headers are read by range requests.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plimsoll.edges.http_range import RangeSource, reach_error
from plimsoll.errors import AccessDenied, AmbiguousName, NotFound, ReachError, ReadError, Unreachable

_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}")
_PAGE = re.compile(
    r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/(?P<id>[^/\s]+/[^/:@\s?]+)"
    r"(?:/(?:tree|blob|resolve)/(?P<revision>[^/\s]+)(?:/(?P<file>[^\s?]+))?)?/?(?:\?.*)?(?::(?P<pick>[^/\s]+))?"
)
PARALLEL_REQUESTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class HubName:
    """`org/name[@revision][:pick]`; `pick` is a file of the repository or a recipe such as Q4_K_M."""

    id: str
    revision: str = ""
    pick: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """One commit of a repository and its files with their sizes (None where the hub does not say)."""

    id: str
    revision: str
    files: Mapping[str, int | None] = field(default_factory=dict)


def parse_name(reference: str) -> HubName | None:
    """A hub name or page address, or None when `reference` is neither."""
    page = _PAGE.fullmatch(reference)
    if page is not None:
        pick = page["file"] or page["pick"] or ""
        return (
            HubName(id=page["id"], revision=page["revision"] or "", pick=pick)
            if _ID.fullmatch(page["id"])
            else None
        )
    rest, _, pick = reference.partition(":")
    id, _, revision = rest.partition("@")
    if not _ID.fullmatch(id) or ".." in reference or (pick and not re.fullmatch(r"[\w./-]+", pick)):
        return None
    return HubName(id=id, revision=revision, pick=pick)


def open_repository(name: HubName) -> Repository:
    """The files of a repository. Raises NotFound, AccessDenied, RateLimited or Unreachable."""
    hub = _library()
    try:
        info = hub.HfApi().model_info(
            name.id, revision=name.revision or None, files_metadata=True, timeout=20
        )
    except Exception as error:
        raise _translated(error, name.id, name.revision) from None
    files = {s.rfilename: s.size for s in info.siblings or [] if _is_safe(s.rfilename)}
    return Repository(id=name.id, revision=info.sha or name.revision or "main", files=files)


def small_file(repository: Repository, filename: str, most_bytes: int) -> bytes:
    """A config or tokenizer file, through the library's cache."""
    hub = _library()
    size = repository.files.get(filename)
    if size is not None and size > most_bytes:
        raise ReadError(
            f"{size} bytes; more than {most_bytes} are not read", where=f"{repository.id}/{filename}"
        )
    try:
        path = Path(hub.hf_hub_download(repository.id, filename, revision=repository.revision))
        if path.stat().st_size > most_bytes:
            raise ReadError(f"more than {most_bytes} bytes are not read", where=f"{repository.id}/{filename}")
        return path.read_bytes()
    except ReadError:
        raise
    except Exception as error:
        raise _translated(error, f"{repository.id}/{filename}", repository.revision) from None


def source(repository: Repository, filename: str) -> RangeSource:
    """The bytes of a large file, by range."""
    hub = _library()
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined,unused-ignore]

    url = hub.hf_hub_url(repository.id, filename, revision=repository.revision)
    headers = {k: v for k, v in build_hf_headers().items() if isinstance(v, str)}
    return RangeSource(url, headers=headers, name=f"{repository.id}/{filename}")


def sources(repository: Repository, filenames: Iterable[str]) -> Iterator[RangeSource]:
    """Several large files in order, their first bytes fetched a few at a time."""
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(max_workers=PARALLEL_REQUESTS)
    try:
        yield from pool.map(lambda name: source(repository, name), filenames)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def pick_gguf(repository: Repository, pick: str) -> str:
    """The .gguf that `pick` means: a file name, a recipe, or '' for the only one.

    Raises NotFound or AmbiguousName, listing what there is. Of shards, the first is given.
    """
    ggufs = [f for f in sorted(repository.files) if f.lower().endswith(".gguf") and "mmproj" not in f.lower()]
    firsts = [f for f in ggufs if not re.search(r"-\d{5}-of-\d{5}\.gguf$", f) or "-00001-of-" in f]
    if pick.lower().endswith(".gguf"):
        if pick not in repository.files:
            raise NotFound(f"{repository.id} has no file {pick}", hint=_listing(firsts))
        return pick
    chosen = [f for f in firsts if not pick or _has_recipe(f, pick)]
    if not chosen:
        raise NotFound(f"{repository.id} has no GGUF {pick}".rstrip(), hint=_listing(firsts))
    if len(chosen) > 1:
        raise AmbiguousName(
            f"{repository.id} has {len(chosen)} GGUF files", name=repository.id,
            nearest=tuple(f"{repository.id}:{f}" for f in chosen), hint="name one of them after a colon",
        )  # fmt: skip
    return chosen[0]


def _has_recipe(filename: str, pick: str) -> bool:
    """'Q4_K_M' is in 'x-Q4_K_M.gguf' but not in 'x-UD-Q4_K_M_L.gguf'."""
    stem = re.sub(r"-\d{5}-of-\d{5}$", "", filename.removesuffix(".gguf")).lower()
    return re.search(rf"(?:^|[-./]){re.escape(pick.lower())}$", stem) is not None


def _listing(files: list[str]) -> str:
    if not files:
        return "there is no .gguf in it"
    return "it has " + ", ".join(files[:8]) + (f" and {len(files) - 8} more" if len(files) > 8 else "")


def _library() -> Any:
    """huggingface_hub, or a ReachError that says how to get it."""
    try:
        import huggingface_hub
    except ImportError:
        raise ReachError(
            "reading models by hub id needs huggingface_hub, which is not installed",
            hint="pip install 'plimsoll-llm[hub]'",
        ) from None
    return huggingface_hub


def _translated(error: Exception, what: str, revision: str) -> ReachError:
    """The library's errors as ours: one sentence and a hint."""
    from huggingface_hub import constants, errors

    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if isinstance(error, errors.GatedRepoError | errors.DisabledRepoError):
        return AccessDenied(
            f"{what} is gated: the hub does not let you read it",
            hint="accept its conditions on its page, then log in (`hf auth login`) or set HF_TOKEN",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return NotFound(f"{what} has no revision {revision!r}")
    offline = bool(constants.HF_HUB_OFFLINE)
    if offline or (isinstance(error, errors.LocalEntryNotFoundError) and status is None):
        return Unreachable(
            f"{what} is not in the local cache and "
            + ("HF_HUB_OFFLINE is set" if offline else "the hub is out of reach"),
            hint="unset HF_HUB_OFFLINE" if offline else "check the network and try again",
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return NotFound(
            f"the hub has no model {what}, or it is private",
            hint="check the spelling; private models need HF_TOKEN",
        )
    if isinstance(error, errors.EntryNotFoundError):
        return NotFound(f"there is no {what}" + (f" at {revision}" if revision else ""))
    if isinstance(error, errors.HFValidationError):
        return NotFound(f"{what!r} is not a name of a model on the hub")
    if isinstance(status, int):
        return reach_error(status, str(getattr(response, "url", what)), getattr(response, "headers", None))
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return Unreachable(
        f"the hub could not be reached for {what}: {reason}", hint="check the network and try again"
    )


def _is_safe(name: str) -> bool:
    return not name.startswith("/") and "\\" not in name and ".." not in name.split("/")
