"""Compare Plimsoll's llama.cpp memory figures with the engine's own, buffer by buffer.

    python bench/llama_cpp_memory.py [--quick] [--json] [--model ID ...]

Needs the `oracle` extra. For every stored conversion of a real config a ghost GGUF (header only, sparse) is
written under each recipe, and the real llama.cpp (PyPI xllamacpp, CPU) projects its buffers without
allocating: contexts 4k, 32k and 128k x KV f16, q8_0, q4_0 x 1 and 4 sequences. Prints per component n, how
many equal the engine's bytes, the median and the worst error. `--quick` takes one model per architecture, one
recipe and a few settings.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from plimsoll.domain.deployment import Deployment, Runtime, Workload
from plimsoll.domain.machine import Machine
from plimsoll.domain.model import Model
from plimsoll.errors import PlimsollError
from plimsoll.parse.config import model_from_config
from plimsoll.runtimes.llama_cpp import memory
from plimsoll.runtimes.llama_cpp.recipe import quantise
from plimsoll.runtimes.llama_cpp.tensors import gguf_architecture, gguf_tensors
from tests.ghost.engine import measure
from tests.ghost.stored import converted, converted_ids

RECIPES = ("f16", "q8_0", "q4_k_m")
CONTEXTS = (4096, 32768, 131072)
KV_FORMATS = ("f16", "q8_0", "q4_0")
SEQUENCES = (1, 4)
COMPONENTS = {"weights": "model_bytes", "kv": "kv_bytes", "state": "state_bytes", "compute": "compute_bytes"}
CPU = Machine(name="cpu", devices=())

Run = dict[str, Any]


def runs(*, quick: bool) -> list[Run]:
    """Settings of the sweep; per sequence `context`, as the engine takes it `n_ctx`."""
    if quick:
        picked = [(4096, "f16", 1), (32768, "q8_0", 4)]
    else:
        picked = [(c, f, s) for c in CONTEXTS for f in KV_FORMATS for s in SEQUENCES]
    return [{"context": c, "n_ctx": c * s, "n_parallel": s, "type_k": f, "type_v": f} for c, f, s in picked]


def predict(model: Model, recipe: str, run: Run) -> dict[str, int]:
    """Plimsoll's bytes per component; the output buffer, which the engine counts nowhere, left out."""
    deployment = Deployment(
        model=model,
        machine=CPU,
        runtime=Runtime(id="llama_cpp"),
        weight_format=recipe,
        workload=Workload(context_tokens=run["context"], parallel_sequences_count=run["n_parallel"]),
        kv_format_k=run["type_k"],
        kv_format_v=run["type_v"],
    )
    refused = memory.problems(deployment)
    if refused:
        return {"refused": 1}
    sums = dict.fromkeys(COMPONENTS, 0)
    for line in memory.lines(deployment):
        if line.label != "output buffer":
            sums[line.component] += line.size_bytes
    return sums


def compare(model_id: str, recipes: Iterable[str], wanted: list[Run]) -> Iterator[dict[str, Any]]:
    """One record per recipe and run: ours and the engine's bytes, or the reason why not."""
    stored = converted(model_id)
    try:
        model = model_from_config(stored["config"], id=model_id)
        table = gguf_tensors(model)
    except PlimsollError as error:
        yield {"model": model_id, "architecture": stored["arch"], "error": f"{type(error).__name__}: {error}"}
        return
    from tests.ghost.writer import write_tensors

    for recipe in recipes:
        tensors = [(t.name, t.shape, t.format) for t in quantise(table, model, recipe)]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "ghost.gguf"
            write_tensors(path, stored["metadata"], tensors)
            results = measure(path, wanted)
        for run, engine in zip(wanted, results, strict=True):
            record = {
                "model": model_id,
                "architecture": gguf_architecture(model),
                "recipe": recipe,
                "run": run,
            }
            ours = predict(model, recipe, run)
            if "error" in engine or "refused" in ours:
                both = "error" in engine and "refused" in ours
                yield {
                    **record,
                    "refused": both,
                    **({} if both else {"error": engine.get("error", "only we refuse")}),
                }
                continue
            yield {**record, "ours": ours, "engine": {c: engine[key] for c, key in COMPONENTS.items()}}


def quick_ids() -> list[str]:
    """The smallest stored model of each architecture."""
    best: dict[str, tuple[int, str]] = {}
    for model_id in converted_ids():
        stored = converted(model_id)
        size = len(stored["tensors"])
        if stored["arch"] not in best or size < best[stored["arch"]][0]:
            best[stored["arch"]] = (size, model_id)
    return sorted(model_id for _, model_id in best.values())


def summary(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per component: n, equal, median and worst error in percent, and where the worst was."""
    out = []
    for component in COMPONENTS:
        errors = []
        for record in records:
            if "ours" in record:
                ours, engine = record["ours"][component], record["engine"][component]
                if ours or engine:
                    errors.append((abs(ours - engine) / max(engine, 1) * 100, record))
        if not errors:
            continue
        worst, where = max(errors, key=lambda e: e[0])
        out.append(
            {
                "component": component,
                "n": len(errors),
                "equal_count": sum(e == 0 for e, _ in errors),
                "median_error_percent": statistics.median(e for e, _ in errors),
                "worst_error_percent": worst,
                "worst": f"{where['model']} {where['recipe']} {where['run']}" if worst else "",
            }
        )
    return out


def main() -> int:
    """Run the sweep and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--model", action="append", default=[])
    options = parser.parse_args()
    ids = options.model or (quick_ids() if options.quick else list(converted_ids()))
    recipes = RECIPES[2:] if options.quick else RECIPES
    wanted = runs(quick=options.quick)
    records = [record for model_id in ids for record in compare(model_id, recipes, wanted)]
    table = summary(records)
    if options.json:
        print(json.dumps(table))
        return 0
    compared = sorted({r["architecture"] for r in records if "ours" in r})
    models = {r["model"] for r in records if "ours" in r}
    print(f"{len(models)} models of {len(compared)} architectures: {', '.join(compared)}")
    print(f"{'component':<10} {'n':>5} {'equal':>6} {'median %':>9} {'worst %':>8}  worst at")
    for row in table:
        print(
            f"{row['component']:<10} {row['n']:>5} {row['equal_count']:>6} "
            f"{row['median_error_percent']:>9.3f} "
            f"{row['worst_error_percent']:>8.3f}  {row['worst']}"
        )
    refused = sum(1 for r in records if r.get("refused"))
    print(f"refused by both: {refused}")
    for reason in dict.fromkeys(
        f"{r['model']}: {r['error'].strip()[-160:]!r}" for r in records if "error" in r
    ):
        print(f"not compared: {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
