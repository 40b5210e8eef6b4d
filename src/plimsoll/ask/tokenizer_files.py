"""From what a person types to a tokenizer's files: a path, local caches, the catalog, the hub."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plimsoll.ask import files as models
from plimsoll.catalog import models as catalog
from plimsoll.domain.model import Model
from plimsoll.domain.origin import Origin
from plimsoll.domain.tokenizer import TokenRows, Vocabulary
from plimsoll.edges import files as edge
from plimsoll.errors import AmbiguousName, NotFound, PlimsollError, ReadError, UnknownModel
from plimsoll.parse import strict_json
from plimsoll.parse import tokenizer_json as hf
from plimsoll.parse.byte_source import ByteSource
from plimsoll.parse.gguf import GgufHeader, read_header
from plimsoll.parse.gguf_tokenizer import vocabulary_from_gguf

_EMBEDDINGS = (
    "embed_tokens.weight", "wte.weight", "embed_in.weight", "word_embeddings.weight", "token_embd.weight",
    "tok_embeddings.weight", "embeddings.weight", "embed.weight",
)  # fmt: skip
_OTHER_VOCABULARIES = {
    "tokenizer.model": "a SentencePiece file",
    "tekken.json": "Mistral's own format",
    "tiktoken.model": "a tiktoken file",
    "vocab.json": "the parts of an old vocabulary",
}
_NOT_HERE = "no tokenizer files are shipped with the catalog, and none of {id} is in a local cache"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenizerFiles:
    """What was found. `raw` is tokenizer.json as bytes, b'' for a GGUF; `vocabulary` is None for a model of
    the catalog without files. `settings` is tokenizer_config.json."""

    id: str
    origins: tuple[str, ...]
    vocabulary: Vocabulary | None
    raw: bytes = b""
    settings: Mapping[str, Any] = field(default_factory=dict)
    named: Mapping[int, str] = field(default_factory=dict)
    rows: TokenRows | None = None
    context_tokens: int | None = None
    missing: str = ""
    hint: str = ""
    notes: tuple[str, ...] = ()


def load(reference: str, *, fetch: bool = False, offline: bool = False) -> TokenizerFiles:
    """The tokenizer that `reference` names.

    Tried in order: a path; the caches of Hugging Face, Ollama and LM Studio; the catalog, which has no files:
    only with `fetch` are they taken from the hub; and the hub for other ids (never when `offline`).
    Raises UnknownModel, AmbiguousName, ReadError or ReachError.
    """
    if models.is_local(reference):
        return _local(Path(reference).expanduser(), "")
    try:
        record = catalog.find(reference)
    except UnknownModel:
        cached = _cached(reference)
        if cached is not None:
            return cached
        if offline or not models.is_remote(reference) or catalog.is_known_missing(reference):
            raise
        return _remote(reference)
    cached = _cached(record.id)
    if cached is not None:
        return cached
    if fetch and not offline:
        return _remote(record.id)
    return _without_files(record.id)


def _local(path: Path, id: str) -> TokenizerFiles:
    if path.is_dir():
        if (path / hf.TOKENIZER).exists():
            return _hugging_face(path, path / hf.TOKENIZER, id or path.resolve().name)
        found = edge.find(path) if _has_gguf(path) else None
        if found is None:
            raise _no_vocabulary(path)
        path = found.weights[0]
    if path.suffix.lower() == ".json":
        return _hugging_face(path.parent, path, id or path.resolve().parent.name)
    if path.name in _OTHER_VOCABULARIES:
        raise _no_vocabulary(path.parent)
    return _gguf_file(path, id)


def _has_gguf(folder: Path) -> bool:
    return any(p.suffix.lower() == ".gguf" for p in folder.iterdir())


def _no_vocabulary(folder: Path) -> ReadError:
    other = next((n for n in _OTHER_VOCABULARIES if (folder / n).exists()), "")
    says = (
        f"has {other} ({_OTHER_VOCABULARIES[other]}), which is not read" if other else "has no tokenizer.json"
    )
    return ReadError(
        says, where=str(folder),
        hint="save_pretrained of a Transformers tokenizer writes a tokenizer.json; or give a .gguf",
    )  # fmt: skip


def _hugging_face(folder: Path, tokenizer: Path, id: str) -> TokenizerFiles:
    """tokenizer.json; the files beside it count only if it has its usual name."""

    def read(name: str) -> bytes | None:
        path = tokenizer if name == hf.TOKENIZER else folder / name
        if name != hf.TOKENIZER and (tokenizer.name != hf.TOKENIZER or not path.exists()):
            return None
        limit = strict_json.TOKENIZER if name == hf.TOKENIZER else strict_json.CONFIG
        return edge.read_bytes(path, limit.size_bytes)

    model = _model_at(folder) if tokenizer.name == hf.TOKENIZER and (folder / hf.CONFIG).exists() else None
    return _from_reader(read, id=id, where=str(tokenizer.parent), model=model)


def _from_reader(
    read: Callable[[str], bytes | None], *, id: str, where: str, model: Model | None
) -> TokenizerFiles:
    raw = read(hf.TOKENIZER) or b""
    parsed: dict[str, Any] = {
        hf.TOKENIZER: strict_json.loads_object(
            raw, where=f"{where}/{hf.TOKENIZER}", limits=strict_json.TOKENIZER
        )
    }
    notes = []
    for name in hf.SMALL_FILES:
        data = read(name)
        if data is None:
            continue
        try:
            parsed[name] = strict_json.loads_object(data, where=f"{where}/{name}")
        except ReadError as error:
            notes.append(f"{error.message}: left out")
    template = (read(hf.TEMPLATE) or b"").decode("utf-8", "replace")
    vocabulary = hf.vocabulary_from_json(parsed, template=template, where=where)
    settings = parsed.get(hf.SETTINGS, {})
    return TokenizerFiles(
        id=id, origins=tuple(f"{where}/{n}" for n in (*parsed, *([hf.TEMPLATE] if template else ()))),
        vocabulary=vocabulary, raw=raw, settings=settings, named=hf.named_ids(parsed),
        rows=_rows(model) if model else _rows_of_config(parsed.get(hf.CONFIG, {}), f"{where}/{hf.CONFIG}"),
        context_tokens=model.trained_context_tokens if model else None, notes=tuple(notes),
    )  # fmt: skip


def _gguf_file(path: Path, id: str) -> TokenizerFiles:
    with edge.FileSource(path) as source:
        header = read_header(source)
        first = re.sub(r"-\d{5}-of-", "-00001-of-", path.name)
        if (
            "tokenizer.ggml.model" not in header.metadata
            and first != path.name
            and (path.parent / first).exists()
        ):
            return _gguf_file(path.parent / first, id)
        return _from_gguf(header, source, id or path.name)


def _from_gguf(header: GgufHeader, source: ByteSource, id: str) -> TokenizerFiles:
    vocabulary = vocabulary_from_gguf(header, source)
    if vocabulary is None:
        raise ReadError(
            "holds no vocabulary", where=header.name, hint="give the first shard, or tokenizer.json"
        )
    tensors = {tensor.name: tensor for tensor in header.tensors}
    table, rows = tensors.get("token_embd.weight"), None
    if table is not None and len(table.shape) == 2:
        output = tensors.get("output.weight")
        rows = TokenRows(
            rows_count=table.shape[0], hidden_dim=table.shape[1],
            row_bytes=table.size_bytes // table.shape[0],
            matrices_count=1 if output is None else 2, format=table.format,
            origin=Origin(kind="file", where=f"{header.name}#token_embd.weight"),
        )  # fmt: skip
    context = header.metadata.get(f"{header.metadata.get('general.architecture', '')}.context_length")
    return TokenizerFiles(
        id=id, origins=(header.name,), vocabulary=vocabulary, rows=rows,
        context_tokens=context if type(context) is int and context > 0 else None,
    )  # fmt: skip


def _cached(name: str) -> TokenizerFiles | None:
    """A tokenizer in a local cache; a repository whose tokenizer was not fetched is passed over."""
    from plimsoll.edges import caches

    found = caches.find(name.partition("@")[0])
    usable = [c for c in found if c.cache == "ollama" or c.path.is_file() or (c.path / hf.TOKENIZER).exists()]
    if len(usable) > 1:
        raise AmbiguousName(
            f"{name!r} is in several local caches", name=name,
            nearest=tuple(str(c.path) for c in usable), hint="give the path of one",
        )  # fmt: skip
    return _local(usable[0].path, usable[0].names[0]) if usable else None


def _remote(reference: str) -> TokenizerFiles:
    from plimsoll.edges import hub

    name = hub.parse_name(reference)
    if name is None:
        raise UnknownModel(
            f"{reference} is not a name on the hub", name=reference, hint="give a path or org/name"
        )
    repository = hub.open_repository(name)
    where = f"{repository.id}@{repository.revision[:12]}"
    if hf.TOKENIZER in repository.files and not name.pick:

        def read(filename: str) -> bytes | None:
            if filename not in repository.files:
                return None
            limit = strict_json.TOKENIZER if filename == hf.TOKENIZER else strict_json.CONFIG
            return hub.small_file(repository, filename, limit.size_bytes)

        return _from_reader(read, id=repository.id, where=where, model=None)
    if not any(f.lower().endswith(".gguf") for f in repository.files):
        other = next((n for n in _OTHER_VOCABULARIES if n in repository.files), "")
        raise NotFound(
            f"{repository.id} has no {hf.TOKENIZER}" + (f", only {other}" if other else ""),
            hint="convert it with Transformers (save_pretrained) and give the folder",
        )
    source = hub.source(repository, hub.pick_gguf(repository, name.pick))
    return _from_gguf(read_header(source), source, repository.id)


def _without_files(id: str) -> TokenizerFiles:
    """A model of the catalog: its config tells the rows and the context, nothing else."""
    from plimsoll.ask.models import from_catalog

    try:
        model: Model | None = from_catalog(id)
    except ReadError:
        model = None
    return TokenizerFiles(
        id=id, origins=(f"catalog/models/{id}.json",),
        vocabulary=None, rows=_rows(model) if model else None,
        context_tokens=model.trained_context_tokens if model else None,
        missing=_NOT_HERE.format(id=id),
        hint=f"plimsoll tokenizer {id} --fetch reads it from the hub; or give a folder or a .gguf",
    )  # fmt: skip


def _model_at(folder: Path) -> Model | None:
    """The model beside a tokenizer; None when it cannot be read, which is no error of the tokenizer."""
    try:
        return models.load_local(str(folder))
    except PlimsollError:
        return None


def _rows(model: Model) -> TokenRows | None:
    """The rows of the token matrices, from the tensor table."""
    tables = [
        t for t in model.tensors
        if t.role == "embedding" and len(t.shape) == 2
        and t.name.endswith(_EMBEDDINGS) and "per_layer" not in t.name
    ]  # fmt: skip
    if not tables:
        return None
    table = tables[0]
    outputs = [
        t for t in model.tensors if t.role == "output" and len(t.shape) == 2 and table.shape[0] in t.shape
    ]
    return TokenRows(
        rows_count=table.shape[0], hidden_dim=table.shape[1], row_bytes=table.size_bytes // table.shape[0],
        matrices_count=2 if outputs else 1, format=table.format,
        origin=Origin(kind="file", where=f"{model.id}#{table.name}"),
    )  # fmt: skip


_VALUE_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}


def _rows_of_config(config: Mapping[str, Any], where: str) -> TokenRows | None:
    """The same from config.json alone: vocab_size x hidden_size in its dtype."""
    from plimsoll.parse.config import model_from_config

    try:
        return _rows(model_from_config(dict(config), id=where, where=where)) if config else None
    except PlimsollError:
        pass
    inner = config.get("text_config")
    text = {**config, **inner} if isinstance(inner, Mapping) else config
    rows, hidden = text.get("vocab_size"), text.get("hidden_size")
    size = _VALUE_BYTES.get(str(text.get("dtype") or text.get("torch_dtype")))
    if type(rows) is not int or type(hidden) is not int or size is None or rows <= 0 or hidden <= 0:
        return None
    return TokenRows(
        rows_count=rows, hidden_dim=hidden, row_bytes=hidden * size,
        matrices_count=1 if text.get("tie_word_embeddings") is True else 2,
        format=str(text.get("dtype") or text.get("torch_dtype")),
        origin=Origin(kind="file", where=f"{where}#vocab_size"),
    )  # fmt: skip
