"""Write the fixtures that the engine's own code decides.

    python -m tests.ghost.store convert MODEL_ID CONFIG.json    (needs PLIMSOLL_LLAMA_CPP_SOURCE)
    python -m tests.ghost.store recipes [MODEL_ID ...]          (needs PLIMSOLL_LIBLLAMA)

The first keeps what the converter makes of a config under tests/fixtures/gguf_converted; the second
what the quantiser makes of every stored conversion, as digests, in tests/fixtures/gguf_recipes.json.gz.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from plimsoll.parse.config import model_from_config
from plimsoll.runtimes.llama_cpp.recipe import RECIPES
from tests.ghost.quantiser import dry_runs
from tests.ghost.stored import CONVERTED, converted, converted_ids
from tests.ghost.upstream import convert
from tests.ghost.writer import write_converted

RECIPES_FILE = CONVERTED.parent / "gguf_recipes.json.gz"
REMOTE_CODE = ("internlm2",)
PLAIN = ("f32", "f16", "bf16")
# the recipes whose rules look at the importance matrix
WITH_IMATRIX = ("q4_0", "q5_0", "iq3_xxs", "iq4_nl", "iq4_xs")


def orders() -> list[tuple[str, bool]]:
    """Every quantising recipe without, and where it matters with, an importance matrix."""
    names = [name for name, recipe in RECIPES.items() if recipe.base not in PLAIN]
    return [(name, False) for name in names] + [(name, True) for name in WITH_IMATRIX]


def digest(types: Mapping[str, str], model_id: str) -> str:
    """16 hex digits of all names with their types, without what the source holds in MXFP4.

    The quantiser refuses to quantise those again; in a dry run it does not notice.
    """
    packed = {name for name, _, kind in converted(model_id)["tensors"] if kind == "mxfp4"}
    lines = "".join(f"{name} {kind}\n" for name, kind in sorted(types.items()) if name not in packed)
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def store_conversion(model_id: str, config_path: Path) -> None:
    """Convert a config and keep the result. What Transformers does not build is taken from our own table:
    draft layers, or everything where the model is remote code."""
    config = json.loads(config_path.read_text())
    model = model_from_config(config, id=model_id)
    is_remote = config["model_type"] in REMOTE_CODE
    drafts = [(t.name, t.shape) for t in model.tensors if is_remote or t.role == "mtp"]
    document = json.dumps({"id": model_id, "config": config, **convert(config, extra=drafts)})
    path = CONVERTED / f"{model_id.replace('/', '__')}.json.gz"
    path.write_bytes(gzip.compress(document.encode(), 9, mtime=0))


def judge_recipes(model_ids: tuple[str, ...]) -> None:
    """Ask the quantiser for the types of these models under every recipe; the others are kept."""
    kept = json.loads(gzip.decompress(RECIPES_FILE.read_bytes())) if RECIPES_FILE.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ghost.gguf"
        for model_id in model_ids:
            write_converted(path, model_id)
            results = dry_runs(path, [(RECIPES[name].file_type, has) for name, has in orders()])
            kept[model_id] = {
                f"{name}{'+imatrix' if has else ''}": digest(types, model_id)
                for (name, has), types in zip(orders(), results, strict=True)
            }
            RECIPES_FILE.write_bytes(gzip.compress(json.dumps(kept, sort_keys=True).encode(), 9, mtime=0))
            print(model_id, flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "convert":
        store_conversion(sys.argv[2], Path(sys.argv[3]))
    else:
        judge_recipes(tuple(sys.argv[2:]) or converted_ids())
