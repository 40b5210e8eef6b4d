"""Train tiny models for real, on the processor, and hold every byte against the plan.

python bench/training_run.py

Each case builds a model with Transformers and PEFT, takes two steps of AdamW and measures the second:
weights, adapter, gradients and moments as they lie in memory, what the graph keeps, and the most alive at any
moment.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.ghost.trained import CASES, Measured, measured, predicted

_EXACT = ("trained_values_count", "weights", "adapter", "gradients", "optimizer")


def main() -> None:
    equal, saved, peaks = 0, [], []
    print(
        "| case | weights, adapter, gradients, moments | kept by the graph, KiB | said | peak, KiB | said |"
    )
    print("|---|---|---|---|---|---|")
    for case in CASES:
        was, said = measured(case), predicted(case)
        same = all(getattr(was, name) == getattr(said, name) for name in _EXACT)
        equal += same
        saved.append(said.saved / was.saved - 1)
        peaks.append(said.peak / was.peak - 1)
        print(
            f"| {case.name} | {'equal' if same else 'DIFFER'} | {_pair(was, said, 'saved')} "
            f"| {_pair(was, said, 'peak')} |"
        )
    print(
        f"weights, adapter, gradients, moments, trained values: equal to the byte in {equal} of {len(CASES)}"
    )
    for name, misses in (("kept by the graph", saved), ("peak", peaks)):
        sizes = sorted(map(abs, misses))
        print(f"{name}: median miss {100 * statistics.median(sizes):.1f} %, worst {100 * sizes[-1]:.1f} %")


def _pair(was: Measured, said: Measured, name: str) -> str:
    a, b = getattr(was, name), getattr(said, name)
    return f"{a / 1024:,.0f} | {b / 1024:,.0f} ({100 * (b / a - 1):+.1f} %)"


if __name__ == "__main__":
    main()
