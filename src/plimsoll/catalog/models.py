"""Models of the shipped catalog: `models/<org>/<name>.json` becomes a ModelRecord."""

from __future__ import annotations

import json
import os.path
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from plimsoll.catalog.names import name_key, nearest, one_of
from plimsoll.errors import AmbiguousName, CatalogError, UnknownModel

# Plain paths: pathlib would add 4 ms to every cold start.
FOLDER = os.path.join(os.path.dirname(__file__), "models")


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A parameter count that the publisher's repository shows.

    `other_count` of it is not parameters of the config's own tensors; `other_is` says what it is.
    """

    parameters_count: int
    source: str
    other_count: int = 0
    other_is: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelRecord:
    """One fact file.

    `config` holds keys of the model's config.json as far as they were read; `config_from` says where
    they were read: 'config.json', a copy of it, 'class defaults' of the architecture, or 'sibling <id>'
    (same architecture, equal parameter count). `unconfirmed_keys` are keys that the parameter count
    cannot confirm and no config.json was read for.
    `stated_total` and `stated_active` are the publisher's words ('30B', '3B').
    `sources` are references for `plimsoll.catalog.sources.load_all`.
    """

    id: str
    revision: str
    config: Mapping[str, Any]
    config_from: str
    where: str
    aliases: tuple[str, ...] = ()
    published: Published | None = None
    stated_total: str = ""
    stated_active: str = ""
    checkpoint_gib: float | None = None
    license: str = ""
    languages: tuple[str, ...] = ()
    base_model: str = ""
    released_on: str = ""
    training_data: str = ""
    unconfirmed_keys: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    field_sources: Mapping[str, str] = field(default_factory=dict)


def find(name: str) -> ModelRecord:
    """The model a person means: 'gpt-oss-120b', 'qwen3 30b a3b', 'Qwen3:30b-a3b', 'Qwen/Qwen3-30B-A3B'.

    Case, spaces and punctuation do not count, nor does '-Instruct' where that leaves one model. With an
    organisation only its models are looked at. Raises UnknownModel with the nearest names (a model known
    not to exist is said to be so), AmbiguousName when several models fit.
    """
    index = load_index()
    ids = _matches(name, index)
    if len(ids) == 1:
        return read_file(_path(ids[0]))
    if ids:
        raise AmbiguousName(
            f"{name!r} fits several models: {', '.join(ids)}", name=name, nearest=tuple(ids),
            hint=f"name one of them, such as {ids[0]}",
        )  # fmt: skip
    raise _unknown(name, index)


def find_all() -> tuple[str, ...]:
    """The ids of all models, sorted."""
    return tuple(sorted(load_index()["ids"]))


def is_known_missing(name: str) -> bool:
    """Whether the name is a model that people ask for and that does not exist."""
    return _missing(name) is not None


def load(model_id: str) -> ModelRecord:
    """The record of an exact id."""
    if model_id not in load_index()["ids"]:
        raise UnknownModel(f"no such model: {model_id}", name=model_id)
    return read_file(_path(model_id))


def load_index() -> dict[str, Any]:
    """The generated index: `ids` lists all models, `names` maps a key to ids."""
    index: dict[str, Any] = json.loads(_bytes(os.path.join(FOLDER, "index.json")))
    return index


def _matches(name: str, index: Mapping[str, Any]) -> list[str]:
    org, _, model = name.strip().rpartition("/")
    found: list[str] = index["names"].get(name_key(model), [])
    if not org:
        return found
    exact = [i for i in index["ids"] if i.lower() == name.strip().lower()]
    return exact or [i for i in found if i.partition("/")[0].lower() == org.lower()]


def _missing(name: str) -> dict[str, Any] | None:
    records: list[dict[str, Any]] = json.loads(_bytes(os.path.join(FOLDER, "nonexistent.json")))
    key = name_key(name.rpartition("/")[2])
    return next((r for r in records if key in (name_key(r["id"]), name_key(r["id"] + "-Instruct"))), None)


def _unknown(name: str, index: Mapping[str, Any]) -> UnknownModel:
    missing = _missing(name)
    if missing is not None:
        close = tuple(missing["nearest"])
        return UnknownModel(
            f"no such model: {missing['id']} does not exist", name=name, nearest=close,
            hint=f"nearest: {one_of(close)}",
        )  # fmt: skip
    close = nearest(name.rpartition("/")[2], index["names"])
    hint = f"did you mean {one_of(close)}?" if close else "give a path or a hub id such as org/name"
    return UnknownModel(f"no such model in the catalog: {name}", name=name, nearest=close, hint=hint)


def _path(model_id: str) -> str:
    return os.path.join(FOLDER, *f"{model_id}.json".split("/"))


def _bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def read_file(path: str) -> ModelRecord:
    """The record in one JSON file; raises CatalogError for a bad file."""
    folder, name = os.path.split(path)
    try:
        data = json.loads(_bytes(path))
    except (OSError, ValueError, RecursionError) as error:
        raise CatalogError(f"{name}: {error}") from error
    return record_from(data, f"catalog/models/{os.path.basename(folder)}/{name}")


def record_from(data: Mapping[str, Any], where: str) -> ModelRecord:
    """The record in a parsed file; raises CatalogError naming an unknown or missing key."""
    flat = dict(data)
    told: dict[str, str] = {}
    try:
        if "published" in flat:
            flat["published"] = Published(**flat["published"])
        for key, parts in _SOURCED.items():
            section = dict(flat.pop(key, {}))
            if not section:
                continue
            told[key] = section.pop("source")
            flat.update({parts[inner]: value for inner, value in section.items()})
        lists = {key: tuple(value) for key, value in flat.items() if isinstance(value, list)}
        return ModelRecord(**{**flat, **lists}, field_sources=told, where=where)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise CatalogError(f"{where}: {error}") from error


_SOURCED: dict[str, dict[str, str]] = {
    "stated": {"total": "stated_total", "active": "stated_active"},
    "checkpoint": {"size_gib": "checkpoint_gib"},
    "license": {"name": "license"},
    "languages": {"codes": "languages"},
    "released_on": {"date": "released_on"},
    "openness": {"training_data": "training_data"},
}
