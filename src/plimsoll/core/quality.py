"""What a weight or cache format costs a model: measured for it, told by its neighbours, or unknown."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import median

from plimsoll.domain.quality import METRICS, ModelKind, QualityLoss, QualityMeasurement, QualityMetric
from plimsoll.errors import BadSetting
from plimsoll.formulas.formats import GGUF, ROW_EXTRA_BYTES
from plimsoll.formulas.quant_specs import named_spec

# Nothing is lost by storing a model's own values in these, within what anybody measured (f16 for bf16:
# 0.000025 nats, llama-cpp-perplexity).
FULL = frozenset({"", "auto", "f32", "fp32", "float32", "bf16", "bfloat16", "f16", "fp16", "float16"})
NATS: tuple[QualityMetric, ...] = ("mean_kld_nats", "ppl_ratio")
# Models within this factor of parameters count as of similar size, where at least so many of them are known.
_SIMILAR = 4.0
_ENOUGH_MODELS = 3
# A model's own formats that scale what others lose: within this factor of bits per weight, so many.
_NEAR, _NEAR_COUNT = 1.4, 4
_SCALED = re.compile(r"(exl[23])[-_](\d+(?:\.\d+)?)(?:bpw)?((?:[-_]h\d)?)")
_SAME = {
    "fp8_block": "fp8", "fp8_dynamic": "fp8_channel", "int8": "w8a8", "nf4": "bnb_nf4", "q8": "q8_0",
    "q4": "q4_0", "q5": "q5_0", "q6": "q6_k", "fp8_e4m3": "fp8",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The model that is asked about. `published_format` is the one its own weights come in."""

    model: str
    parameters_count: int
    kind: ModelKind
    published_format: str = "bf16"


@lru_cache(maxsize=1024)
def spelt(name: str) -> str:
    """A format as measurements spell it: 'Q4-K-M' -> 'q4_k_m', 'exl3-4bpw' -> 'exl3-4.0bpw'."""
    key = name.strip().lower()
    if match := _SCALED.fullmatch(key):
        return f"{match[1]}-{float(match[2])}bpw{match[3].replace('_', '-')}"
    if key.startswith("mlx"):
        return key.replace("_", "-")
    key = key.replace("-", "_")
    return _SAME.get(key, key)


def bits_of(weight_format: str, told: Mapping[str, float]) -> float | None:
    """Bits per weight of the matrices that a format quantises, embeddings and head aside.

    `told` for mixtures. Else GGUF: bytes per block x 8 / values (plus the rows' own scales over 4,096
    values); the others: bits + (16 bits of scale, and the zero point) / group. None for an unknown name.
    """
    name = spelt(weight_format)
    return told[name] if name in told else _bits_of(name)


@lru_cache(maxsize=1024)
def _bits_of(name: str) -> float | None:
    if name in GGUF:
        values, size = GGUF[name]
        return 8.0 * size / values + 8.0 * ROW_EXTRA_BYTES.get(name, 0) / 4096
    try:
        spec = named_spec(name)
    except BadSetting:
        return None
    if not spec.group_size:
        return float(spec.bits)
    if spec.method == "nvfp4" or spec.details.get("mode"):
        return spec.bits + 8.0 / spec.group_size
    zero_points = 16.0 if spec.method == "mlx" else spec.bits if spec.has_zero_points else 0.0
    return spec.bits + (16.0 + zero_points) / spec.group_size


def loss_of(
    rows: Iterable[QualityMeasurement], subject: Subject, weight_format: str, told: Mapping[str, float],
    metric: QualityMetric | None = None,
) -> QualityLoss:  # fmt: skip
    """What `weight_format` costs the subject, beside the weights as published, with an unquantised cache.

    In this order: 0 where nothing changes; measured on this model; told by other models in this format, those
    of similar size where three are known; unknown. `metric` fixes the scale; without one it is nats
    (divergence or perplexity, measured on this model before told by others) or else another scale.

    What was not measured on this model is never better than what was measured on it with more bits:
    low >= max of loss(f) over the formats f measured with more bits per weight. A model that was published in
    few bits is only compared with others that were: its loss counts from what it was trained to be.
    """
    name = spelt(weight_format)
    if name in FULL or name == spelt(subject.published_format):
        return QualityLoss(
            weight_format=name or spelt(subject.published_format), metric=metric or METRICS[0],
            basis="reference", value=0.0, low=0.0, high=0.0, reason="the weights as they were published",
        )  # fmt: skip
    if name == "mxfp4_moe" and spelt(subject.published_format) == "mxfp4":
        return _experts_as_published(rows, subject, told, metric)
    usable = [r for r in rows if not r.kv_format_k and _is_comparable(r, subject, told)]
    groups = ((metric,),) if metric else (NATS, METRICS)
    for scales in groups:
        for find in (_measured, _neighbours):
            for scale in scales:
                on_scale = [r for r in usable if r.metric == scale]
                if found := find(on_scale, subject, name, told):
                    return found
    return _unknown(usable, subject, name, told, groups[-1])


def _experts_as_published(
    rows: Iterable[QualityMeasurement], subject: Subject, told: Mapping[str, float],
    metric: QualityMetric | None,
) -> QualityLoss:  # fmt: skip
    """llama.cpp's MXFP4_MOE of a model published in MXFP4: the experts as they were, the rest in Q8_0.

    Told as what Q8_0 costs whole models that were published in 16 bits, which is no less.
    """
    whole = replace(subject, model="", published_format="bf16")
    rest = loss_of(rows, whole, "q8_0", told, metric)
    reason = f"the experts as they were published, the rest as q8_0: {rest.reason}"
    return replace(rest, weight_format="mxfp4_moe", low=0.0, reason=reason)


def cache_loss_of(
    rows: Iterable[QualityMeasurement], subject: Subject, kv_format_k: str, kv_format_v: str,
    told: Mapping[str, float], metric: QualityMetric | None = None,
) -> QualityLoss:  # fmt: skip
    """What a quantised KV cache costs, beside the same weights with a 16-bit cache.

    It is told beside the weights' loss and not added to it: divergences do not add up, and nobody has
    measured enough pairs to say by how much they miss.
    """
    k, v = spelt(kv_format_k), spelt(kv_format_v or kv_format_k)
    name = f"{k}/{v}" if k != v else k
    if k in FULL and v in FULL:
        return QualityLoss(
            weight_format=name or "f16", metric=metric or METRICS[0], basis="reference", value=0.0, low=0.0,
            high=0.0, reason="the cache is not quantised",
        )  # fmt: skip
    usable = [r for r in rows if r.kv_format_k and (spelt(r.kv_format_k), spelt(r.kv_format_v)) == (k, v)]
    for own in (True, False):
        for scale in (metric,) if metric else METRICS:
            fit = [r for r in usable if r.metric == scale and (r.model == subject.model) == own]
            if fit:
                return _summed(fit if own else _similar(fit, subject), name, scale, own)
    return _unknown_cache(rows, name, (bits_of(k, told), bits_of(v, told)), told, metric or METRICS[0])


def _unknown_cache(
    rows: Iterable[QualityMeasurement], name: str, bits: tuple[float | None, float | None],
    told: Mapping[str, float], metric: QualityMetric,
) -> QualityLoss:  # fmt: skip
    """Bounded by the most that a cache with at least as many bits in K and in V loses, in the middle."""
    found: dict[str, list[QualityMeasurement]] = {}
    for r in rows:
        others = (bits_of(r.kv_format_k, told), bits_of(r.kv_format_v, told))
        pairs = zip(others, bits, strict=True)
        if r.kv_format_k and r.metric == metric and all(a and b and a >= b for a, b in pairs):
            found.setdefault(f"{spelt(r.kv_format_k)}/{spelt(r.kv_format_v)}", []).append(r)
    bounds = [(median(_by_model(own).values()), other) for other, own in found.items()]
    low, which = max(bounds, default=(0.0, ""))
    return QualityLoss(
        weight_format=name, metric=metric, basis="unknown", value=None, low=low, high=None,
        reason="nobody measured it" + (f"; not below {which}, with more bits" if which else ""),
    )  # fmt: skip


def loss_in(row: QualityMeasurement) -> float:
    """A row's value as a loss, 0 at the reference, on the scale of QualityLoss.

    Divergence: itself. Perplexity: ln(ratio). Same top token, kept score: 100 - percent. What a source
    found better than its reference is its noise: 0.
    """
    if row.metric == "ppl_ratio":
        return max(0.0, math.log(row.value))
    if row.metric in ("same_top_percent", "score_percent"):
        return max(0.0, 100.0 - row.value)
    return max(0.0, row.value)


def _error_in(row: QualityMeasurement) -> float:
    return row.error / row.value if row.metric == "ppl_ratio" else row.error


def _is_comparable(row: QualityMeasurement, subject: Subject, told: Mapping[str, float]) -> bool:
    return _is_small(row.reference_format, told) == _is_small(subject.published_format, told)


def _is_small(weight_format: str, told: Mapping[str, float]) -> bool:
    """Whether a model published so has fewer than 6 bits per weight; 16-bit and FP8 ones count as full."""
    bits = None if spelt(weight_format) in FULL else bits_of(weight_format, told)
    return bits is not None and bits < 6


def _measured(
    rows: Sequence[QualityMeasurement], subject: Subject, name: str, told: Mapping[str, float]
) -> QualityLoss | None:
    own = [r for r in rows if r.model == subject.model and spelt(r.weight_format) == name]
    return _summed(own, name, own[0].metric, True) if own else None


def _neighbours(
    rows: Sequence[QualityMeasurement], subject: Subject, name: str, told: Mapping[str, float]
) -> QualityLoss | None:
    """Other models' losses in this format, scaled to this model where its own near formats were measured."""
    fit = [r for r in rows if r.model != subject.model and spelt(r.weight_format) == name]
    if not fit:
        return None
    own = _near([r for r in rows if r.model == subject.model], name, told, "this one loses")
    found = _scaled(rows, fit, name, own)
    if not found and not _alike(fit, subject):
        found = _scaled(rows, fit, name, _near_of_alike(rows, subject, name, told))
    found = found or _summed(_similar(fit, subject), name, fit[0].metric, False)
    floor, because = _floor(rows, subject, name, told)
    if found.value is None or found.high is None or floor <= found.low:
        return found
    return QualityLoss(
        weight_format=name, metric=found.metric, basis="neighbour", value=max(found.value, floor), low=floor,
        high=max(found.high, floor), models_count=found.models_count, measurements=found.measurements,
        reason=f"{found.reason}; not below {because}",
    )  # fmt: skip


def _scaled(
    rows: Sequence[QualityMeasurement], fit: Sequence[QualityMeasurement], name: str,
    near: Sequence[_Near],
) -> QualityLoss | None:  # fmt: skip
    """loss(f) = this model's loss in g x (another's loss in f / its loss in g), over the near formats g.

    The median over g of the median over models; from the lowest to the highest. With each measured format
    left out in turn, `loss_of` misses divergences by x1.13 in the middle and x1.52 in 80 of 100 cases; by
    x1.28 and x2.40 where the model has no figures at all (docs/reference/quality.md). Not for benchmark
    scores, whose noise is as large as the losses.
    """
    found: list[float] = []
    lows: list[float] = []
    highs: list[float] = []
    models: set[str] = set()
    others = _by_text(fit)
    used: list[_Near] = []
    for g in near if fit[0].metric in NATS else ():
        bases = _by_text(r for r in rows if spelt(r.weight_format) == g.name)
        ratios = _by_first({text: others[text] / bases[text] for text in others if bases.get(text)})
        if ratios and len(used) < _NEAR_COUNT:
            used.append(g)
            models |= set(ratios)
            found.append(g.value * median(ratios.values()))
            lows.append(g.low * min(ratios.values()))
            highs.append(g.high * max(ratios.values()))
    if not found:
        return None
    count = len(models)
    return QualityLoss(
        weight_format=name, metric=fit[0].metric, basis="neighbour", value=median(found), low=min(lows),
        high=max(highs), models_count=count, measurements=tuple(r for r in fit if r.model in models),
        reason=f"of {count} other model{'s' * (count > 1)}, scaled by what {near[0].of} beside "
        f"{'them' if count > 1 else 'it'} in {', '.join(g.name for g in used)}",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Near:
    """A format with nearly as many bits, what it loses (median over models), and from where to where."""

    name: str
    value: float
    low: float
    high: float
    of: str


def _near(rows: Sequence[QualityMeasurement], name: str, told: Mapping[str, float], of: str) -> list[_Near]:
    """The formats of these rows with nearly as many bits as `name`, nearest first, with their losses."""
    bits = bits_of(name, told)
    apart: dict[str, float] = {}
    for other in {spelt(r.weight_format) for r in rows} - {name}:
        others = bits_of(other, told)
        if bits and others:
            apart[other] = abs(math.log(others / bits))
    found = []
    for other in sorted(apart, key=lambda x: (apart[x], x)):
        losses = _by_model(r for r in rows if spelt(r.weight_format) == other).values()
        if apart[other] <= math.log(_NEAR) and median(losses) > 0:
            found.append(_Near(other, median(losses), min(losses), max(losses), of))
    return found


def _near_of_alike(
    rows: Sequence[QualityMeasurement], subject: Subject, name: str, told: Mapping[str, float]
) -> list[_Near]:
    """The same where this model was not measured: formats that three models like it were measured in.

    Where there are none: formats that more models were measured in than in `name`. So one model's figures
    tell how formats compare, and many models' how much they lose.
    """
    by_format: dict[str, list[QualityMeasurement]] = {}
    for r in rows:
        if r.model != subject.model:
            by_format.setdefault(spelt(r.weight_format), []).append(r)
    alike = _near(
        [r for fit in by_format.values() for r in _alike(fit, subject)], name, told, "models like this lose"
    )
    counts = {other: len({r.model for r in fit}) for other, fit in by_format.items()}
    most = [r for other, fit in by_format.items() if counts[other] > counts[name] for r in fit]
    return alike or _near(most, name, told, "more models lose")


def _by_text(rows: Iterable[QualityMeasurement]) -> dict[tuple[str, str, str], float]:
    """Losses by model, source and text: only those compare formats with nothing else changed."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for r in rows:
        found.setdefault((r.model, r.source.partition("#")[0], r.dataset), []).append(loss_in(r))
    return {text: median(losses) for text, losses in found.items()}


def _by_first(found: Mapping[tuple[str, str, str], float]) -> dict[str, float]:
    by_model: dict[str, list[float]] = {}
    for (model, _, _), value in found.items():
        by_model.setdefault(model, []).append(value)
    return {model: median(values) for model, values in by_model.items()}


def _by_model(rows: Iterable[QualityMeasurement]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for r in rows:
        found.setdefault(r.model, []).append(loss_in(r))
    return {model: median(losses) for model, losses in found.items()}


def _alike(rows: Sequence[QualityMeasurement], subject: Subject) -> list[QualityMeasurement]:
    """The rows of models of similar size and the same kind, where there are three of them; else none."""
    found = [r for r in rows if r.kind == subject.kind and _is_near_in_size(r, subject)]
    return found if len({r.model for r in found}) >= _ENOUGH_MODELS else []


def _similar(rows: list[QualityMeasurement], subject: Subject) -> list[QualityMeasurement]:
    """Of models alike, else of similar size where there are three of them, else all."""
    near = [r for r in rows if _is_near_in_size(r, subject)]
    return _alike(rows, subject) or (near if len({r.model for r in near}) >= _ENOUGH_MODELS else rows)


def _is_near_in_size(row: QualityMeasurement, subject: Subject) -> bool:
    sizes = (row.parameters_count, subject.parameters_count)
    return max(sizes) <= _SIMILAR * min(sizes)


def _summed(rows: list[QualityMeasurement], name: str, metric: QualityMetric, is_own: bool) -> QualityLoss:
    """The median over models of each model's median; from the lowest to the highest, with their errors."""
    by_model = _by_model(rows)
    value = median(by_model.values())
    low = min(max(0.0, loss_in(r) - _error_in(r)) for r in rows)
    high = max(loss_in(r) + _error_in(r) for r in rows)
    count = len(by_model)
    return QualityLoss(
        weight_format=name, metric=metric, basis="measured" if is_own else "neighbour",
        value=value, low=min(low, value), high=max(high, value), models_count=count, measurements=tuple(rows),
        reason="measured on this model" if is_own else f"of {count} other model{'s' * (count > 1)}",
    )  # fmt: skip


def _floor(
    rows: Sequence[QualityMeasurement], subject: Subject, name: str, told: Mapping[str, float]
) -> tuple[float, str]:
    """The most that a format with at least as many bits was measured to lose on this model, and which."""
    bits = bits_of(name, told)
    best, which = 0.0, ""
    if bits is None:
        return best, which
    for other in {spelt(r.weight_format) for r in rows if r.model == subject.model} - {name}:
        others = bits_of(other, told)
        if others is None or others < bits:
            continue
        measured = _measured(rows, subject, other, told)
        if measured and measured.value is not None and measured.value > best:
            best, which = measured.value, f"{other}, measured on this model with more bits"
    return best, which


def _unknown(
    rows: Sequence[QualityMeasurement], subject: Subject, name: str, told: Mapping[str, float],
    scales: Sequence[QualityMetric],
) -> QualityLoss:  # fmt: skip
    """Nobody measured the format: bounded from below by formats with more bits, here and on other models."""
    bits = bits_of(name, told)
    for scale in scales:
        on_scale = [r for r in rows if r.metric == scale]
        low, which = max(
            _floor(on_scale, subject, name, told), _floor_of_others(on_scale, subject, bits, told)
        )
        if which:
            return QualityLoss(
                weight_format=name, metric=scale, basis="unknown", value=None, low=low, high=None,
                reason=f"nobody measured it; not below {which}",
            )  # fmt: skip
    return QualityLoss(
        weight_format=name, metric=scales[0], basis="unknown", value=None, low=0.0, high=None,
        reason="nobody measured it, nor a format with more bits",
    )  # fmt: skip


def _floor_of_others(
    rows: Sequence[QualityMeasurement], subject: Subject, bits: float | None, told: Mapping[str, float]
) -> tuple[float, str]:
    """The most that other models tell of a format with at least as many bits, and which.

    Formats measured on three models where there are any: one odd figure would bound every other format.
    """
    best, which = 0.0, ""
    if bits is None:
        return best, which
    models: dict[str, set[str]] = {}
    for r in rows:
        if r.model != subject.model:
            models.setdefault(spelt(r.weight_format), set()).add(r.model)
    enough = {other for other, of in models.items() if len(of) >= _ENOUGH_MODELS}
    for other in enough or models:
        others = bits_of(other, told)
        if others is None or others < bits:
            continue
        found = _neighbours(rows, subject, other, told)
        if found and found.value is not None and found.value > best:
            best, which = found.value, f"{other} of other models, with more bits"
    return best, which
