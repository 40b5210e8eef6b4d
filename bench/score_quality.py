"""How well do other models' figures tell what a format costs a model? Each left out and told from the rest.

`python bench/score_quality.py` prints, per scale, the misses with the format left out and with the whole
model left out: the factor between told and measured loss in the middle and in 80 of 100 cases, and how often
the measured one lies inside what is told. The table in docs/reference/quality.md is its output.
"""

from __future__ import annotations

import math
from statistics import median

from plimsoll.catalog import quality as catalog
from plimsoll.core.quality import NATS, Subject, bits_of, loss_in, loss_of, spelt
from plimsoll.domain.quality import QualityMeasurement, QualityMetric


def main() -> None:
    told = catalog.load_bits()
    for metric in NATS:
        rows = [r for r in catalog.load() if r.metric == metric and not r.kv_format_k]
        rows = [r for r in rows if (bits_of(r.reference_format, told) or 16) >= 6]
        for left_out in ("format", "model"):
            score(rows, metric, left_out)


def score(rows: list[QualityMeasurement], metric: QualityMetric, left_out: str) -> None:
    """Print one line of the table."""
    misses, inside, told = [], 0, catalog.load_bits()
    cells = {(r.model, spelt(r.weight_format)): r for r in rows}
    for (model, name), row in cells.items():
        own = [r for r in rows if r.model == model and spelt(r.weight_format) == name]
        rest = [r for r in rows if r not in own and (left_out == "format" or r.model != model)]
        measured = median(loss_in(r) for r in own)
        subject = Subject(model=model, parameters_count=row.parameters_count, kind=row.kind)
        found = loss_of(rest, subject, name, told, metric)
        if measured and found.value and found.high is not None:
            misses.append(abs(math.log(found.value / measured)))
            inside += found.low <= measured <= found.high
    misses.sort()
    middle, most = math.exp(median(misses)), math.exp(misses[int(0.8 * len(misses))])
    share = 100 * inside / len(misses)
    print(f"{metric:14} {left_out:6} {len(misses):4} x {middle:.2f} x {most:.2f} {share:.0f} % inside")


if __name__ == "__main__":
    main()
