"""Score Plimsoll's memory figures against a file of logged measurements.

    python bench/score_memory.py FILE.jsonl [--json] [--rows]

Prints per runtime and component: n, median, mean and p95 error in percent, the worst five rows with
their ids, and the rows it could not express, with the reason. For `fits` it counts false "fits"
(rows that ran out of memory and were promised to fit), the error that costs people most.

What is given to a prediction: the row's own model, format, card, context and flags; never its value.
Rows of one log that lie on the same device (`CPU_Mapped` and `CUDA_Host` are both host memory) are
scored as their sum. For llama.cpp the weights are scaled to the file size that the same log prints,
because a file's name does not fix its mixture; the rows `file_size` score the recipe itself.
For vLLM and SGLang, whose pool takes whatever is left, `kv` is the bytes of the number of tokens that
the same log prints, and `kv_tokens` / `max_concurrency` are what fits the pool that the same log
prints: that is what can be right or wrong about the cache's arithmetic. Rows marked `context` in
`score_as` are not scored.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from memory_predict import merged, predict
from memory_rows import NotExpressed, Row


def score(rows: list[Row]) -> list[dict[str, Any]]:
    """One record per runtime and component, with the rows behind it."""
    cases: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        cases[row["case"]].append(row)
    groups: dict[tuple[str, str], dict[str, list[Any]]] = defaultdict(lambda: {"scored": [], "refused": []})
    for row in rows:
        if row.get("score_as") == "context":
            continue
        group = groups[_runtime_name(row["runtime"]), row["component"]]
        try:
            row = merged(row, cases[row["case"]])
            value = predict(row, cases[row["case"]])
        except NotExpressed as reason:
            group["refused"].append((row["id"], str(reason)))
            continue
        group["scored"].append((row["id"], value, _measured(row)))
    return [_record(key, group) for key, group in sorted(groups.items())]


def _runtime_name(runtime: str) -> str:
    """Variants of one engine count together; ik_llama.cpp and the training programs stay apart."""
    for start in (
        "ik_llama.cpp",
        "llama.cpp",
        "vLLM",
        "SGLang",
        "Ollama",
        "MLX",
        "ExLlamaV3",
        "TensorRT-LLM",
    ):
        if runtime.startswith(start):
            return start
    return runtime


def _measured(row: Row) -> Any:
    if row.get("value_bytes") is not None:
        return row["value_bytes"]
    return row["value"]


def _record(key: tuple[str, str], group: dict[str, list[Any]]) -> dict[str, Any]:
    runtime, component = key
    record: dict[str, Any] = {"runtime": runtime, "component": component, "n": len(group["scored"]),
                              "not_expressed_count": len(group["refused"])}  # fmt: skip
    if component == "fits":
        false_fits = [i for i, said, was in group["scored"] if said and not was]
        false_refusals = [i for i, said, was in group["scored"] if not said and was]
        record |= {"false_fits_count": len(false_fits), "false_refusals_count": len(false_refusals),
                   "worst": [{"id": i, "predicted": True, "measured": False} for i in false_fits]
                   + [{"id": i, "predicted": False, "measured": True} for i in false_refusals]}  # fmt: skip
    errors = sorted(
        (
            (_error_percent(said, was), i, said, was)
            for i, said, was in group["scored"]
            if component != "fits"
        ),
        reverse=True, key=lambda e: e[0],
    )  # fmt: skip
    if errors:
        figures = [e[0] for e in errors]
        record |= {
            "median_error_percent": round(statistics.median(figures), 4),
            "mean_error_percent": round(statistics.fmean(figures), 4),
            "p95_error_percent": round(sorted(figures)[max(0, -(-95 * len(figures) // 100) - 1)], 4),
            "worst": [
                {"id": i, "error_percent": round(e, 2), "predicted": said, "measured": was}
                for e, i, said, was in errors[:5]
            ],
        }
    record["not_expressed"] = [{"id": i, "reason": reason} for i, reason in group["refused"]]
    return record


def _error_percent(said: float, was: float) -> float:
    """|predicted - measured| / |measured| in percent; a measured 0 is right only when 0 was said."""
    if not was:
        return 0.0 if not said else 100.0
    return abs(said - was) / abs(was) * 100


def _show(records: list[dict[str, Any]], *, rows: bool) -> None:
    heads = f"{'n':>4} {'median %':>9} {'mean %':>9} {'p95 %':>9}"
    print(f"{'runtime':<20} {'component':<16} {heads}  not expressed")
    for r in records:
        if r["component"] == "fits":
            figures = f"false fits {r['false_fits_count']}, false refusals {r['false_refusals_count']}"
        else:
            names = ("median_error_percent", "mean_error_percent", "p95_error_percent")
            figures = " ".join(f"{r[k]:>9.3f}" if k in r else f"{'-':>9}" for k in names)
        print(
            f"{r['runtime']:<20} {r['component']:<16} {r['n']:>4} {figures:<29}  {r['not_expressed_count']}"
        )
    print("\nworst five of each")
    for r in records:
        for w in r.get("worst", [])[:5]:
            off = f"{w['error_percent']:.2f} %" if "error_percent" in w else "wrong"
            print(f"  {r['runtime']} {r['component']} {w['id']}: {off}, {w['predicted']} for {w['measured']}")
    print("\nnot expressed")
    for r in records:
        reasons: dict[str, list[str]] = defaultdict(list)
        for item in r["not_expressed"]:
            reasons[item["reason"]].append(item["id"])
        for reason, ids in reasons.items():
            shown = ids if rows else ids[:6]
            print(f"  {r['runtime']} {r['component']}: {reason} ({len(ids)}: {', '.join(shown)})")


def main() -> None:
    """Read the file, score it, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("file", type=Path)
    parser.add_argument("--json", action="store_true", dest="as_json")
    parser.add_argument("--rows", action="store_true", help="list every row that was not expressed")
    arguments = parser.parse_args()
    rows = [
        json.loads(line) for line in arguments.file.read_text(encoding="utf-8").splitlines() if line.strip()
    ]
    records = score(rows)
    if arguments.as_json:
        print(json.dumps(records, indent=1, ensure_ascii=False))
    else:
        _show(records, rows=arguments.rows)


if __name__ == "__main__":
    main()
