"""Record the option names of released training programs: the annotated fields of their configuration classes.

python tools/harvest_training_options.py FOLDER

FOLDER holds the unpacked releases side by side: trl/, axolotl/, unsloth/, llamafactory/, ms_swift/, and
transformers/ (its training_args.py, which three of them extend). Writes tests/fixtures/training_options.json;
nothing of a release is run.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

OUT = Path(__file__).parents[1] / "tests" / "fixtures" / "training_options.json"
_TRAINER = ("transformers/training_args.py",)
FILES: dict[str, tuple[str, ...]] = {
    "trl": (
        "trl/trl/trainer/sft_config.py", "trl/trl/trainer/base_config.py", "trl/trl/trainer/model_config.py",
        "trl/trl/scripts/utils.py", *_TRAINER,
    ),
    "axolotl": ("axolotl/axolotl/utils/schemas/*.py",),
    "unsloth": ("unsloth/unsloth_cli/config.py",),
    "llama-factory": ("llamafactory/llamafactory/hparams/*.py", *_TRAINER),
    "ms-swift": (
        "ms_swift/swift/arguments/*.py", "ms_swift/swift/arguments/base_args/*.py",
        "ms_swift/swift/trainers/arguments.py", *_TRAINER,
    ),
}  # fmt: skip
VERSIONS = {
    "trl": "1.16.0", "axolotl": "0.19.0", "unsloth": "2026.10.9", "llama-factory": "0.9.5",
    "ms-swift": "4.6.0",
}  # fmt: skip


def fields_in(text: str) -> Iterator[str]:
    """Names that are annotated in the body of a class, and their aliases."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.ClassDef):
            continue
        for item in node.body:
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                yield item.target.id


def options(folder: Path, patterns: Iterable[str]) -> list[str]:
    """All field names in files that match."""
    names: set[str] = set()
    for pattern in patterns:
        paths = sorted(folder.glob(pattern))
        if not paths:
            raise SystemExit(f"{folder} has no {pattern}")
        for path in paths:
            names.update(fields_in(path.read_text(encoding="utf-8")))
    return sorted(names)


if __name__ == "__main__":
    where = Path(sys.argv[1])
    found = {
        name: {"version": VERSIONS[name], "options": options(where, patterns)}
        for name, patterns in FILES.items()
    }
    OUT.write_text(json.dumps(found, indent=0) + "\n", encoding="utf-8")
