"""Nouns of a text store: who turns text into vectors, what keeps them, and what that takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from plimsoll.domain.estimate import Estimate
from plimsoll.domain.origin import Source

Language = Literal["ru", "en", "mixed"]
VectorKind = Literal["float32", "float16", "int8", "binary", "pq"]
IndexKind = Literal["hnsw", "ivf-pq", "flat"]
Place = Literal["disk", "ram"]
StoreVerdict = Literal["answered", "fits", "does_not_fit"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
VECTORS: tuple[VectorKind, ...] = get_args(VectorKind)
INDEXES: tuple[IndexKind, ...] = get_args(IndexKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedder:
    """A model that turns a text into a vector. `context_tokens` counts special tokens too.

    `dimension_min` is the shortest that its vectors may be cut to, 0: not told. `colbert_dimension` is that
    of a vector per token, 0 where the model gives none. `languages` is 'multilingual' or 'english'.
    """

    id: str
    revision: str
    license: str
    languages: str
    architecture: str
    layers_count: int
    hidden_dim: int
    feed_forward_dim: int
    is_causal: bool
    context_tokens: int
    tokenizer: str
    dimension: int
    dimension_min: int
    has_sparse: bool
    colbert_dimension: int
    parameters_count: int
    embedding_parameters_count: int
    sources: tuple[Source, ...]

    @property
    def block_parameters_count(self) -> int:
        """What a token is multiplied with: all but the embedding table."""
        return self.parameters_count - self.embedding_parameters_count


@dataclass(frozen=True, slots=True, kw_only=True)
class TextMeasurement:
    """A text, counted by a tokenizer. `distinct_per_512` is the mean of distinct tokens in 512."""

    text: str
    language: str
    tokenizer: str
    characters_count: int
    bytes_count: int
    tokens_count: int
    distinct_per_512: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PageMeasurement:
    """Characters (spaces included) that somebody counts as, or that were measured on, a page."""

    name: str
    characters_count: int
    basis: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingMeasurement:
    """Published or own throughput of an embedder on a device: tokens per second, texts of so many tokens.

    `device` is a catalog id, or 'cpu' with the number of cores.
    """

    model: str
    software: str
    device: str
    cores_count: int
    text_tokens: int
    tokens_per_s: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreMeasurement:
    """One figure of a real index (`bench/store_indexes.py`): `what` is 'disk text', 'ram', 'query' ..."""

    store: str
    version: str
    index: str
    vector: str
    chunks_count: int
    dimension: int
    m: int
    language: str
    characters_count: int
    text_bytes: int
    what: str
    value: float
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRecord:
    """A program that keeps vectors.

    `kinds` are the pairs of index and vector type that it builds. `holds_text` is false for a library that
    keeps vectors only. `keeps_originals`: a quantised index stands beside the vectors as they came, for
    rescoring.
    """

    id: str
    name: str
    package: str
    version: str
    kinds: tuple[tuple[IndexKind, VectorKind], ...]
    holds_text: bool
    keeps_originals: bool
    can_stay_on_disk: bool
    note: str
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A sentence about what belongs where, with who found it."""

    belongs_in: Literal["retrieval", "adapter", "both"]
    says: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of the arithmetic: what, how (in numbers), and its result."""

    what: str
    how: str
    estimate: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSetup:
    """One way to keep the chunks. `is_on_disk`: vectors are read from disk, not held in memory."""

    store: str
    index: IndexKind
    vector: VectorKind
    is_on_disk: bool = False

    @property
    def label(self) -> str:
        """'qdrant hnsw int8, vectors on disk'."""
        return f"{self.store} {self.index} {self.vector}{', vectors on disk' if self.is_on_disk else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreComponent:
    """What one part of a setup takes in one place, in bytes."""

    name: str
    place: Place
    estimate: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreWay:
    """A setup with its components and totals; `fits` is None where the machine's memory or disk is not
    told."""

    setup: StoreSetup
    components: tuple[StoreComponent, ...]
    disk: Estimate
    ram: Estimate
    query: Estimate | None
    fits: bool | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePlanAnswer:
    """The answer of `store-plan`: the arithmetic, the setup, what else there is, ranked."""

    question: str
    asked: Mapping[str, object]
    verdict: StoreVerdict
    reason: str
    embedder: Embedder
    steps: tuple[Step, ...]
    way: StoreWay
    ways: tuple[StoreWay, ...]
    embedding: tuple[Estimate, ...]
    query: tuple[Estimate, ...]
    facts: tuple[Fact, ...]
    notes: tuple[str, ...]
    unknowns: tuple[str, ...]
    sources: tuple[Source, ...]
    machine: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 answered or fits, 1 does not fit."""
        return 1 if self.verdict == "does_not_fit" else 0
