"""Nouns of quality: what somebody measured of a quantised model, and what a format therefore costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from plimsoll.domain.origin import Source

ModelKind = Literal["dense", "moe"]
QualityMetric = Literal["mean_kld_nats", "ppl_ratio", "median_kld_nats", "same_top_percent", "score_percent"]
QualityBasis = Literal["reference", "measured", "neighbour", "unknown"]
METRICS: tuple[QualityMetric, ...] = get_args(QualityMetric)


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityMeasurement:
    """One published figure of a quantised model beside its reference. 0 and '' mean: not told.

    `model` is a catalog id, or the name its source gives where the catalog has no such model.
    `weight_format` and the cache formats are spelt as `plimsoll fit` takes them; a publisher's own mixture
    keeps its name ('ud-q4_k_xl'). `bits_per_weight` is that of the measured file, where told.
    `reference_format` is what it was compared with. `value` by metric: nats per token (mean or median
    Kullback-Leibler divergence); perplexity / the reference's; percent of tokens whose most likely token
    stayed; percent of the reference's `benchmark` score that was kept. `error` is the source's own ±, in
    the unit of `value`. `importance_matrix` is 'yes' or 'no'.
    """

    source: str
    model: str
    parameters_count: int
    kind: ModelKind
    runtime: str
    weight_format: str
    bits_per_weight: float
    kv_format_k: str
    kv_format_v: str
    importance_matrix: str
    reference_format: str
    metric: QualityMetric
    benchmark: str
    dataset: str
    value: float
    error: float
    published_on: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityLoss:
    """What one format costs one model, on the scale of `metric`: 0 is the reference, more is worse.

    `value` and its interval are nats per token for the divergences and for the logarithm of the perplexity
    ratio; percent lost for the others. Scales are never mixed. `basis` says who measured: 'reference' (the
    model as published), 'measured' (this model in this format), 'neighbour' (other models in this format;
    the interval is their spread), 'unknown' (nobody: `value` and `high` are None, `low` is what the measured
    formats with more bits lose, so that an unmeasured format is never taken for better than they are).
    """

    weight_format: str
    metric: QualityMetric
    basis: QualityBasis
    value: float | None
    low: float
    high: float | None
    models_count: int = 0
    measurements: tuple[QualityMeasurement, ...] = ()
    reason: str = ""

    def __post_init__(self) -> None:
        """Low <= value <= high, and only what was measured has a value."""
        if (self.value is None) != (self.basis == "unknown") or (self.high is None) != (self.value is None):
            raise ValueError(f"a loss that is {self.basis} has value {self.value} and high {self.high}")
        if self.value is not None and self.high is not None and not self.low <= self.value <= self.high:
            raise ValueError(f"{self.low} <= {self.value} <= {self.high} does not hold")

    @property
    def at_least(self) -> float:
        """What a ranking may count it as at best: the value, or what bounds an unknown one from below."""
        return self.low if self.value is None else self.value

    @property
    def at_most(self) -> float:
        """What it may cost at worst; infinity where nobody knows."""
        return float("inf") if self.high is None else self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatLoss:
    """One line of an answer: a format, its bits per weight (None: not known) and what it costs."""

    bits_per_weight: float | None
    loss: QualityLoss


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityAnswer:
    """The answer of `quality`. `cache` is what the KV cache's format costs besides, where it was asked."""

    question: str
    asked: Mapping[str, object]
    verdict: str
    model: str
    parameters_count: int
    kind: ModelKind
    published_format: str
    losses: tuple[FormatLoss, ...]
    cache: QualityLoss | None
    notes: tuple[str, ...]
    unknowns: tuple[str, ...]
    sources: tuple[Source, ...]
    versions: Mapping[str, str]

    @property
    def exit_code(self) -> int:
        """0 answered, 3 unknown."""
        return 3 if self.verdict == "unknown" else 0
