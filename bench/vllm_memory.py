"""vLLM's memory against logged rows: `python bench/vllm_memory.py ROWS.jsonl [--verbose]`.

The same predictions as score_memory.py, with mean errors (the bars are means), the activation peak in
GiB, and one quantity more: `pool`, the whole chain from the card's memory to "Available KV cache memory"
(claimed share - weights - activations - graphs - outside PyTorch) and whether our interval held it.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from memory_predict import predict
from memory_rows import NotExpressed, Row, express

from plimsoll.runtimes.vllm import memory
from plimsoll.units import GIB

_COMPONENTS = (
    "weights", "kv", "kv_tokens", "max_concurrency", "kv_needed", "block_size", "max_len_est", "activation",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    cases: dict[str, list[Row]] = {}
    for line in arguments.rows.read_text().splitlines():
        row = json.loads(line)
        if row["runtime"] == "vLLM" and row["score_as"] != "context":
            cases.setdefault(row["case"], []).append(row)
    errors: dict[str, list[tuple[float, str]]] = {name: [] for name in (*_COMPONENTS, "pool")}
    skipped, held = 0, 0
    for case, rows in cases.items():
        for row in rows:
            for name in {row["component"], "pool" if row["component"] == "kv" else row["component"]}:
                if name not in errors:
                    continue
                try:
                    found, inside = _judged(name, row, rows)
                except NotExpressed:
                    skipped += 1
                    continue
                held += inside
                errors[name].append((found, case))
                if arguments.verbose:
                    print(f"{case[:44]:44} {name:16} {found:+9.3f}")
    _report(errors, skipped, held)


def _judged(name: str, row: Row, rows: list[Row]) -> tuple[float, bool]:
    """(error in percent, or GiB for the activation peak; whether a pool's interval held it)."""
    seen = row["value"] if row["value_bytes"] is None else row["value_bytes"]
    if name != "pool":
        found = predict(row, rows)
        return ((found - seen) / GIB if name == "activation" else 100 * (found / seen - 1)), False
    expressed = express({**row, "component": "weights"})
    if (
        not expressed.is_whole_card
        or seen <= 0
        or "gpu_memory_utilization" not in expressed.deployment.settings
    ):
        raise NotExpressed("the card or the claimed share is not told")
    pool: Any = next(e for e in memory.estimates(expressed.deployment) if e.quantity == "kv_pool_bytes")
    return 100 * (pool.value / seen - 1), pool.low <= seen <= pool.high


def _report(errors: dict[str, list[tuple[float, str]]], skipped: int, held: int) -> None:
    for name, values in errors.items():
        if not values:
            continue
        sizes = [abs(e) for e, _ in values]
        unit = "GiB" if name == "activation" else "%"
        worst = ", ".join(f"{e:+.2f} {c[:28]}" for e, c in sorted(values, key=lambda v: -abs(v[0]))[:3])
        median, mean = statistics.median(sizes), statistics.fmean(sizes)
        print(
            f"{name:16} n {len(sizes):3}  median {median:8.3f} {unit:3}  mean {mean:8.3f} {unit:3}  {worst}"
        )
    print(f"pools inside our interval: {held} of {len(errors['pool'])}; rows not expressed: {skipped}")


if __name__ == "__main__":
    main()
