"""Score `train-plan` on logged training runs.

python bench/score_training.py FILE.jsonl [--rows]

Prints per framework and method how far the predicted peak is from the measured one, whether trainable
parameters and adapter files are equal, and every "fits" for a logged out-of-memory. The shipped coefficients
were learnt on the development rows; an independent file of the same schema scores them. Rows that say too
little, or name a model that the catalog lacks, are counted with their reason.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from memory_rows import NotExpressed, Row
from memory_rows import _machine as machine_of
from training_rows import Run, express, framework_of, measured_bytes

from plimsoll.catalog import training as catalog
from plimsoll.core.training import allocated_bytes, memory
from plimsoll.core.training_disk import adapter_file_bytes
from plimsoll.core.training_fit import judge
from plimsoll.domain.training import TrainingCoefficients
from plimsoll.units import GIB

_MEDIAN_BAR = 12.0


def predicted(run: Run, learnt: TrainingCoefficients) -> tuple[int, int, int]:
    """Peak bytes (value, low, high) as the row's tool sees them."""
    setup = run.setup
    if not run.is_packed:
        setup = replace(setup, longest_tokens=max(1, round(setup.sequence_tokens * learnt.filled_share)))
    found = memory(run.model, setup, run.attachment, "gpu0", learnt)
    if run.is_seen_by_allocator:
        alive = allocated_bytes(found)
        share, low, high, _ = learnt.fragments["allocator"]
        return round(alive * (1 + share)), round(alive * (1 + low)), round(alive * (1 + high))
    sums = [sum(getattr(x, n) for x in found.lines) for n in ("size_bytes", "low_bytes", "high_bytes")]
    return sums[0], sums[1], sums[2]


def fits(run: Run, row: Row, learnt: TrainingCoefficients) -> str:
    """The verdict on the row's own cards. Raises NotExpressed where they are not told."""
    machine, is_known = machine_of(row)
    if not is_known:
        size = re.search(r"(\d+) ?G", row.get("gpu") or "")
        if not size:
            raise NotExpressed("the card is not told")
        told = int(size[1]) * GIB
        machine = replace(machine, devices=tuple(replace(d, memory_bytes=told) for d in machine.devices))
    setup = replace(run.setup, devices_count=len(machine.devices))
    found = memory(run.model, setup, run.attachment, machine.devices[0].id, learnt)
    lines = [replace(x, device=d.id) for d in machine.devices for x in found.lines]
    return judge(machine, [d.id for d in machine.devices], lines).verdict


def score(rows: list[Row]) -> tuple[list[dict[str, Any]], Counter[str]]:
    """One record per scored row; the reasons of the others."""
    learnt, records, reasons = catalog.load(), [], Counter[str]()
    for row in rows:
        try:
            framework = framework_of(row)
        except NotExpressed:
            continue
        if row["score_as"] == "context":
            continue
        try:
            records.append(_record(row, framework, learnt))
        except NotExpressed as error:
            reasons[f"{row['component']}: {error}"] += 1
    return records, reasons


def _record(row: Row, framework: str, learnt: TrainingCoefficients) -> dict[str, Any]:
    run = express(row)
    record: dict[str, Any] = {
        "framework": framework,
        "method": run.method,
        "case": row["case"],
        "component": row["component"],
    }
    if row["component"] == "total":
        value, low, high = predicted(run, learnt)
        was = measured_bytes(row)
        return {
            **record,
            "said": value,
            "was": was,
            "miss": 100 * abs(value / was - 1),
            "inside": low <= was <= high,
        }
    if "adalora" in row["case"]:
        raise NotExpressed("AdaLoRA starts at a rank that the row does not tell")
    if row["component"] == "params":
        return {**record, "said": run.attachment.trained_values_count, "was": int(row["value"])}
    if row["component"] == "file_size":
        return {**record, "said": adapter_file_bytes(run.attachment, run.setup), "was": int(row["value"])}
    if row["component"] == "fits":
        return {**record, "said": fits(run, row, learnt) != "does_not_fit", "was": bool(row["value"])}
    raise NotExpressed(f"component {row['component']} is not planned for")


def _show(records: list[dict[str, Any]], reasons: Counter[str], *, rows: bool) -> bool:
    totals = [r for r in records if r["component"] == "total"]
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for r in totals:
        groups[r["framework"], r["method"]].append(r)
        groups[r["framework"], "all"].append(r)
        groups["all", "all"].append(r)
    print(
        "| framework | method | n | median % | mean % | worst % | inside the interval |"
        "\n|---|---|---|---|---|---|---|"
    )
    for (framework, method), found in sorted(groups.items()):
        misses = [r["miss"] for r in found]
        inside = sum(r["inside"] for r in found)
        print(
            f"| {framework} | {method} | {len(found)} | {statistics.median(misses):.1f} "
            f"| {statistics.mean(misses):.1f} | {max(misses):.1f} | {inside} |"
        )
    for component in ("params", "file_size"):
        found = [r for r in records if r["component"] == component]
        if found:
            print(f"{component}: {sum(r['said'] == r['was'] for r in found)} of {len(found)} equal")
    labels = [r for r in records if r["component"] == "fits"]
    false = [r["case"] for r in labels if r["said"] and not r["was"]]
    print(f'fits: {len(labels)} labels, false "fits": {len(false)} {false or ""}')
    for reason, count in reasons.most_common():
        print(f"not expressed: {count} x {reason}")
    if rows:
        for r in sorted(totals, key=lambda r: -r["miss"]):
            print(
                f"{r['framework']:18} {r['case']:58} {r['method']:12} said {r['said'] / GIB:7.2f} "
                f"was {r['was'] / GIB:7.2f} GiB  {r['miss']:5.1f} %"
            )
    median = statistics.median(r["miss"] for r in totals)
    return median <= _MEDIAN_BAR and not false


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file")
    parser.add_argument("--rows", action="store_true", help="every row, worst first")
    typed = parser.parse_args()
    records, reasons = score([json.loads(line) for line in Path(typed.file).read_text().splitlines()])
    is_good = _show(records, reasons, rows=typed.rows)
    print(f'bar: median <= {_MEDIAN_BAR:g} % and no false "fits": {"reached" if is_good else "missed"}')


if __name__ == "__main__":
    main()
