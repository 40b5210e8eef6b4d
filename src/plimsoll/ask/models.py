"""From what a person types to a Model: a path, the shipped catalog, local caches, the hub."""

from __future__ import annotations

from dataclasses import replace

from plimsoll.catalog import models as catalog
from plimsoll.catalog import sources
from plimsoll.domain.model import Model
from plimsoll.edges.paths import is_path
from plimsoll.errors import UnknownModel, UnsupportedArchitecture
from plimsoll.parse.config import model_from_config


def load(reference: str, *, offline: bool = False) -> Model:
    """The model that `reference` names.

    Tried in order: an existing file or folder; the shipped catalog; the caches of Hugging Face,
    Ollama and LM Studio; and, for `org/name[@revision]` and URLs, the hub (never when `offline`).
    Raises UnknownModel with the nearest names, ReadError for bad files, ReachError for the network.
    """
    if not reference.strip():
        raise UnknownModel("no model is named", name=reference, hint="give a path, a name or a hub id")
    if is_path(reference):
        from plimsoll.ask import files

        return files.load_local(reference)
    try:
        return from_catalog(reference)
    except UnknownModel as unknown:
        from plimsoll.ask import files

        found = files.load_cached(reference)
        if found is not None:
            return found
        if offline or not files.is_remote(reference) or catalog.is_known_missing(reference):
            raise unknown
    return files.load_remote(reference)


def from_catalog(name: str) -> Model:
    """The catalog's record as a Model; UnknownModel or AmbiguousName as the catalog finds."""
    record = catalog.find(name)
    try:
        model = model_from_config(
            record.config, id=record.id, revision=record.revision, where=record.where, kind="catalog"
        )
    except UnsupportedArchitecture as error:
        error.hint = "its files can still be read: give the path of a .gguf or of a folder with safetensors"
        raise
    return replace(model, sources=sources.load_all(record.sources))
