"""Models from files, caches and the hub: the edges bring bytes, the parsers make a Model of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from plimsoll.domain.model import Model
from plimsoll.edges import files
from plimsoll.edges.paths import is_path
from plimsoll.errors import AmbiguousName, MalformedGguf, NotFound, ReadError, UnknownModel
from plimsoll.parse import strict_json

if TYPE_CHECKING:
    from plimsoll.edges.hub import Repository
    from plimsoll.parse.byte_source import ByteSource

_CONFIG_ONLY = "no weights were found beside config.json: the tensors are those the config describes"


def is_local(reference: str) -> bool:
    """Whether `reference` is the path of something that exists, or can only be meant as a path."""
    return is_path(reference)


def is_remote(reference: str) -> bool:
    """Whether `reference` names something on the hub or the web."""
    if reference.startswith(("http://", "https://")):
        return True
    from plimsoll.edges import hub

    return hub.parse_name(reference) is not None


def load(reference: str, *, allow_network: bool = False) -> Model | None:
    """The model at a local path, in a local cache, or (when allowed) on the network; None if unknown."""
    if is_local(reference):
        return load_local(reference)
    found = load_cached(reference)
    if found is None and allow_network and is_remote(reference):
        return load_remote(reference)
    return found


def load_local(reference: str) -> Model:
    """The model at a path: a .gguf (any shard), a .safetensors, a config.json or a folder."""
    path = Path(reference).expanduser()
    found = files.find(path)
    return _load_found(found, id=_name(path.parent if found.config == path else path))


def _name(path: Path) -> str:
    """The last part of a path, also of '.', '..' and '/'."""
    return path.name if path.name not in ("", "..") else path.absolute().resolve().name or str(path)


def load_cached(reference: str) -> Model | None:
    """The model of that name in the caches of Hugging Face, Ollama or LM Studio, or None.

    Raises AmbiguousName when several have the name.
    """
    from plimsoll.edges import caches

    name, _, revision = reference.partition("@")
    found = [c for c in caches.find(name) if not revision or c.revision.startswith(revision)]
    usable = [c for c in found if c.cache != "huggingface" or _is_complete(c.path)]
    if not usable:
        return None
    if len(usable) > 1:
        raise AmbiguousName(
            f"{reference!r} is in several local caches", name=reference,
            nearest=tuple(str(c.path) for c in usable), hint="give the path of one",
        )  # fmt: skip
    chosen = usable[0]
    model = _load_found(files.find(chosen.path), id=chosen.names[0])
    return replace(model, revision=chosen.revision or model.revision)


def load_remote(reference: str) -> Model:
    """The model on the hub (`org/name[@revision][:file or recipe]`) or at a web address."""
    from plimsoll.edges import hub

    name = hub.parse_name(reference)
    if name is None:
        return _load_url(reference)
    repository = hub.open_repository(name)
    if name.pick or not _has_safetensors(repository):
        if not name.pick and not any(f.lower().endswith(".gguf") for f in repository.files):
            return _without_weights(repository)
        first = hub.pick_gguf(repository, name.pick)
        return _gguf(
            first.rsplit("/", 1)[-1], lambda shard: hub.source(repository, _beside(first, shard)),
            id=repository.id, revision=repository.revision,
        )  # fmt: skip
    return _hub_checkpoint(repository)


def _load_found(found: files.Found, *, id: str) -> Model:
    if found.kind == "gguf":
        path = found.weights[0]
        with ExitStack() as stack:
            return _gguf(
                path.name, lambda shard: stack.enter_context(files.FileSource(path.parent / shard)), id=id
            )
    assert found.config is not None
    config = strict_json.loads_object(
        files.read_bytes(found.config, strict_json.CONFIG.size_bytes), where=str(found.config)
    )
    if found.kind == "config":
        return _config_only(config, id=id, where=str(found.config))
    index = files.read_bytes(found.index, strict_json.INDEX.size_bytes) if found.index else b""
    return _checkpoint(
        config, index, lambda names: _opened(found.folder, names),
        tuple(p.name for p in found.weights), id=id, revision="", where=str(found.config),
        index_name=str(found.index or ""),
    )  # fmt: skip


def _opened(folder: Path, names: tuple[str, ...]) -> Iterator[ByteSource]:
    """Files of a folder, one open at a time."""
    for name in names:
        with files.FileSource(folder / name) as source:
            yield source


def _gguf(name: str, open_shard: Callable[[str], ByteSource], *, id: str, revision: str = "") -> Model:
    """All shards of a GGUF; a missing one is an error that names it."""
    from plimsoll.parse.gguf import read_header
    from plimsoll.parse.gguf_model import model_from_gguf, shard_names

    headers = []
    for shard in shard_names(name):
        try:
            headers.append(read_header(open_shard(shard)))
        except NotFound as error:
            if shard == name:
                raise
            raise MalformedGguf(
                f"the shard {shard} is missing", where=name, hint="download it again, into the same folder"
            ) from error
    return model_from_gguf(headers, id=id, revision=revision)


def _checkpoint(
    config: dict[str, object], index_bytes: bytes,
    open_shards: Callable[[tuple[str, ...]], Iterator[ByteSource]],
    names: tuple[str, ...], *, id: str, revision: str, where: str, index_name: str,
) -> Model:  # fmt: skip
    """Config, index and the headers of all shards."""
    from plimsoll.parse import safetensors
    from plimsoll.parse.checkpoint import model_from_checkpoint

    index = safetensors.read_index(index_bytes, where=index_name) if index_bytes else None
    headers, shards = [], index.shards if index else names
    opened = open_shards(shards)
    for shard in shards:
        try:
            headers.append(safetensors.read_header(next(opened)))
        except NotFound as error:
            raise ReadError(
                f"the shard {shard} is missing", where=index_name or where, hint="download it again"
            ) from error
    rows = safetensors.join(index, headers) if index else tuple(row for h in headers for row in h.tensors)
    if not index and len({row.name for row in rows}) != len(rows):
        raise ReadError("a tensor stands in two files and there is no index", where=where)
    return model_from_checkpoint(
        config, rows, id=id, revision=revision, where=where, files=index_name or ", ".join(names)
    )


def _config_only(config: dict[str, object], *, id: str, where: str, revision: str = "") -> Model:
    from plimsoll.parse.config import model_from_config

    model = model_from_config(config, id=id, revision=revision, where=where)
    return replace(model, notes=(*model.notes, _CONFIG_ONLY))


def _hub_checkpoint(repository: Repository) -> Model:
    from plimsoll.edges import hub

    at = f"{repository.id}@{repository.revision[:12]}"
    config = strict_json.loads_object(
        hub.small_file(repository, "config.json", strict_json.CONFIG.size_bytes), where=f"{at}/config.json"
    )
    index, names = b"", _weight_names(repository)
    if files.INDEX in repository.files:
        index = hub.small_file(repository, files.INDEX, strict_json.INDEX.size_bytes)
    return _checkpoint(
        config, index, lambda shards: hub.sources(repository, shards), names,
        id=repository.id, revision=repository.revision, where=f"{at}/config.json",
        index_name=f"{at}/{files.INDEX}" if index else "",
    )  # fmt: skip


def _weight_names(repository: Repository) -> tuple[str, ...]:
    top = sorted(f for f in repository.files if f.endswith(".safetensors") and "/" not in f)
    return ("model.safetensors",) if "model.safetensors" in top else tuple(top)


def _has_safetensors(repository: Repository) -> bool:
    return "config.json" in repository.files and bool(_weight_names(repository))


def _without_weights(repository: Repository) -> Model:
    """A repository of pickles (never opened) or of nothing: its config alone, or an error."""
    from plimsoll.edges import hub

    pickles = [f for f in repository.files if PurePosixPath(f).suffix in files.PICKLES]
    if "config.json" not in repository.files or pickles:
        what = f"only pickles ({pickles[0]}), which are never opened" if pickles else "no model"
        raise ReadError(
            f"holds {what}",
            where=repository.id,
            hint="look for a .safetensors or .gguf version of this model",
        )
    where = f"{repository.id}@{repository.revision[:12]}/config.json"
    data = hub.small_file(repository, "config.json", strict_json.CONFIG.size_bytes)
    return _config_only(
        strict_json.loads_object(data, where=where),
        id=repository.id,
        where=where,
        revision=repository.revision,
    )


def _load_url(url: str) -> Model:
    """A .gguf or .safetensors at any web address, with its shards, index and config beside it."""
    from plimsoll.edges.http_range import RangeSource

    address, _, query = url.partition("?")
    name = address.rsplit("/", 1)[-1]

    def beside(other: str) -> RangeSource:
        return RangeSource(_beside(address, other) + (f"?{query}" if query else ""), name=other)

    if address.startswith(("http://", "https://")) and name.lower().endswith(".gguf"):
        return _gguf(name, beside, id=name)
    if address.startswith(("http://", "https://")) and name.endswith(".safetensors"):
        config = _whole(beside("config.json"), strict_json.CONFIG.size_bytes)
        is_shard = re.search(r"-\d{5}-of-\d{5}\.", name) is not None
        index = _whole(beside(files.INDEX), strict_json.INDEX.size_bytes) if is_shard else b""
        where = _beside(address, "config.json")
        return _checkpoint(
            strict_json.loads_object(config, where=where), index, lambda names: map(beside, names), (name,),
            id=name, revision="", where=where, index_name=_beside(address, files.INDEX) if index else "",
        )  # fmt: skip
    raise UnknownModel(
        f"{url} is not the address of a model",
        name=url,
        hint="give the address of a .gguf or .safetensors, or a hub id",
    )


def _whole(source: ByteSource, most_bytes: int) -> bytes:
    """A small file from a source; ReadError when it is larger than `most_bytes`."""
    if source.size_bytes > most_bytes:
        raise ReadError(f"{source.size_bytes} bytes; more than {most_bytes} are not read", where=source.name)
    return source.read(0, source.size_bytes)


def _beside(path: str, name: str) -> str:
    folder, slash, _ = path.rpartition("/")
    return f"{folder}{slash}{name}"


def _is_complete(snapshot: Path) -> bool:
    """Whether a snapshot of the hub's cache has weights, not just a config that was looked at."""
    try:
        found = files.find(snapshot)
    except (ReadError, NotFound, AmbiguousName):
        return False
    if found.kind == "config":
        return False
    if found.index is None:
        return all(weights.exists() for weights in found.weights)
    from plimsoll.parse.safetensors import read_index

    try:
        index = read_index(
            files.read_bytes(found.index, strict_json.INDEX.size_bytes), where=str(found.index)
        )
    except ReadError:
        return False
    return all((found.folder / shard).exists() for shard in index.shards)
