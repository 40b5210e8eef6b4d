"""What the upstream converter wrote for real configs, kept under tests/fixtures/gguf_converted.

One gzipped JSON per model: `config` (facts), `arch`, `metadata` (key -> [type, value]) and `tensors`
([name, shape, type], outtype f16), all made by tests/ghost/upstream.py with llama.cpp at 0c1e57098.
"""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

CONVERTED = Path(__file__).parent.parent / "fixtures" / "gguf_converted"


def converted_ids() -> tuple[str, ...]:
    """The model ids whose conversion is stored under tests/fixtures/gguf_converted."""
    return tuple(
        sorted(p.name.removesuffix(".json.gz").replace("__", "/") for p in CONVERTED.glob("*.json.gz"))
    )


@cache
def converted(model_id: str) -> dict[str, Any]:
    """`config`, `arch`, `metadata` and `tensors` of one stored conversion (outtype f16)."""
    path = CONVERTED / f"{model_id.replace('/', '__')}.json.gz"
    result: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    return result
