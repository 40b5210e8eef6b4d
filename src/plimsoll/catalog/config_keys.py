"""What each key of config.json is: `config_keys/<group>.toml`, read through a generated index.

find("num_key_value_heads")                  -> KeyFacts(scope="text", change="shapes", ...)
find("text_config.rope_parameters.factor")   -> the key `factor` in scope "rope"
find("vision_config.hidden_size")            -> scope "vision", another fact than the text model's
find("no_such_key")                          -> None: unknown
"""

from __future__ import annotations

import json
import os.path
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, cast

from plimsoll.domain.config_key import KeyFacts, Scope
from plimsoll.errors import CatalogError

FOLDER = os.path.join(os.path.dirname(__file__), "config_keys")

# A section of config.json and what its keys are about; any other section keeps the scope it is in.
SECTIONS: Mapping[str, Scope] = {
    "text_config": "text", "llm_config": "text", "language_config": "text",
    "vision_config": "vision", "vision_tower": "vision", "vit_config": "vision",
    "audio_config": "audio",
    "rope_scaling": "rope", "rope_parameters": "rope",
    "quantization_config": "quantisation", "compression_config": "quantisation",
    "quantization": "quantisation",
}  # fmt: skip
_NUMBERED = re.compile(r"_[0-9]+$")


def find(key: str) -> KeyFacts | None:
    """Facts about a key given by its dotted path in config.json, or None when nothing is known.

    The innermost section decides the scope; a key that is not known there may be one that means the same
    everywhere (scope "any"). `group_0`, `group_1` ... are one key.
    """
    *sections, leaf = key.split(".")
    scope = scope_of(sections)
    known = _load()
    for name in (leaf, _NUMBERED.sub("_0", leaf)):
        for place in (scope, "any"):
            if (found := known.get((place, name))) is not None:
                return found
    return None


def find_metadata(key: str) -> KeyFacts | None:
    """Facts about a metadata key of a GGUF, its architecture written as '{arch}', or None.

    Several keys of config.json may end up in one; the first in order of groups and keys stands for them.
    """
    return next((facts for facts in _load().values() if facts.llama_cpp == key), None)


def scope_of(sections: list[str]) -> Scope:
    """What the keys inside nested sections are about; the last section that says so decides."""
    return next((SECTIONS[name] for name in reversed(sections) if name in SECTIONS), "text")


def find_all() -> tuple[KeyFacts, ...]:
    """All keys, each once, sorted by scope and key."""
    distinct = {(facts.scope, facts.key): facts for facts in _load().values()}
    return tuple(distinct[place] for place in sorted(distinct))


@cache
def _load() -> Mapping[tuple[str, str], KeyFacts]:
    try:
        with open(os.path.join(FOLDER, "index.json"), "rb") as file:
            groups: dict[str, Any] = json.loads(file.read())
    except (OSError, ValueError) as error:
        raise CatalogError(f"config_keys/index.json: {error}") from error
    found: dict[tuple[str, str], KeyFacts] = {}
    for group, data in groups.items():
        for facts in group_from(data, f"config_keys/{group}.toml"):
            for name in (facts.key, *facts.aliases):
                found[facts.scope, name] = facts
    return found


def group_from(data: Mapping[str, Any], where: str) -> tuple[KeyFacts, ...]:
    """The keys of one parsed group file; raises CatalogError naming an unknown or missing field."""
    facts = []
    for key, fields in data.get("keys", {}).items():
        try:
            lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
            flags = tuple(fields.get("flags", {}).items())
            sources = tuple(lists.pop("sources", ())) or tuple(data["sources"])
            scope = cast(Scope, fields.get("scope", data["scope"]))
            facts.append(
                KeyFacts(
                    **{**fields, **lists, "flags": flags, "key": key, "scope": scope, "sources": sources}
                )
            )
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise CatalogError(f"{where}: {key}: {error}") from error
    return tuple(facts)
