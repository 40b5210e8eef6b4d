"""The share of a card's arithmetic that published training runs reached
(catalog/measurements/training.csv)."""

from __future__ import annotations

import statistics
from collections import defaultdict

from plimsoll.ask import machine, models
from plimsoll.catalog.training import measurements
from plimsoll.core.training_frameworks import FRAMEWORKS
from plimsoll.core.training_targets import attachment
from plimsoll.core.training_time import flops_per_token, group_of
from plimsoll.domain.training import TrainingMeasurement, TrainingSetup


def reached(row: TrainingMeasurement) -> tuple[str, float]:
    """The group and the share: tokens per second x operations per token / operations per second of all
    cards."""
    model = models.from_catalog(row.model)
    setup = TrainingSetup(
        method=row.method,
        framework=FRAMEWORKS["peft"],
        rank=row.rank,
        sequence_tokens=row.sequence_tokens,
        targets=tuple(t for t in row.targets.split(",") if t),
        batch=row.batch,
        is_checkpointed=row.is_checkpointed == "yes",
        devices_count=row.devices_count,
    )
    found = attachment(model, setup.method, setup.targets, setup.rank)
    rate = machine.resolve(row.device).devices[0].flops_per_s["bf16"]
    share = row.tokens_per_s * flops_per_token(model, setup, found) / (rate * row.devices_count)
    return group_of(model, setup), share


def utilisations() -> tuple[dict[str, tuple[float, float, float, int]], int, dict[str, float]]:
    """Per group (median, 10 %, 90 %, runs); how many runs; the median miss with a run's source left out."""
    groups: dict[str, list[tuple[str, float]]] = defaultdict(list)
    rows = measurements()
    for row in rows:
        group, share = reached(row)
        groups[group].append((row.source.split("/blob/")[0], share))
    found = {name: _spread([s for _, s in values]) for name, values in groups.items()}
    misses = {}
    for name, values in groups.items():
        errors = []
        for source, share in values:
            others = [s for o, s in values if o != source]
            if others:
                errors.append(abs(share / statistics.median(others) - 1))
        if errors:
            misses[name] = round(statistics.median(errors), 3)
    return found, len(rows), misses


def _spread(values: list[float]) -> tuple[float, float, float, int]:
    ordered = sorted(values)
    low, high = (ordered[round(q * (len(ordered) - 1))] for q in (0.1, 0.9))
    return round(statistics.median(ordered), 4), round(low, 4), round(high, 4), len(ordered)


if __name__ == "__main__":
    for measured in measurements():
        name, share = reached(measured)
        print(
            f"{share:6.1%}  {name:20} {measured.model:36} {measured.devices_count} x "
            f"{measured.device:14} {measured.method:6} {measured.framework}"
        )
    print(utilisations())
