"""Learn from logged training runs what no source tells, and write it to the catalog.

python bench/calibrate_training.py MEMORY.jsonl [--write]

Learnt, each as a median with the bounds that hold 80 % of the runs: how much PyTorch's allocator and
libraries
hold besides what lives (on one card; on several), and the share of a card's arithmetic that training reaches
(catalog/measurements/training.csv). Everything else is computed. Errors are told as they come out and with
the run's own case left out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from memory_rows import NotExpressed
from training_rows import Run, express, framework_of, measured_bytes
from training_time_rows import utilisations

from plimsoll.catalog import training as catalog
from plimsoll.core.training import allocated_bytes, memory
from plimsoll.domain.training import TrainingCoefficients
from plimsoll.units import MIB

CONTEXT = (550 * MIB, 300 * MIB, 1100 * MIB)  # as for generate(): bare contexts that logs show
COVERAGE = 0.8
_NOTHING = TrainingCoefficients(
    memory_runs_count=0,
    memory_digest="",
    time_runs_count=0,
    filled_share=1.0,
    coverage=COVERAGE,
    context_bytes=(0, 0, 0),
    fragments=dict.fromkeys(("allocator", "one card", "several cards"), (0.0, 0.0, 0.0, 0)),
    utilisation={},
)


def read(path: str) -> list[tuple[Run, int]]:
    """Every run of the file that can be expressed, with its measured bytes."""
    found = []
    for line in Path(path).read_text().splitlines():
        row = json.loads(line)
        try:
            framework_of(row)
            if row["component"] == "total" and row["score_as"] != "context":
                found.append((express(row), measured_bytes(row)))
        except NotExpressed:
            continue
    return found


_ALIVE: dict[tuple[int, float], int] = {}


def alive(run: Run, filled_share: float) -> int:
    """What lives at the run's peak, where unpacked batches fill this share of the longest sequence."""
    key = (id(run), 1.0 if run.is_packed else filled_share)
    if key not in _ALIVE:
        _ALIVE[key] = _alive(run, filled_share)
    return _ALIVE[key]


def _alive(run: Run, filled_share: float) -> int:
    setup = run.setup
    if not run.is_packed:
        setup = replace(setup, longest_tokens=max(1, round(setup.sequence_tokens * filled_share)))
    return allocated_bytes(memory(run.model, setup, run.attachment, "gpu0", _NOTHING))


def besides(run: Run, measured: int, filled_share: float) -> float:
    """The share that was measured beyond what lives and the context."""
    context = 0 if run.is_seen_by_allocator else CONTEXT[0]
    return (measured - context) / alive(run, filled_share) - 1


def group_of(run: Run) -> str:
    """Told by PyTorch's allocator itself, or of the whole card: one, or several."""
    if run.is_seen_by_allocator:
        return "allocator"
    return "several cards" if run.setup.devices_count > 1 else "one card"


def learn(runs: Sequence[tuple[Run, int]]) -> tuple[float, dict[str, tuple[float, float, float, int]]]:
    """What is held besides, for the share that unpacked batches fill with the smallest misses: of half the
    runs and of three quarters of them together, for half alone are too much alike."""

    def worth(share: float) -> float:
        misses = sorted(_misses(runs, share, _fragments(runs, share)))
        return misses[len(misses) // 2] + misses[3 * len(misses) // 4]

    filled = min((round(0.05 * n, 2) for n in range(2, 21)), key=worth)
    return filled, _fragments(runs, filled)


def _fragments(runs: Sequence[tuple[Run, int]], filled: float) -> dict[str, tuple[float, float, float, int]]:
    groups: dict[str, list[float]] = defaultdict(list)
    for run, measured in runs:
        groups[group_of(run)].append(besides(run, measured, filled))
    return {name: _spread(values) for name, values in groups.items()}


def _spread(values: Sequence[float]) -> tuple[float, float, float, int]:
    ordered = sorted(values)
    outside = (1 - COVERAGE) / 2
    at = [ordered[min(len(ordered) - 1, round(q * (len(ordered) - 1)))] for q in (outside, 1 - outside)]
    return round(statistics.median(ordered), 4), round(at[0], 4), round(at[1], 4), len(ordered)


def _misses(
    runs: Sequence[tuple[Run, int]], filled: float, fragments: dict[str, tuple[float, float, float, int]]
) -> list[float]:
    return [abs(predicted(run, filled, fragments) / measured - 1) for run, measured in runs]


def predicted(run: Run, filled: float, fragments: dict[str, tuple[float, float, float, int]]) -> float:
    """What is said of a run."""
    context = 0 if run.is_seen_by_allocator else CONTEXT[0]
    return alive(run, filled) * (1 + fragments[group_of(run)][0]) + context


def _left_out(
    runs: Sequence[tuple[Run, int]], run: Run, measured: int, others: Sequence[tuple[Run, int]]
) -> float:
    """The miss for a run by what the others tell."""
    share, learnt = learn(others)
    group = group_of(run)
    if group not in learnt:
        learnt = {**learnt, group: next(iter(learnt.values()))}
    return abs(predicted(run, share, learnt) / measured - 1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file")
    parser.add_argument("--write", action="store_true", help="write the catalog's file")
    typed = parser.parse_args()
    runs = read(typed.file)
    filled, fragments = learn(runs)
    misses = _misses(runs, filled, fragments)
    left_out = [
        _left_out(runs, run, measured, [r for r in runs if r[0].case != run.case]) for run, measured in runs
    ]
    other_models = [
        _left_out(runs, run, measured, [r for r in runs if r[0].model.id != run.model.id])
        for run, measured in runs
    ]
    print(f"{len(runs)} runs; filled share of unpacked batches {filled}; besides: {fragments}")
    print(
        f"median miss {100 * statistics.median(misses):.1f} %, "
        f"case left out {100 * statistics.median(left_out):.1f} %, "
        f"all runs of the model left out {100 * statistics.median(other_models):.1f} %"
    )
    shares, time_count, time_misses = utilisations()
    print(f"{time_count} throughputs; share of the card's operations per second: {shares}")
    print(f"median miss of time, source left out: {time_misses}")
    found = TrainingCoefficients(
        memory_runs_count=len(runs),
        memory_digest=hashlib.sha256(Path(typed.file).read_bytes()).hexdigest()[:12],
        time_runs_count=time_count,
        filled_share=filled,
        coverage=COVERAGE,
        context_bytes=CONTEXT,
        fragments=fragments,
        utilisation=shares,
    )
    if typed.write:
        Path(catalog.PATH).write_text(catalog.written(found))
        print(f"wrote {catalog.PATH}")


if __name__ == "__main__":
    main()
