"""What a model says of itself: the front matter of README.md, or general.* of a GGUF."""

from __future__ import annotations

import re
from collections.abc import Mapping

from plimsoll.domain.explanation import Card, Fact
from plimsoll.parse.gguf import Value

_FIELDS = {"license": "license", "language": "languages", "base_model": "base_model"}
_LARGEST_FRONT_MATTER = 20_000
_KEY = re.compile(r"([A-Za-z_]+):\s*(.*)")


def card_from_readme(text: str, where: str) -> Card:
    """License, languages and base model from the YAML between the two '---' lines of a model card.

    Only `key: value`, `key: [a, b]` and `- item` lists are read; `other` as a license gives way to
    license_name. Anything else stays unknown.
    """
    found = _front_matter(text)
    license_names = found.get("license", ())
    if license_names == ("other",):
        license_names = found.get("license_name", license_names)
    facts = {
        name: Fact(value=", ".join(values), source=f"{where}#{key}")
        for key, name in _FIELDS.items()
        if (values := license_names if key == "license" else found.get(key, ()))
    }
    return Card(**facts)


def _front_matter(text: str) -> dict[str, tuple[str, ...]]:
    head = text.lstrip("\ufeff")[:_LARGEST_FRONT_MATTER].splitlines()
    if not head or head[0].strip() != "---":
        return {}
    found: dict[str, tuple[str, ...]] = {}
    key = ""
    for line in head[1:]:
        if line.strip() == "---":
            return found
        if match := _KEY.fullmatch(line.rstrip()):
            key, values = match[1], match[2].strip().strip("[]")
            found[key] = tuple(v for part in values.split(",") if (v := part.strip().strip("'\"")))
        elif key and line.strip().startswith("- "):
            found[key] = (*found.get(key, ()), line.strip()[2:].strip().strip("'\""))
    return {}


def card_from_gguf(metadata: Mapping[str, Value], where: str) -> Card:
    """general.license, general.languages, general.base_model.<n>.name and general.finetune of a GGUF."""
    facts = {}
    for key, name in (
        ("general.license", "license"), ("general.languages", "languages"), ("general.finetune", "variant"),
    ):  # fmt: skip
        value = metadata.get(key)
        text = ", ".join(map(str, value)) if isinstance(value, tuple) else value
        if isinstance(text, str) and text:
            facts[name] = Fact(value=text, source=f"{where}#{key}")
    bases = [v for i in range(8) if isinstance(v := metadata.get(f"general.base_model.{i}.name"), str) and v]
    if bases:
        facts["base_model"] = Fact(value=", ".join(bases), source=f"{where}#general.base_model")
    return Card(**facts)
