"""Facts about keeping texts and vectors, in `stores/`.

`<store>.toml`: programs that keep vectors. `text.csv`: characters per token and bytes per character.
`pages.csv`: characters of a page. `embedding.csv`: throughput of embedders. `measurements.csv`: real indexes,
built and measured by `bench/store_indexes.py`. `coefficients.json`: what `bench/store_fit.py` learnt from
those of 10,000 chunks.
"""

from __future__ import annotations

import csv
import json
import os.path
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from plimsoll.domain.origin import Source
from plimsoll.domain.store_plan import (
    INDEXES,
    VECTORS,
    EmbeddingMeasurement,
    Fact,
    PageMeasurement,
    StoreMeasurement,
    StoreRecord,
    TextMeasurement,
)
from plimsoll.errors import CatalogError

FOLDER = os.path.join(os.path.dirname(__file__), "stores")
Coefficients = Mapping[str, Mapping[str, float]]
Row = TypeVar("Row", TextMeasurement, PageMeasurement, EmbeddingMeasurement, StoreMeasurement, Fact)
_CASTS: dict[str, Any] = {"int": int, "float": float}


def load_texts() -> tuple[TextMeasurement, ...]:
    """Texts, counted by tokenizers."""
    return rows_of(TextMeasurement, "text.csv")


def load_pages() -> tuple[PageMeasurement, ...]:
    """What is counted as a page."""
    return rows_of(PageMeasurement, "pages.csv")


def load_embedding() -> tuple[EmbeddingMeasurement, ...]:
    """Throughput of embedders."""
    return rows_of(EmbeddingMeasurement, "embedding.csv")


def load_measurements() -> tuple[StoreMeasurement, ...]:
    """Figures of real indexes."""
    return rows_of(StoreMeasurement, "measurements.csv")


def load_facts() -> tuple[Fact, ...]:
    """What belongs in retrieval and what in an adapter."""
    return rows_of(Fact, "facts.csv")


def load_coefficients() -> Coefficients:
    """What was learnt from measured indexes: store -> name -> value."""
    try:
        with open(os.path.join(FOLDER, "coefficients.json"), "rb") as file:
            found: Coefficients = json.load(file)
    except (OSError, ValueError) as error:
        raise CatalogError(f"stores/coefficients.json: {error}") from error
    return found


def load_stores() -> tuple[StoreRecord, ...]:
    """Every program that keeps vectors, sorted by id."""
    names = sorted(name for name in os.listdir(FOLDER) if name.endswith(".toml"))
    return tuple(_store(name) for name in names)


def rows_of(kind: type[Row], name: str) -> tuple[Row, ...]:
    """The rows of a file as `kind`; raises CatalogError naming the line of the first bad one."""
    found, line = [], 1
    try:
        with open(os.path.join(FOLDER, name), newline="", encoding="utf-8") as file:
            for line, row in enumerate(csv.DictReader(file), start=2):  # noqa: B007 - told in the error
                found.append(_row(kind, row))
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        raise CatalogError(f"stores/{name} line {line}: {error}") from error
    return tuple(found)


def _row(kind: type[Row], row: Mapping[str, Any]) -> Row:
    names = [f.name for f in fields(kind)]
    if sorted(map(str, row)) != sorted(names) or None in row.values():
        raise ValueError(f"columns are {list(row)}, wanted {names}")
    return kind(**{f.name: _CASTS.get(str(f.type), str)(row[f.name]) for f in fields(kind)})


def _store(name: str) -> StoreRecord:
    try:
        with open(os.path.join(FOLDER, name), "rb") as file:
            return store_from(tomllib.load(file))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CatalogError(f"stores/{name}: {error}") from error


def store_from(data: Mapping[str, Any]) -> StoreRecord:
    """The store in a parsed file; KeyError, TypeError or ValueError for a bad one."""
    rest = dict(data)
    kinds = tuple((index, vector) for index, vectors in rest.pop("kinds").items() for vector in vectors)
    for index, vector in kinds:
        if index not in INDEXES or vector not in VECTORS:
            raise ValueError(f"no index {index!r} of {vector!r}")
    seen_on = rest.pop("seen_on")
    sources = tuple(
        Source(id=f"{rest['id']} {key}", kind="code", url=url, seen_on=seen_on)
        for key, url in rest.pop("sources").items()
    )
    if not sources:
        raise ValueError("no source")
    return StoreRecord(kinds=kinds, sources=sources, **rest)
