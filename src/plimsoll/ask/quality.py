"""What does a weight or cache format cost this model?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

from plimsoll import __version__
from plimsoll.ask import models
from plimsoll.catalog import quality as catalog
from plimsoll.catalog import sources as catalog_sources
from plimsoll.catalog.names import one_of
from plimsoll.core.quality import FULL, Subject, bits_of, cache_loss_of, loss_of, spelt
from plimsoll.domain.model import Model
from plimsoll.domain.quality import METRICS, FormatLoss, QualityAnswer, QualityLoss, QualityMeasurement
from plimsoll.errors import BadSetting
from plimsoll.formulas.formats import GGUF
from plimsoll.formulas.quant_specs import SPECS
from plimsoll.formulas.weights import parameters_count

# Formats that nobody measured but that a person may ask for: the files that runtimes write and read.
_KNOWN = ("mxfp4_moe", "q2_k", "nvfp4", "mxfp4", "fp8", "awq", "gptq", "mlx-4bit", "exl3-4.0bpw")
_CACHES = ("bf16", "f16", "f32", "fp8", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityQuestion:
    """A model, and the formats asked for: none for all that were measured; `kv` as 'q8_0' or 'q8_0/q4_0'."""

    model: str
    weights: tuple[str, ...] = ()
    kv: str = ""
    offline: bool = False


def quality(question: QualityQuestion) -> QualityAnswer:
    """Answer a QualityQuestion; errors are typed, what nobody measured is told as unknown."""
    rows, told = catalog.load(), catalog.load_bits()
    asked = [_checked(name, _names(rows)) for name in question.weights]
    k, v = _caches(question.kv, rows)
    model = models.load(question.model, offline=question.offline)
    subject = subject_from(model)
    names = asked or sorted({spelt(r.weight_format) for r in rows if not r.kv_format_k} - FULL)
    weights = [r for r in rows if not r.kv_format_k]
    every = [
        FormatLoss(bits_per_weight=bits_of(name, told), loss=loss)
        for name in names for loss in _losses(weights, subject, name, told)
    ]  # fmt: skip
    losses = _sorted(f for f in every if asked or f.loss.basis in ("measured", "neighbour"))
    cache = cache_loss_of(rows, subject, k, v, told) if question.kv else None
    return _answer(question, subject, losses, cache)


def subject_from(model: Model) -> Subject:
    """A loaded model as the subject of `loss_of`."""
    return Subject(
        model=model.id, parameters_count=parameters_count(model.tensors),
        kind="moe" if any(layer.experts_count for layer in model.layers) else "dense",
        published_format=model.weight_format,
    )  # fmt: skip


def _names(rows: Iterable[QualityMeasurement]) -> set[str]:
    """Every weight format with a figure, and those with none that runtimes know."""
    known = {*GGUF, *SPECS, *FULL, *catalog.load_bits(), *_KNOWN}
    return (known | {spelt(r.weight_format) for r in rows}) - {""}


def _checked(name: str, known: set[str]) -> str:
    """The format as measurements spell it; raises BadSetting with the nearest names."""
    key = spelt(name)
    if key in known or bits_of(key, {}) is not None:
        return key
    from difflib import get_close_matches

    near = get_close_matches(key, sorted(known), n=3, cutoff=0.6)
    hint = f"did you mean {one_of(near)}?" if near else "`plimsoll quality MODEL` lists the measured ones"
    raise BadSetting(f"there is no format {name!r}", hint=hint)


def _caches(kv: str, rows: Iterable[QualityMeasurement]) -> tuple[str, str]:
    """'q8_0/q4_0' as the formats of K and V."""
    if not kv:
        return "", ""
    known = {spelt(x) for r in rows for x in (r.kv_format_k, r.kv_format_v) if x} | {*_CACHES}
    k, _, v = kv.partition("/")
    return _checked(k, known), _checked(v or k, known)


def _losses(
    rows: Sequence[QualityMeasurement], subject: Subject, name: str, told: Mapping[str, float]
) -> Iterator[QualityLoss]:
    """The loss in nats where anybody measured it, and what was measured on this model on other scales."""
    first = loss_of(rows, subject, name, told)
    yield first
    for metric in METRICS if first.basis != "reference" else ():
        if metric != first.metric:
            other = loss_of(rows, subject, name, told, metric)
            if other.basis == "measured":
                yield other


def _sorted(found: Iterable[FormatLoss]) -> list[FormatLoss]:
    """Scale by scale, from most to fewest bits."""
    return sorted(
        found,
        key=lambda f: (METRICS.index(f.loss.metric), -(f.bits_per_weight or 0.0), f.loss.weight_format),
    )


def _answer(
    question: QualityQuestion, subject: Subject, losses: list[FormatLoss], cache: QualityLoss | None
) -> QualityAnswer:
    every = [f.loss for f in losses] + ([cache] if cache else [])
    unknown = [x for x in every if x.basis == "unknown"]
    references = {m.source: None for x in every for m in x.measurements}
    values = {f.name: getattr(question, f.name) for f in fields(question)}
    return QualityAnswer(
        question="quality", asked={name: value for name, value in values.items() if value},
        verdict="unknown" if unknown or not every else "answered", model=subject.model,
        parameters_count=subject.parameters_count, kind=subject.kind,
        published_format=subject.published_format, losses=tuple(losses), cache=cache,
        notes=_notes(every, cache), unknowns=tuple(f"{x.weight_format}: {x.reason}" for x in unknown),
        sources=catalog_sources.load_all(references), versions={"plimsoll": __version__},
    )  # fmt: skip


def _notes(losses: list[QualityLoss], cache: QualityLoss | None) -> tuple[str, ...]:
    notes = []
    if len({x.metric for x in losses if x.basis in ("measured", "neighbour")}) > 1:
        notes.append("figures of different scales are not comparable")
    if any(x.basis == "neighbour" for x in losses):
        notes.append("neighbour: told by other models, and not below what this one lost with more bits")
    if cache and len(losses) > 1:
        notes.append("the cache's loss comes besides the weights'; nobody has measured that they add up")
    return tuple(notes)
