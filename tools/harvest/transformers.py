"""Transformers: classes its AutoModel mappings name, quantisers, what it requires."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from tools.harvest import syntax
from tools.harvest.facts import Project, Table, Value, table

_AUTO = "src/transformers/models/auto/modeling_auto.py"
_QUANTISERS = "src/transformers/quantizers/auto.py"
_VERSIONS = "src/transformers/dependency_versions_table.py"
_LISTED = ("torch", "accelerate", "tokenizers", "safetensors", "huggingface-hub", "python")
WANTED = rf"{_AUTO}|{_QUANTISERS}|{_VERSIONS}"
# Those that generate text, with or without pictures and sound.
_MAPPINGS = (
    "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES",
    "MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES",
    "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
)


def read(files: Mapping[str, str]) -> dict[str, Table]:
    """All tables of one release; raises BadSource where a file that every release has is missing."""
    return {
        "architectures": _architectures(files),
        "quantisers": _quantisers(files),
        "requirements": _requirements(files),
    }


def _architectures(files: Mapping[str, str]) -> Table:
    """Class -> the model_type that is mapped to it."""
    tree = syntax.parsed(files, _AUTO)
    found: dict[str, tuple[Value, str]] = {}
    for mapping in _MAPPINGS:
        for kind, value in syntax.entries(syntax.assigned(tree, mapping)):
            for name in syntax.strings(value):
                found.setdefault(name, (kind, _AUTO))
    if not found:
        raise syntax.BadSource("there is no mapping of causal models in it", where=_AUTO)
    return table(found)


def _quantisers(files: Mapping[str, str]) -> Table:
    mapping = syntax.assigned(syntax.parsed(files, _QUANTISERS), "AUTO_QUANTIZER_MAPPING")
    named = {key: value.id for key, value in syntax.entries(mapping) if isinstance(value, ast.Name)}
    return table({name: (made, _QUANTISERS) for name, made in named.items()})


def _requirements(files: Mapping[str, str]) -> Table:
    found: dict[str, tuple[Value, str]] = {}
    for name, value in syntax.entries(syntax.assigned(syntax.parsed(files, _VERSIONS), "deps")):
        told = re.fullmatch(r"[A-Za-z0-9_.-]+(?:\[[^\]]*\])?(.*)", syntax.text(value))
        if name in _LISTED and told and told[1]:
            found[name] = (",".join(sorted(told[1].split(","))), _VERSIONS)
    return table(found)


PROJECT = Project(
    name="transformers", runtime="transformers",
    upstream="https://github.com/huggingface/transformers/blob/v{version}",
    title="Transformers {version}: source code", wanted=WANTED, read=read,
)  # fmt: skip
