"""Models that turn text into vectors: `embedders/<name>.toml` becomes an Embedder.

They are kept apart from `models/`: nothing generates with them, and most are encoders without a cache.
"""

from __future__ import annotations

import os.path
import tomllib
from collections.abc import Mapping
from typing import Any

from plimsoll.catalog.names import name_key, nearest, one_of
from plimsoll.domain.origin import Source
from plimsoll.domain.store_plan import Embedder
from plimsoll.errors import CatalogError, UnknownModel

FOLDER = os.path.join(os.path.dirname(__file__), "embedders")
_TOP = {
    "id",
    "revision",
    "aliases",
    "license",
    "languages",
    "config",
    "vectors",
    "parameters",
    "sources",
    "seen_on",
}


def load_all() -> tuple[Embedder, ...]:
    """Every embedder, sorted by id; raises CatalogError."""
    names = sorted(name for name in os.listdir(FOLDER) if name.endswith(".toml"))
    return tuple(sorted((_read(name)[0] for name in names), key=lambda e: e.id.lower()))


def find(name: str) -> Embedder:
    """The embedder a person means: 'bge-m3', 'BAAI/bge-m3', 'e5-large'; raises UnknownModel with the
    nearest."""
    found: dict[str, list[str]] = {}
    by_id: dict[str, Embedder] = {}
    for file in sorted(os.listdir(FOLDER)):
        if file.endswith(".toml"):
            embedder, aliases = _read(file)
            by_id[embedder.id] = embedder
            for each in (embedder.id, embedder.id.rpartition("/")[2], *aliases):
                found.setdefault(name_key(each), []).append(embedder.id)
    ids = list(dict.fromkeys(found.get(name_key(name), [])))
    if len(ids) == 1:
        return by_id[ids[0]]
    near = nearest(name.rpartition("/")[2], found)
    hint = f"did you mean {one_of([n.rpartition('/')[2] for n in near])}?" if near else _every(by_id)
    raise UnknownModel(f"no such embedder in the catalog: {name!r}", name=name, nearest=near, hint=hint)


def _every(by_id: Mapping[str, Embedder]) -> str:
    return f"one of {', '.join(sorted(i.rpartition('/')[2] for i in by_id))}"


def _read(file: str) -> tuple[Embedder, tuple[str, ...]]:
    try:
        with open(os.path.join(FOLDER, file), "rb") as opened:
            return embedder_from(tomllib.load(opened))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CatalogError(f"embedders/{file}: {error}") from error


def embedder_from(data: Mapping[str, Any]) -> tuple[Embedder, tuple[str, ...]]:
    """The embedder in a parsed file and its other names; KeyError, TypeError or ValueError for a bad one."""
    if unknown := set(data) - _TOP:
        raise ValueError(f"unknown keys {', '.join(sorted(unknown))}")
    config, vectors, parameters = dict(data["config"]), dict(data["vectors"]), dict(data["parameters"])
    embedder = Embedder(
        id=data["id"], revision=data["revision"], license=data["license"], languages=data["languages"],
        architecture=config.pop("model_type"), dimension=vectors.pop("dimension"),
        dimension_min=vectors.pop("dimension_min", 0), has_sparse=vectors.pop("has_sparse", False),
        colbert_dimension=vectors.pop("colbert_dimension", 0), parameters_count=parameters.pop("count"),
        embedding_parameters_count=parameters.pop("embedding_count"),
        sources=tuple(_source(key, url, data["seen_on"]) for key, url in data["sources"].items()), **config,
    )  # fmt: skip
    if left := {**vectors, **parameters}:
        raise ValueError(f"unknown keys {', '.join(sorted(left))}")
    return embedder, tuple(data.get("aliases", ()))


def _source(key: str, url: str, seen_on: str) -> Source:
    return Source(
        id=f"embedder {key}", kind="config" if key == "config" else "code", url=url, seen_on=seen_on
    )
