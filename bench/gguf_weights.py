"""Weights under llama.cpp: our tensor table against the real engine and against published files.

    python bench/gguf_weights.py [--recipes q4_k_m,q8_0,f16] [--only NAME] [--published FILE.json]

For every stored conversion (tests/fixtures/gguf_converted) and recipe: write a ghost GGUF from our table,
let llama.cpp (`xllamacpp`) load it without allocating, and compare bytes. Three numbers: `table` is our
sum of tensor bytes, `file` the tensor data of the written file, `engine` the model buffers it would
allocate; `expected` is our table as buffers hold it: each tensor aligned to 32 bytes, draft layers left
out, tied embeddings twice where the engine makes the output before the input.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from plimsoll.domain.model import Model, TensorSpec
from plimsoll.parse.config import model_from_config
from plimsoll.runtimes.llama_cpp.recipe import quantise
from plimsoll.runtimes.llama_cpp.tensors import gguf_architecture, gguf_tensors
from tests.ghost.engine import measure
from tests.ghost.stored import converted, converted_ids
from tests.ghost.writer import write_tensors

ALIGNMENT = 32
OUTPUT_FIRST = frozenset({"gemma3n", "gemma4"})


def buffer_bytes(table: tuple[TensorSpec, ...], model: Model) -> int:
    """The model buffer of a machine without accelerators."""
    loaded = [tensor for tensor in table if tensor.role != "mtp"]
    if gguf_architecture(model) in OUTPUT_FIRST and all(t.name != "output.weight" for t in loaded):
        loaded += [tensor for tensor in loaded if tensor.name == "token_embd.weight"]
    return sum(-(-tensor.size_bytes // ALIGNMENT) * ALIGNMENT for tensor in loaded)


def compare(model_id: str, recipe: str, folder: Path) -> dict[str, object]:
    """One row: bytes of table, file, expected buffers and the engine's buffers, or its error."""
    stored = converted(model_id)
    model = model_from_config(stored["config"], id=model_id)
    table = quantise(gguf_tensors(model), model, recipe)
    path = folder / "ghost.gguf"
    written = write_tensors(path, stored["metadata"], [(t.name, t.shape, t.format) for t in table])
    result = measure(path, [{"n_ctx": 512}])[0]
    return {
        "model": model_id, "architecture": stored["arch"], "recipe": recipe,
        "table_bytes": sum(t.size_bytes for t in table), "file_bytes": written,
        "expected_bytes": buffer_bytes(table, model), "engine_bytes": result.get("model_bytes"),
        "error": result.get("error", "")[-200:],
    }  # fmt: skip


def table(rows: list[dict[str, object]]) -> str:
    """The rows as text, with the difference engine - expected."""
    lines = [f"{'model':48} {'architecture':16} {'recipe':8} {'table':>17} {'engine':>17} {'difference':>11}"]
    for row in rows:
        engine, expected = row["engine_bytes"], row["expected_bytes"]
        is_loaded = isinstance(engine, int) and isinstance(expected, int)
        off = f"{engine - expected:,}" if is_loaded else "not loaded"
        shown = f"{engine:,}" if isinstance(engine, int) else "-"
        lines.append(
            f"{row['model']!s:48} {row['architecture']!s:16} {row['recipe']!s:8} "
            f"{row['table_bytes']:>17,} {shown:>17} {off:>11}"
        )
    equal = sum(row["engine_bytes"] == row["expected_bytes"] for row in rows)
    kinds = {row["architecture"] for row in rows if row["engine_bytes"] is not None}
    lines.append(f"{equal} of {len(rows)} equal to the byte; {len(kinds)} architectures loaded")
    return "\n".join(lines)


def main() -> None:
    """Print the table; exit 1 when a row differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipes", default="q4_k_m,q8_0,f16")
    parser.add_argument("--only", default="")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for model_id in converted_ids():
            if options.only in model_id:
                rows += [compare(model_id, recipe, Path(folder)) for recipe in options.recipes.split(",")]
    print(json.dumps(rows, indent=1) if options.json else table(rows))
    sys.exit(any(row["engine_bytes"] != row["expected_bytes"] for row in rows))


if __name__ == "__main__":
    main()
