"""What weights and cache formats cost a model, as a plan compares them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from plimsoll.catalog import quality
from plimsoll.core.quality import Subject, cache_loss_of, loss_of
from plimsoll.domain.model import Model
from plimsoll.domain.quality import QualityLoss, QualityMetric

# Scales are never mixed: each format is told on the first of these on which anybody measured it.
SCALES: tuple[QualityMetric, ...] = ("mean_kld_nats", "ppl_ratio", "score_percent")


class Losses:
    """One model's losses, each looked up once; the rows behind them are left out, `sources` names theirs."""

    def __init__(self, model: Model, parameters_count: int) -> None:
        experts = any(layer.experts_count for layer in model.layers)
        self._subject = Subject(
            model=model.id, parameters_count=parameters_count, kind="moe" if experts else "dense",
            published_format=model.weight_format or "bf16",
        )  # fmt: skip
        self._found: dict[tuple[str, ...], QualityLoss] = {}
        self.sources: dict[str, None] = {}

    def of_weights(self, weight_format: str) -> QualityLoss:
        """0 for '' (as published); else measured, told by other models, or unknown."""
        key = ("weights", weight_format)
        if key not in self._found:
            rows, bits = quality.load(), quality.load_bits()
            self._found[key] = self._first(
                lambda scale: loss_of(rows, self._subject, weight_format, bits, scale)
            )
        return self._found[key]

    def of_cache(self, kv_format_k: str, kv_format_v: str) -> QualityLoss:
        """What the cache's format costs beside the weights'."""
        key = ("cache", kv_format_k, kv_format_v)
        if key not in self._found:
            rows, bits = quality.load(), quality.load_bits()
            self._found[key] = self._first(
                lambda scale: cache_loss_of(rows, self._subject, kv_format_k, kv_format_v, bits, scale)
            )
        return self._found[key]

    def _first(self, told: Callable[[QualityMetric], QualityLoss]) -> QualityLoss:
        """On the first scale that is known; where none is, what the first one says."""
        found = [told(SCALES[0])]
        for scale in SCALES[1:]:
            if found[-1].value is not None:
                break
            found.append(told(scale))
        return self._slim(found[-1] if found[-1].value is not None else found[0])

    def _slim(self, found: QualityLoss) -> QualityLoss:
        self.sources.update(dict.fromkeys(m.source for m in found.measurements))
        return replace(found, measurements=())
