"""Sources of the catalog: `sources/<id>.toml`. A reference is `<id>` or `<id>#<path inside it>`."""

from __future__ import annotations

import json
import os.path
from collections.abc import Iterable

from plimsoll.domain.origin import Source
from plimsoll.errors import CatalogError

FOLDER = os.path.join(os.path.dirname(__file__), "sources")


def load_all(references: Iterable[str]) -> tuple[Source, ...]:
    """The sources that references name, each url extended by the path after '#'; raises CatalogError."""
    with open(os.path.join(FOLDER, "index.json"), "rb") as file:
        known: dict[str, dict[str, str]] = json.loads(file.read())
    found = []
    for reference in references:
        source_id, _, inside = reference.partition("#")
        if source_id not in known:
            raise CatalogError(f"there is no source {source_id!r} in the catalog")
        data = {key: value for key, value in known[source_id].items() if key not in ("id", "title")}
        if inside:
            data["url"] = f"{data['url'].rstrip('/')}/{inside}"
        found.append(Source(id=reference, **data))  # type: ignore[arg-type]  # checked by the lint
    return tuple(found)
