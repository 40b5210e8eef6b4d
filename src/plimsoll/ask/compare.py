"""How do these models differ, which fits, and what carries over from the first to the others?"""

from __future__ import annotations

from dataclasses import dataclass, fields

from plimsoll import __version__
from plimsoll.ask import models
from plimsoll.ask.evidence import Evidence, gather
from plimsoll.ask.model import ModelQuestion, describe
from plimsoll.core import compare as core
from plimsoll.domain.comparison import Comparison, FitCell
from plimsoll.domain.explanation import Explanation
from plimsoll.domain.model import Model
from plimsoll.domain.tokenizer import Vocabulary
from plimsoll.errors import BadSetting, PlimsollError


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareQuestion:
    """What was asked: the first model is the one in use."""

    models: tuple[str, ...]
    on: str = ""
    runtime: str = ""
    weights: str = ""
    context_tokens: int | None = None
    offline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Found:
    """Everything known about one of the models."""

    model: Model
    evidence: Evidence
    told: Explanation
    vocabulary: Vocabulary | None


def compare(question: CompareQuestion) -> Comparison:
    """Answer a CompareQuestion; what nobody says is unknown, never a guess."""
    if len(question.models) < 2:
        raise BadSetting("one model cannot be compared", hint="plimsoll compare A B")
    found = [_find(name, question) for name in question.models]
    prints = [
        core.print_of(f.model, f.vocabulary, f.evidence.config, f.evidence.vocabulary.source) for f in found
    ]
    first = found[0]
    continuity = tuple(
        core.continuity(
            first.model, f.model, (prints[0], prints[i]), (first.told.chat, f.told.chat),
            (_template(first), _template(f)),
        )
        for i, f in enumerate(found)
        if i
    )  # fmt: skip
    machine, fits = _fits(question, found)
    return Comparison(
        question="compare", asked=_asked(question), models=tuple(f.model.id for f in found),
        rows=core.rows([f.model for f in found], [f.told for f in found]), continuity=continuity,
        tokenizers=tuple(prints), machine=machine, fits=fits,
        notes=tuple(dict.fromkeys(f"{f.model.id}: {n}" for f in found for n in f.told.notes)),
        sources=tuple(dict.fromkeys(s for f in found for s in f.told.sources)),
        versions={"plimsoll": __version__},
    )  # fmt: skip


def _asked(question: CompareQuestion) -> dict[str, object]:
    values = {f.name: getattr(question, f.name) for f in fields(question)}
    return {name: value for name, value in values.items() if value}


def _find(name: str, question: CompareQuestion) -> _Found:
    model = models.load(name, offline=question.offline)
    evidence = gather(name, model, offline=question.offline)
    told = describe(model, evidence, ModelQuestion(model=name, offline=question.offline))
    return _Found(model=model, evidence=evidence, told=told, vocabulary=_vocabulary(name, evidence))


def _vocabulary(name: str, evidence: Evidence) -> Vocabulary | None:
    """The tokenizer itself, read from local files where there are any; never fetched."""
    if not evidence.vocabulary.source:
        return None
    from plimsoll.ask import tokenizer_files

    try:
        return tokenizer_files.load(name, offline=True).vocabulary
    except PlimsollError:
        return None


def _template(found: _Found) -> str:
    return found.vocabulary.template if found.vocabulary else ""


def _fits(question: CompareQuestion, found: list[_Found]) -> tuple[str, tuple[FitCell, ...]]:
    """Each model alone on the machine."""
    if not question.on:
        return "", ()
    from plimsoll.ask.fit import FitQuestion, fit

    cells, machine = [], ""
    for name, each in zip(question.models, found, strict=True):
        asked = FitQuestion(
            models=(name,), on=question.on, runtime=question.runtime, weights=question.weights,
            context_tokens=question.context_tokens, offline=question.offline,
        )  # fmt: skip
        answer = fit(asked)
        facts, machine = answer.model[0], answer.machine
        cells.append(
            FitCell(
                model=each.model.id, verdict=answer.verdict, reason=answer.reason, runtime=facts.runtime,
                weight_format=facts.weight_format,
                context_tokens=answer.deployments[0].workload.context_tokens,
                headroom_bytes=answer.headroom_bytes, max_context_tokens=answer.max_context_tokens,
                max_parallel_sequences=answer.max_parallel_sequences,
            )
        )  # fmt: skip
    return machine, tuple(cells)
