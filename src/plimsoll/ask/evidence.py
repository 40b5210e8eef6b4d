"""What is said about a model besides its tensors: config, tokenizer, chat template, card, files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from plimsoll.ask import files as ask_files
from plimsoll.catalog import chat_templates
from plimsoll.catalog import models as catalog
from plimsoll.domain.explanation import UNKNOWN, Card, Chat, Fact, ModelFile, Vocabulary
from plimsoll.domain.model import Model
from plimsoll.errors import AmbiguousName, NotFound, ReadError, UnknownModel
from plimsoll.units import format_bytes

_LARGEST_TEMPLATE = 4 << 20
_LARGEST_README = 1 << 20
_VARIANTS = ("instruct", "thinking", "reasoning", "base", "chat", "it", "coder")
Read = Callable[[str, int], bytes | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that was found. `config` is None where there is none: a GGUF has `metadata` instead."""

    config: Mapping[str, Any] | None
    config_where: str
    vocabulary: Vocabulary
    chat: Chat
    card: Card
    files: tuple[ModelFile, ...]
    record: catalog.ModelRecord | None
    metadata: Mapping[str, Any] = field(default_factory=dict)


def gather(reference: str, model: Model, *, offline: bool) -> Evidence:
    """Evidence about the model that `reference` led to: from its files where they are here or reachable,
    and from the catalog's record of the same id."""
    record = _record(model.id)
    if ask_files.is_local(reference):
        return _from_path(Path(reference).expanduser(), model, None)
    if model.origins["config"].kind == "catalog":
        cached = _cached(model.id)
        found = _from_path(cached, model, record) if cached else _from_record(model, record)
        return found if record is None else _with_config(found, record.config, record.where)
    cached = _cached(reference.partition("@")[0])
    if cached is not None:
        return _from_path(cached, model, record)
    return _from_hub(reference, model, record, offline=offline)


def _record(model_id: str) -> catalog.ModelRecord | None:
    try:
        return catalog.load(model_id)
    except UnknownModel:
        return None


def _cached(name: str) -> Path | None:
    """Where a cache of another program keeps exactly this model, if it is there once and can be read.

    A snapshot may hold a tokenizer alone: that is no model, and no reason to fail.
    """
    from plimsoll.edges import caches, files

    found = caches.find(name)
    if len(found) != 1:
        return None
    try:
        files.find(found[0].path)
    except (ReadError, NotFound, AmbiguousName):
        return None
    return found[0].path


def _from_path(path: Path, model: Model, record: catalog.ModelRecord | None) -> Evidence:
    from plimsoll.edges import files

    found = files.find(path)
    if found.kind == "gguf":
        return _from_gguf(found.weights[0], model, record)

    def read(name: str, most_bytes: int) -> bytes | None:
        file = found.folder / name
        return files.read_bytes(file, most_bytes) if files.exists(file) else None

    from plimsoll.edges.listing import sizes_of

    listed = tuple(ModelFile(name=name, size_bytes=size) for name, size in sizes_of(found.folder))
    config = found.config.name if found.config else "config.json"
    return _from_files(read, model, record, at=str(found.folder), config=config, listed=listed)


def _from_hub(reference: str, model: Model, record: catalog.ModelRecord | None, *, offline: bool) -> Evidence:
    from plimsoll.edges import hub

    name = hub.parse_name(reference)
    if name is None or offline or model.naming == "gguf":
        return _from_record(model, record)
    repository = hub.open_repository(name)

    def read(file: str, most_bytes: int) -> bytes | None:
        return hub.small_file(repository, file, most_bytes) if file in repository.files else None

    listed = tuple(
        ModelFile(name=file, size_bytes=size) for file, size in repository.files.items() if size is not None
    )
    at = f"{repository.id}@{repository.revision[:12]}"
    return _from_files(read, model, record, at=at, config="config.json", listed=listed)


def _from_files(
    read: Read, model: Model, record: catalog.ModelRecord | None, *, at: str, config: str,
    listed: tuple[ModelFile, ...],
) -> Evidence:  # fmt: skip
    from plimsoll.parse import strict_json
    from plimsoll.parse.model_card import card_from_readme

    def parsed(name: str, limits: strict_json.Limits) -> dict[str, Any] | None:
        data = read(name, limits.size_bytes)
        return None if data is None else strict_json.loads_object(data, where=f"{at}/{name}", limits=limits)

    settings = parsed("tokenizer_config.json", strict_json.CONFIG)
    readme = read("README.md", _LARGEST_README)
    card = card_from_readme(readme.decode("utf-8", "replace"), f"{at}/README.md") if readme else Card()
    return Evidence(
        config=parsed(config, strict_json.CONFIG), config_where=f"{at}/{config}",
        vocabulary=_vocabulary(parsed("tokenizer.json", strict_json.TOKENIZER), settings, model, at),
        chat=_chat(read("chat_template.jinja", _LARGEST_TEMPLATE), settings, at),
        card=_merged(card, _card(model, record)), files=listed, record=record,
    )  # fmt: skip


def _chat(jinja: bytes | None, settings: Mapping[str, Any] | None, at: str) -> Chat:
    """chat_template.jinja, or chat_template in tokenizer_config.json: a text, or a list of named ones."""
    from plimsoll.parse.chat_template import read

    if jinja is not None:
        return read(jinja.decode("utf-8", "replace"), f"{at}/chat_template.jinja")
    template = (settings or {}).get("chat_template")
    if isinstance(template, list):
        named = {t.get("name"): t.get("template") for t in template if isinstance(t, Mapping)}
        template = named.get("tool_use") or named.get("default")
    return read(template, f"{at}/tokenizer_config.json") if isinstance(template, str) else Chat()


def _vocabulary(
    tokenizer: Mapping[str, Any] | None, settings: Mapping[str, Any] | None, model: Model, at: str
) -> Vocabulary:
    from plimsoll.parse.tokenizer import facts_from_tokenizer_json

    if tokenizer is None:
        return Vocabulary(size_count=model.vocab_size)
    facts = facts_from_tokenizer_json(tokenizer, settings, where=f"{at}/tokenizer.json")
    return Vocabulary(
        size_count=model.vocab_size, kind=facts.kind, tokens_count=facts.vocab_count,
        merges_count=facts.merges_count, added_count=facts.added_count, source=f"{at}/tokenizer.json",
    )  # fmt: skip


def _from_gguf(path: Path, model: Model, record: catalog.ModelRecord | None) -> Evidence:
    from plimsoll.edges import files
    from plimsoll.parse import chat_template
    from plimsoll.parse.gguf import FarText, read_header
    from plimsoll.parse.gguf_model import shard_names
    from plimsoll.parse.model_card import card_from_gguf
    from plimsoll.parse.tokenizer import facts_from_gguf

    with files.FileSource(path.parent / shard_names(path.name)[0]) as source:
        header = read_header(source)
        template = header.metadata.get("tokenizer.chat_template")
        if isinstance(template, FarText) and template.size_bytes <= _LARGEST_TEMPLATE:
            template = source.read(template.offset, template.size_bytes).decode("utf-8", "replace")
    facts = facts_from_gguf(header)
    where = f"{path.name}#tokenizer.chat_template"
    listed = []
    for name in shard_names(path.name):
        with files.FileSource(path.parent / name) as shard:
            listed.append(ModelFile(name=name, size_bytes=shard.size_bytes))
    vocabulary = Vocabulary(size_count=model.vocab_size) if facts is None else Vocabulary(
        size_count=model.vocab_size, kind=facts.kind, tokens_count=facts.vocab_count,
        merges_count=facts.merges_count, source=f"{path.name}#tokenizer.ggml",
    )  # fmt: skip
    return Evidence(
        config=None, config_where=path.name, vocabulary=vocabulary,
        chat=chat_template.read(template, where) if isinstance(template, str) else Chat(),
        card=_merged(card_from_gguf(header.metadata, path.name), _card(model, record)), files=tuple(listed),
        record=record, metadata=header.metadata,
    )  # fmt: skip


def _from_record(model: Model, record: catalog.ModelRecord | None) -> Evidence:
    """What the catalog alone knows."""
    return Evidence(
        config=None if record is None else record.config,
        config_where="" if record is None else record.where,
        vocabulary=Vocabulary(size_count=model.vocab_size),
        chat=chat_templates.find(model.id) or Chat(), card=_card(model, record), files=(), record=record,
    )  # fmt: skip


def _with_config(evidence: Evidence, config: Mapping[str, Any], where: str) -> Evidence:
    """The catalog answered, so its config is the one to explain, whatever a cache holds."""
    from dataclasses import replace

    chat = evidence.chat if evidence.chat.family or evidence.record is None else (
        chat_templates.find(evidence.record.id) or Chat()
    )  # fmt: skip
    return replace(evidence, config=config, config_where=where, chat=chat)


def _card(model: Model, record: catalog.ModelRecord | None) -> Card:
    """The catalog's facts about a model, each with the source that the record names."""
    if record is None:
        return Card(variant=_variant(model.id))
    told = record.field_sources
    size = "" if record.checkpoint_gib is None else format_bytes(round(record.checkpoint_gib * 2**30))
    return Card(
        license=Fact(value=record.license, source=told.get("license", "")),
        languages=Fact(value=", ".join(record.languages), source=told.get("languages", "")),
        released_on=Fact(value=record.released_on, source=told.get("released_on", "")),
        base_model=Fact(value=record.base_model, source=record.where if record.base_model else ""),
        variant=_variant(record.id),
        weights=_weights(record),
        training_data=Fact(value=record.training_data, source=told.get("openness", "")),
        checkpoint=Fact(value=size, source=told.get("checkpoint", "")),
    )


def _weights(record: catalog.ModelRecord) -> Fact:
    """Published where somebody counted or measured what the repository holds."""
    source = record.published.source if record.published else record.field_sources.get("checkpoint", "")
    return Fact(value="published", source=source) if source else UNKNOWN


def _variant(model_id: str) -> Fact:
    """The word in the model's own name that says what it was tuned for."""
    words = model_id.rpartition("/")[2].lower().replace(".", "-").replace("_", "-").split("-")
    found = [word for word in _VARIANTS if word in words]
    return Fact(value=", ".join(found), source="its name") if found else UNKNOWN


def _merged(first: Card, second: Card) -> Card:
    """The first card's facts; the second's where the first is silent."""
    names = [f.name for f in fields(Card)]
    return Card(**{n: getattr(first, n) if getattr(first, n).value else getattr(second, n) for n in names})
