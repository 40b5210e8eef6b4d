"""Front-ends for people: `uis/<id>.toml` says what each does, read through a generated index."""

from __future__ import annotations

import json
import os.path
from collections.abc import Mapping
from functools import cache
from typing import Any

from plimsoll.catalog.names import one_of
from plimsoll.domain.check_tables import Ui, UiFeature
from plimsoll.errors import CatalogError, UnknownName

FOLDER = os.path.join(os.path.dirname(__file__), "uis")
FEATURES = ("backends", "reasoning", "tools", "mcp", "rag", "images", "lora", "licence", "n8n")


@cache
def load_all() -> tuple[Ui, ...]:
    """All front-ends, by id."""
    try:
        with open(os.path.join(FOLDER, "index.json"), "rb") as file:
            data: dict[str, Any] = json.loads(file.read())
    except (OSError, ValueError) as error:
        raise CatalogError(f"uis/index.json: {error}") from error
    return tuple(ui_from(table, f"uis/{name}.toml") for name, table in data.items())


def ui_from(data: Mapping[str, Any], where: str) -> Ui:
    """The front-end in a parsed file; raises CatalogError for an unknown key or feature."""
    features = []
    for name, row in data.get("features", {}).items():
        if name not in FEATURES:
            raise CatalogError(f"{where}: there is no feature {name!r}: {', '.join(FEATURES)}")
        shared = {"checked_on": data.get("checked_on", ""), "sources": data.get("sources", ())}
        fields = {**shared, **row, "name": name}
        try:
            features.append(UiFeature(**{**fields, "sources": tuple(fields["sources"])}))
        except TypeError as error:
            raise CatalogError(f"{where}: {name}: {error}") from error
    if unknown := set(data) - {"id", "name", "aliases", "checked_on", "sources", "features"}:
        raise CatalogError(f"{where}: unknown keys: {', '.join(sorted(unknown))}")
    return Ui(
        id=data["id"], name=data["name"], aliases=tuple(data.get("aliases", ())), features=tuple(features)
    )


def find(name: str) -> Ui:
    """The front-end of a name; raises UnknownName with the nearest."""
    from difflib import get_close_matches

    def key(text: str) -> str:
        return "".join(c for c in text.lower() if c.isalnum())

    known = {key(word): ui for ui in load_all() for word in (ui.id, ui.name, *ui.aliases)}
    if key(name) in known:
        return known[key(name)]
    near = tuple(dict.fromkeys(known[k].name for k in get_close_matches(key(name), known, n=3, cutoff=0.5)))
    names = ", ".join(ui.name for ui in load_all())
    raise UnknownName(
        f"no rule knows a front-end {name!r}", name=name, nearest=near,
        hint=f"did you mean {one_of(near)}?" if near else f"one of {names}",
    )  # fmt: skip
