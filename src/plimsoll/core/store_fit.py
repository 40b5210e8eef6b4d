"""What formulas of layouts leave open, learnt from real indexes of one size and held to those of another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import TypeVar

from plimsoll.core.store_parts import Wanted, components_of, total
from plimsoll.core.store_text import Corpora, Corpus
from plimsoll.domain.store_plan import (
    INDEXES,
    LANGUAGES,
    VECTORS,
    IndexKind,
    Language,
    StoreMeasurement,
    StoreSetup,
    VectorKind,
)
from plimsoll.formulas import vector_store as formulas

FITTED_ON = 10_000
Word = TypeVar("Word", bound=str)
Coefficients = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """One real index: its setup and what was measured of it."""

    store: str
    index: IndexKind
    vector: VectorKind
    has_full_text: bool
    chunks_count: int
    dimension: int
    m: int
    language: Language
    characters_count: int
    text_bytes: int
    values: Mapping[str, float]

    def disk(self, *kinds: str) -> float:
        """Allocated bytes of some kinds of file, or of all."""
        return sum(
            v for k, v in self.values.items() if k.startswith("disk ") and (not kinds or k[5:] in kinds)
        )


def built(rows: Iterable[StoreMeasurement]) -> tuple[Built, ...]:
    """The rows of each index together."""
    found: dict[StoreMeasurement, dict[str, float]] = {}
    for row in rows:
        key = replace(row, what="", value=0.0, unit="")
        found.setdefault(key, {})[row.what] = row.value
    return tuple(_built(key, values) for key, values in found.items())


def _built(row: StoreMeasurement, values: Mapping[str, float]) -> Built:
    kind, _, more = row.index.partition(" + ")
    # LanceDB keeps float32 rows and searches the codes of its index.
    searched = {"ivf-pq": "pq", "hnsw": "int8"} if row.store == "lancedb" else {"ivf-pq": "pq"}
    return Built(
        store=row.store, index=_one(kind, INDEXES), vector=_one(searched.get(kind, row.vector), VECTORS),
        has_full_text=more == "full text", chunks_count=row.chunks_count, dimension=row.dimension, m=row.m,
        language=_one(row.language, LANGUAGES), characters_count=row.characters_count,
        text_bytes=row.text_bytes, values=values,
    )  # fmt: skip


def _one(word: str, known: tuple[Word, ...]) -> Word:
    """The known word that is meant; ValueError for none."""
    return known[known.index(word)]


def fit(rows: Iterable[StoreMeasurement]) -> dict[str, dict[str, float]]:
    """Coefficients of every store from its indexes of 10,000 chunks."""
    of: dict[str, list[Built]] = {}
    for one in built(rows):
        if one.chunks_count == FITTED_ON:
            of.setdefault(one.store, []).append(one)
    learnt = {"lancedb": _lancedb(of.pop("lancedb")), "qdrant": _qdrant(of.pop("qdrant"))}
    for store, found in of.items():
        learnt[store] = {"ram_base_bytes": max(0.0, mean(b.values["ram"] - b.disk() for b in found))}
    return {s: {k: float(f"{v:.6g}") for k, v in values.items()} for s, values in learnt.items()}


def _text_ratios(found: Sequence[Built], text_bytes: Callable[[Built], float]) -> dict[str, float]:
    """Bytes on disk per byte of UTF-8, by language."""
    return {
        f"text_ratio_{language}": mean(text_bytes(b) / b.text_bytes for b in found if b.language == language)
        for language in sorted({b.language for b in found})
    }


def _per_character(found: Sequence[Built]) -> float:
    """Bytes of the full-text index per character of stored text."""
    return mean(b.disk("full text") / b.characters_count for b in found if b.has_full_text)


def _lancedb(found: Sequence[Built]) -> dict[str, float]:
    """Text = rows - vectors (the two id columns are counted with it); links = HNSW index - codes - ids."""
    known = [b for b in found if b.index != "flat"]
    graphs = [b for b in known if b.index == "hnsw"]
    aimed = [b for b in known if b.index == "ivf-pq"]

    def link(b: Built) -> float:
        codes = formulas.vectors_bytes(b.chunks_count, b.dimension, "int8")
        ids = formulas.packed_ids_bytes(b.chunks_count) + formulas.centroids_bytes(1, b.dimension)
        return (b.disk("index") - codes - ids) / (b.chunks_count * 2 * b.m)

    return _text_ratios(
        known, lambda b: b.disk("rows") - formulas.vectors_bytes(b.chunks_count, b.dimension, "float32")
    ) | {
        "full_text_per_character": _per_character(known),
        "link_bytes": mean(link(b) for b in graphs),
        "ram_base_bytes": mean(b.values["ram"] - b.disk("index") for b in aimed + graphs),
    }


def _qdrant(found: Sequence[Built]) -> dict[str, float]:
    """Text = payload - half a block - pointer, per chunk; program = memory - mapped files."""

    def text(b: Built) -> float:
        return b.disk("text") - b.chunks_count * (formulas.qdrant_payload_bytes(1_000, 0) / 1_000)

    def program(b: Built) -> float:
        mapped = b.disk("vectors", "quantised", "index", "ids")
        return b.values["ram"] - mapped - (b.disk("full text") if b.has_full_text else 0.0)

    plain = [b for b in found if not b.has_full_text]
    base = mean(map(program, plain))
    held = [program(b) - base for b in found if b.has_full_text]
    return _text_ratios(found, text) | {
        "full_text_per_character": _per_character(found),
        "full_text_ram_bytes": max(0.0, mean(held)),
        "log_bytes": mean(b.disk("log") for b in found),
        "ram_base_bytes": base,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One component of a real index beside its prediction, in bytes."""

    built: Built
    what: str
    predicted: float
    measured: float

    @property
    def miss(self) -> float:
        """(predicted - measured) / measured."""
        return (self.predicted - self.measured) / self.measured


def compared(one: Built, learnt: Coefficients) -> Iterator[Compared]:
    """Disk and memory of a real index, from what is known before it is built; nothing of one without a
    layout.

    Known are chunks, dimension, characters and bytes of the text, and its language; nothing of the index
    itself.
    """
    if one.store == "lancedb" and one.index == "flat":
        return
    corpus = Corpus(
        pages_count=one.chunks_count, characters=one.characters_count, text_bytes=one.text_bytes,
        tokens=0.0, chunks=one.chunks_count, stored_characters=one.characters_count,
        stored_bytes=one.text_bytes, stored_tokens=0.0, distinct_tokens=0.0,
    )  # fmt: skip
    wanted = Wanted(
        language=one.language, dimension=one.dimension, m=one.m, ef=100, has_full_text=one.has_full_text,
        has_sparse=False, colbert_dimension=0,
    )  # fmt: skip
    setup = StoreSetup(store=one.store, index=one.index, vector=one.vector)
    corpora = Corpora(low=corpus, value=corpus, high=corpus)
    parts = [
        c
        for c in components_of(setup, corpora, wanted, learnt[one.store])
        if not c.name.startswith("text, beside")
    ]
    yield Compared(built=one, what="disk", predicted=total(parts, "disk").value, measured=one.disk())
    yield Compared(built=one, what="ram", predicted=total(parts, "ram").value, measured=one.values["ram"])
