"""What is in this model?"""

from __future__ import annotations

from dataclasses import dataclass, fields

from plimsoll import __version__
from plimsoll.ask import models
from plimsoll.ask.evidence import Evidence, gather
from plimsoll.catalog import sources as catalog_sources
from plimsoll.core import layer_map
from plimsoll.core import model as core
from plimsoll.domain.explanation import Explanation, KeyExplanation, Parameters
from plimsoll.domain.model import Model
from plimsoll.domain.origin import Source
from plimsoll.errors import CatalogError
from plimsoll.formulas.weights import active_parameters_count, input_embedding_count, parameters_count


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelQuestion:
    """What was asked: a name, hub id or path; `config` asks for every key of config.json, too."""

    model: str
    config: bool = False
    offline: bool = False


def explain(question: ModelQuestion) -> Explanation:
    """Answer a ModelQuestion; errors are typed (`plimsoll.errors`), what nobody says is in `unknowns`."""
    model = models.load(question.model, offline=question.offline)
    return describe(model, gather(question.model, model, offline=question.offline), question)


def describe(model: Model, evidence: Evidence, question: ModelQuestion) -> Explanation:
    """The answer from what was loaded already."""
    cells = layer_map.cells(model.layers)
    runs = layer_map.runs(cells)
    formats = core.formats(model)
    return Explanation(
        question="model", asked=_asked(question), id=model.id, revision=model.revision,
        architecture=model.architecture, hidden_dim=model.hidden_dim, layers=cells, layer_map=runs,
        layer_text=layer_map.text(runs), parameters=_parameters(model, evidence), shares=core.shares(model),
        weight_format=model.weight_format, size_bytes=sum(x.size_bytes for x in formats), formats=formats,
        context=core.context_window(model), cache=core.cache(model.layers, model.trained_context_tokens),
        vocabulary=evidence.vocabulary, chat=evidence.chat, card=evidence.card, files=evidence.files,
        keys=_keys(model, evidence) if question.config else (),
        config_from=_config_from(evidence), unread_keys=model.unread_keys, notes=_notes(model, evidence),
        unknowns=_unknowns(evidence, model), sources=_sources(model, evidence),
        versions={"plimsoll": __version__},
    )  # fmt: skip


def _asked(question: ModelQuestion) -> dict[str, object]:
    values = {f.name: getattr(question, f.name) for f in fields(question)}
    return {name: value for name, value in values.items() if value}


def _parameters(model: Model, evidence: Evidence) -> Parameters:
    record = evidence.record
    published = record.published if record else None
    active = active_parameters_count(model.tensors, model.layers)
    looked_up = input_embedding_count(model.tensors, has_tied_embeddings=model.has_tied_embeddings)
    stated = _words(record.stated_active) if record else ""
    return Parameters(
        total_count=parameters_count(model.tensors), active_with_embedding_count=active,
        active_without_embedding_count=active - looked_up,
        published_count=published.parameters_count if published else None,
        published_other=f"{published.other_count:,} of them {published.other_is}"
        if published and published.other_count else "",
        published_source=published.source if published else "",
        drafting_count=parameters_count(t for t in model.tensors if t.role == "mtp"),
        stated_total=_words(record.stated_total) if record else "",
        stated_active=stated,
        stated_active_is=core.stated_is(
            stated, without_embedding=active - looked_up, with_embedding=active
        ),
        stated_source=record.field_sources.get("stated", "") if record else "",
    )  # fmt: skip


def _words(stated: object) -> str:
    """The publisher's words; '22000000000' of a source that writes out the digits becomes '22B'."""
    text = str(stated)
    return f"{int(text) / 10**9:g}B" if text.isdecimal() else text


def _keys(model: Model, evidence: Evidence) -> tuple[KeyExplanation, ...]:
    from plimsoll.catalog import config_keys
    from plimsoll.core.config_lines import explain_config, explain_metadata

    if evidence.config is None:
        return explain_metadata(model, evidence.metadata, config_keys.find_metadata)
    return explain_config(model, evidence.config, config_keys.find)


def _config_from(evidence: Evidence) -> str:
    """Where the config was read; for the catalog also what kind of copy its record is."""
    record = evidence.record
    if record is not None and evidence.config_where == record.where:
        return f"{record.where} ({record.config_from})"
    return evidence.config_where


def _notes(model: Model, evidence: Evidence) -> tuple[str, ...]:
    notes = list(model.notes)
    if evidence.record is not None and evidence.config_where == evidence.record.where:
        notes += evidence.record.notes
        if evidence.record.unconfirmed_keys:
            notes.append(
                "config keys that neither a config.json nor the parameter count confirms: "
                + ", ".join(evidence.record.unconfirmed_keys)
            )
    return tuple(notes)


_UNKNOWN_NAMES = {
    "license": "licence", "languages": "languages", "released_on": "release date",
    "base_model": "what it was made from", "weights": "whether the weights are published",
    "training_data": "whether the training data is open",
    "training_code": "whether the training code is open", "recipe": "whether the recipe is open",
}  # fmt: skip


def _unknowns(evidence: Evidence, model: Model) -> tuple[str, ...]:
    found = [text for name, text in _UNKNOWN_NAMES.items() if not getattr(evidence.card, name).value]
    if not evidence.chat.family:
        found.append("chat format (no chat template was read)")
    if not evidence.vocabulary.kind:
        found.append("kind of tokenizer (no tokenizer file was read)")
    if not evidence.files:
        found.append("files (none were listed)")
    if core.context_window(model).native_tokens is None:
        found.append("context before its positions were stretched")
    return tuple(found)


def _sources(model: Model, evidence: Evidence) -> tuple[Source, ...]:
    """The model's sources, and those of the facts on its card and of its chat format."""
    told = [getattr(evidence.card, f.name).source for f in fields(evidence.card)]
    found = list(model.sources)
    for reference in dict.fromkeys([*told, evidence.chat.source]):
        try:
            found += catalog_sources.load_all([reference]) if reference else []
        except CatalogError:
            continue  # a path of a file, not a source of the catalog
    return tuple(dict.fromkeys(found))
