"""What each store keeps of a corpus, part by part: bytes on disk and in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from plimsoll.core.store_text import Corpora, Corpus
from plimsoll.domain.bill import Basis
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.store_plan import Embedder, Language, Place, StoreComponent, StoreSetup
from plimsoll.formulas import vector_store as formulas
from plimsoll.formulas.text_store import sparse_bytes, token_vectors_bytes

# LanceDB: rows of a partition that an index aims at, and values that one byte of product quantisation stands
# for
# (lance-index/src/vector, and `num_sub_vectors` = 64 of 1,024 in the built index).
LANCE_PARTITION = {"ivf-pq": 8192, "hnsw": 1_048_576}
VALUES_PER_PART = 16
FAISS_PARTITION = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be kept beside text and dense vectors, and how the index is built."""

    language: Language
    dimension: int
    m: int
    ef: int
    has_full_text: bool
    has_sparse: bool
    colbert_dimension: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A component before it is counted: bytes of a corpus."""

    name: str
    place: Place
    count: Callable[[Corpus], float]
    basis: Basis
    formula: str
    inputs: Mapping[str, object]


def components_of(
    setup: StoreSetup, corpora: Corpora, wanted: Wanted, learnt: Mapping[str, float]
) -> tuple[StoreComponent, ...]:
    """Every component of a setup with its interval, disk first."""
    parts = [*_PARTS[setup.store](setup, wanted, learnt), *_extras(wanted)]
    return tuple(
        StoreComponent(
            name=part.name,
            place=part.place,
            estimate=corpora.estimate(
                part.name,
                "bytes",
                part.count,
                basis=part.basis,
                formula=part.formula,
                inputs=dict(part.inputs),
            ),
        )
        for place in ("disk", "ram")
        for part in parts
        if part.place == place
    )


def total(components: Sequence[StoreComponent], place: Place) -> Estimate:
    """The sum of a place, from low to high."""
    found = [c.estimate for c in components if c.place == place]
    return Estimate(
        quantity=place, unit="bytes", value=sum(e.value for e in found), low=sum(e.low for e in found),
        high=sum(e.high for e in found), basis="calibrated", formula="sum of components",
    )  # fmt: skip


def _part(
    name: str, place: Place, count: Callable[[Corpus], float], formula: str, basis: Basis = "formula",
    **inputs: object,
) -> Part:  # fmt: skip
    return Part(name=name, place=place, count=count, basis=basis, formula=formula, inputs=inputs)


def _ratio(learnt: Mapping[str, float], language: Language) -> float:
    """Bytes on disk per byte of UTF-8; of mixed text half is in either language."""
    if language == "mixed":
        return (learnt["text_ratio_ru"] + learnt["text_ratio_en"]) / 2
    return learnt[f"text_ratio_{language}"]


def code_bytes(setup: StoreSetup, dimension: int) -> float:
    """Bytes of one vector as it is searched."""
    if setup.vector == "pq":
        return dimension / (4 if setup.store == "qdrant" else VALUES_PER_PART)
    return dimension * formulas.VALUE_BYTES[setup.vector]


def _lancedb(setup: StoreSetup, wanted: Wanted, learnt: Mapping[str, float]) -> Iterator[Part]:
    d, m = wanted.dimension, wanted.m
    text = _ratio(learnt, wanted.language)
    yield _part(
        "text", "disk", lambda c: c.stored_bytes * text, "stored text x ratio", "calibrated", ratio=text
    )
    yield _part("vectors", "disk", lambda c: formulas.vectors_bytes(c.chunks, d, "float32"),
                "formulas.vector_store:vectors_bytes", dimension=d, vector="float32")  # fmt: skip

    def index(c: Corpus) -> float:
        partitions = formulas.partitions_count(c.chunks, LANCE_PARTITION[setup.index])
        fixed = formulas.packed_ids_bytes(c.chunks) + formulas.centroids_bytes(partitions, d)
        if setup.index == "ivf-pq":
            return fixed + formulas.pq_bytes(c.chunks, d, VALUES_PER_PART)
        return fixed + formulas.vectors_bytes(c.chunks, d, "int8") + c.chunks * 2 * m * learnt["link_bytes"]

    basis: Basis = "formula" if setup.index == "ivf-pq" else "calibrated"
    yield _part("index", "disk", index, "formulas.vector_store:pq_bytes + packed ids + centroids", basis)
    if wanted.has_full_text:
        per = learnt["full_text_per_character"]
        yield _part("full-text index", "disk", lambda c: c.stored_characters * per,
                    "characters x bytes", "calibrated", bytes_per_character=per)  # fmt: skip
    yield _part("index", "ram", index, "the index is cached whole", basis)
    yield _program(learnt)


def _program(learnt: Mapping[str, float]) -> Part:
    base = learnt["ram_base_bytes"]
    return _part("program", "ram", lambda _: base, "measured at 10,000 chunks", "calibrated")


def _qdrant(setup: StoreSetup, wanted: Wanted, learnt: Mapping[str, float]) -> Iterator[Part]:
    d, m = wanted.dimension, wanted.m
    text = _ratio(learnt, wanted.language)
    stored = "float16" if setup.vector == "float16" else "float32"
    is_quantised = setup.vector in ("int8", "binary", "pq")
    yield _part(
        "text",
        "disk",
        lambda c: formulas.qdrant_payload_bytes(c.chunks, c.stored_bytes * text / c.chunks),
        "formulas.vector_store:qdrant_payload_bytes",
        "calibrated",
        ratio=text,
    )
    vectors = _part("vectors", "disk", lambda c: formulas.vectors_bytes(c.chunks, d, stored),
                    "formulas.vector_store:vectors_bytes", dimension=d, vector=stored)  # fmt: skip
    codes = _part("quantised copy", "disk", lambda c: formulas.qdrant_codes_bytes(c.chunks, d, setup.vector),
                  "formulas.vector_store:qdrant_codes_bytes", dimension=d, vector=setup.vector)  # fmt: skip
    graph = _part("index", "disk", lambda c: formulas.qdrant_links_bytes(c.chunks, m),
                  "formulas.vector_store:qdrant_links_bytes", m=m)  # fmt: skip
    ids = _part("ids", "disk", lambda c: formulas.qdrant_ids_bytes(c.chunks),
                "formulas.vector_store:qdrant_ids_bytes")  # fmt: skip
    kept = [vectors, *([codes] if is_quantised else []), *([graph] if setup.index == "hnsw" else []), ids]
    yield from kept
    log = learnt["log_bytes"]
    yield _part("log of changes", "disk", lambda _: log, "segments of 32 MiB", "calibrated")
    for part in kept:
        if not (part is vectors and setup.is_on_disk):
            yield Part(name=part.name, place="ram", count=part.count, basis=part.basis, formula=part.formula,
                       inputs=part.inputs)  # fmt: skip
    if wanted.has_full_text:
        per, held = learnt["full_text_per_character"], learnt["full_text_ram_bytes"]
        yield _part("full-text index", "disk", lambda c: c.stored_characters * per,
                    "characters x bytes", "calibrated", bytes_per_character=per)  # fmt: skip
        yield _part("full-text index", "ram", lambda c: c.stored_characters * per + held,
                    "its files, and what it holds besides", "calibrated", besides=held)  # fmt: skip
    yield _program(learnt)


def _library(setup: StoreSetup, wanted: Wanted, learnt: Mapping[str, float]) -> Iterator[Part]:
    d, m = wanted.dimension, wanted.m

    def index(c: Corpus) -> float:
        n = c.chunks
        if setup.store == "hnswlib":
            return formulas.hnswlib_bytes(n, d, m)
        if setup.store == "usearch":
            return formulas.usearch_bytes(n, d, setup.vector, m)
        if setup.index == "hnsw":
            return formulas.faiss_hnsw_bytes(n, d, m)
        if setup.index == "ivf-pq":
            return formulas.faiss_ivf_pq_bytes(n, d, max(1, n // FAISS_PARTITION), VALUES_PER_PART)
        return formulas.vectors_bytes(n, d, setup.vector)

    name = f"formulas.vector_store, layout of {setup.store}"
    yield _part("text, beside the index", "disk", lambda c: c.stored_bytes, "stored text, as it is")
    yield _part("vectors and index", "disk", index, name, m=m)
    yield _part("vectors and index", "ram", index, name, m=m)
    yield _program(learnt)


def _extras(wanted: Wanted) -> Iterator[Part]:
    """Sparse weights and vectors per token, wherever they are kept; sparse ones are searched in memory."""
    if wanted.has_sparse:
        for place in ("disk", "ram"):
            yield _part("sparse vectors", place, lambda c: sparse_bytes(c.chunks, c.distinct_tokens),
                        "formulas.text_store:sparse_bytes")  # fmt: skip
    if d := wanted.colbert_dimension:
        yield _part("a vector per token", "disk", lambda c: token_vectors_bytes(c.stored_tokens, d, 2.0),
                    "formulas.text_store:token_vectors_bytes", dimension=d, value_bytes=2)  # fmt: skip


_PARTS: dict[str, Callable[[StoreSetup, Wanted, Mapping[str, float]], Iterator[Part]]] = {
    "lancedb": _lancedb, "qdrant": _qdrant, "faiss": _library, "hnswlib": _library, "usearch": _library,
}  # fmt: skip


def embedder_weights_bytes(embedder: Embedder) -> int:
    """All parameters in 16 bits."""
    return 2 * embedder.parameters_count
