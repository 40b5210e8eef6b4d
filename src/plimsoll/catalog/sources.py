"""Sources of the catalog: `sources/<id>.toml`. A reference is `<id>` or `<id>#<path inside it>`."""

from __future__ import annotations

from pathlib import Path

from plimsoll.domain.origin import Source
from plimsoll.errors import CatalogError

FOLDER = Path(__file__).parent / "sources"


def load(reference: str) -> Source:
    """The source that a reference names, its url extended by the path after '#'; raises CatalogError."""
    import tomllib  # 4 ms to import, needed only to print sources

    source_id, _, inside = reference.partition("#")
    try:
        data = tomllib.loads((FOLDER / f"{source_id}.toml").read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise CatalogError(f"catalog/sources/{source_id}.toml: {error}") from error
    data.pop("title", None)
    url = f"{data.pop('url').rstrip('/')}/{inside}" if inside else data.pop("url")
    return Source(**{**data, "id": reference, "url": url})
