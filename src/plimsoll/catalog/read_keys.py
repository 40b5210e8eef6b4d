"""Which keys an engine's code reads: `read_keys/<engine>.json`, written by tools/read_keys.py.

For Transformers the keys of config.json by model_type, for llama.cpp the metadata keys of a GGUF by
architecture (without '{arch}.'). A key that is not read is without effect; one that is read may have one.
"""

from __future__ import annotations

import json
import os.path
from functools import cache
from typing import Any, NamedTuple

FOLDER = os.path.join(os.path.dirname(__file__), "read_keys")


class ReadKeys(NamedTuple):
    """The engine's version and the keys it reads for one architecture; None when that is not known.

    `head_dim` says what becomes of a config without that key: 'filled', 'empty', 'absent', '' if unknown.
    """

    version: str
    keys: frozenset[str] | None
    head_dim: str = ""


def load(engine: str, architecture: str) -> ReadKeys:
    """What `engine` ('transformers', 'llama_cpp') reads for a model_type or a GGUF architecture."""
    data = _file(engine)
    own = data["read"].get(architecture)
    keys = None if own is None else frozenset(own) | frozenset(data["shared"])
    return ReadKeys(data["version"], keys, data.get("head_dim", {}).get(architecture, ""))


@cache
def _file(engine: str) -> dict[str, Any]:
    with open(os.path.join(FOLDER, f"{engine}.json"), "rb") as file:
        data: dict[str, Any] = json.loads(file.read())
    return data
