"""How long a query takes and how long embedding does, from measured rates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median

from plimsoll.core.store_fit import Built
from plimsoll.core.store_parts import FAISS_PARTITION, LANCE_PARTITION, Wanted, code_bytes
from plimsoll.core.store_text import Corpora
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.store_plan import Embedder, EmbeddingMeasurement, StoreSetup
from plimsoll.formulas.text_store import compute_seconds, encoder_flops_per_token
from plimsoll.formulas.vector_store import hnsw_read_bytes, ivf_scanned_bytes, partitions_count

# What LanceDB looks into by default (`nprobes`), faiss by default 1.
_PROBES = {"lancedb": 20, "faiss": 1}
QUERY_TOKENS = 32
# A measurement of a text as short as a query tells how fast queries are embedded, a longer one chunks.
_SHORT_TOKENS = 64


def read_bytes(setup: StoreSetup, chunks: int, wanted: Wanted, per_ef: float) -> float:
    """Bytes of vectors or codes that one search compares."""
    if setup.index == "flat":
        return chunks * code_bytes(setup, wanted.dimension)
    if setup.index == "hnsw":
        walked = min(chunks, distances_count(chunks, wanted.ef, per_ef))
        value = "int8" if setup.store == "lancedb" else setup.vector
        return hnsw_read_bytes(walked, wanted.dimension, value)
    target = LANCE_PARTITION["ivf-pq"] if setup.store == "lancedb" else FAISS_PARTITION
    partitions = partitions_count(chunks, target)
    return ivf_scanned_bytes(chunks, code_bytes(setup, wanted.dimension), partitions, _PROBES[setup.store])


def distances_count(chunks: int, ef: int, per_ef: float) -> float:
    """Distances of one walk: ef x measured distances per candidate x ln(chunks) / ln(10,000).

    The walk's length grows with the logarithm of the number of nodes (Malkov and Yashunin, arXiv 1603.09320,
    section 4.2.1).
    """
    return ef * per_ef * math.log(max(chunks, 2)) / math.log(10_000)


def distances_per_ef(measured: Sequence[Built]) -> float:
    """Of measured walks at 10,000 chunks with ef 100."""
    found = [
        b.values["distances"] / 100 for b in measured if "distances" in b.values and b.chunks_count == 10_000
    ]
    return median(found)


def query_of(
    setup: StoreSetup, corpora: Corpora, wanted: Wanted, measured: Sequence[Built]
) -> Estimate | None:
    """Seconds of one search, without embedding the query: bytes compared / measured rate of this store and
    index.

    The rate is bytes compared / time over the measured indexes of this kind, from the slowest to the fastest.
    None where no index of this kind was measured or vectors are read from disk.
    """
    per_ef = distances_per_ef(measured)
    rates = [_rate(b, wanted, per_ef) for b in measured if b.store == setup.store and b.index == setup.index]
    if not rates or (setup.is_on_disk and setup.vector in ("float32", "float16")):
        return None
    return corpora.estimate(
        "search", "seconds", lambda c: read_bytes(setup, c.chunks, wanted, per_ef) / median(rates),
        basis="calibrated", formula="bytes compared / measured rate",
        inputs={"bytes per second": round(median(rates)), "measured indexes": len(rates)},
    ) if len(rates) == 1 else _between(setup, corpora, wanted, per_ef, rates)  # fmt: skip


def _between(
    setup: StoreSetup, corpora: Corpora, wanted: Wanted, per_ef: float, rates: Sequence[float]
) -> Estimate:
    low, value, high = (
        read_bytes(setup, c.chunks, wanted, per_ef) / rate
        for c, rate in (
            (corpora.low, max(rates)), (corpora.value, median(rates)), (corpora.high, min(rates)),
        )
    )  # fmt: skip
    return Estimate(
        quantity="search", unit="seconds", value=value, low=min(low, value), high=max(high, value),
        basis="calibrated", formula="bytes compared / measured rate",
        inputs={"bytes per second": round(median(rates)), "measured indexes": len(rates)},
        samples_count=len(rates),
    )  # fmt: skip


def _rate(b: Built, wanted: Wanted, per_ef: float) -> float:
    setup = StoreSetup(store=b.store, index=b.index, vector=b.vector)
    as_built = Wanted(
        language=b.language,
        dimension=b.dimension,
        m=b.m,
        ef=wanted.ef,
        has_full_text=False,
        has_sparse=False,
        colbert_dimension=0,
    )
    return read_bytes(setup, b.chunks_count, as_built, per_ef) / (b.values["query"] / 1e3)


def flops_of(embedder: Embedder, text_tokens: int) -> float:
    """Operations of one token in a text of so many."""
    return encoder_flops_per_token(
        embedder.block_parameters_count,
        embedder.layers_count,
        embedder.hidden_dim,
        text_tokens,
        embedder.is_causal,
    )


def shares_of_peak(
    measured: Sequence[EmbeddingMeasurement], embedders: Mapping[str, Embedder], peaks: Mapping[str, float]
) -> list[float]:
    """Of measured cards: operations per second / dense 16-bit peak."""
    return [
        m.tokens_per_s * flops_of(embedders[m.model], m.text_tokens) / peaks[m.device]
        for m in measured if m.device in peaks
    ]  # fmt: skip


def flops_per_core(
    measured: Sequence[EmbeddingMeasurement], embedders: Mapping[str, Embedder], *, is_query: bool
) -> list[float]:
    """Of measured processors: operations per second and core, for chunks or for texts as short as a query."""
    return [
        m.tokens_per_s * flops_of(embedders[m.model], m.text_tokens) / m.cores_count
        for m in measured if m.device == "cpu" and (m.text_tokens <= _SHORT_TOKENS) == is_query
    ]  # fmt: skip


def seconds_of(
    what: str, corpora: Corpora, embedder: Embedder, chunk_tokens: int, rates: Sequence[float],
    inputs: dict[str, object],
) -> Estimate:  # fmt: skip
    """Seconds to embed all chunks at the median of measured rates, from the fastest to the slowest."""
    per_token = flops_of(embedder, chunk_tokens)
    low, value, high = (
        compute_seconds(c.stored_tokens, per_token, rate)
        for c, rate in (
            (corpora.low, max(rates)), (corpora.value, median(rates)), (corpora.high, min(rates)),
        )
    )  # fmt: skip
    return Estimate(
        quantity=what,
        unit="seconds",
        value=value,
        low=low,
        high=high,
        basis="calibrated",
        formula="formulas.text_store:compute_seconds",
        samples_count=len(rates),
        inputs={
            "operations per token": round(per_token),
            "operations per second": round(median(rates)),
            **inputs,
        },
    )


def query_embedding(embedder: Embedder, cores_count: int, rates: Sequence[float]) -> Estimate:
    """Seconds to embed a query of 32 tokens on a processor."""
    work = QUERY_TOKENS * flops_of(embedder, QUERY_TOKENS)
    return Estimate(
        quantity=f"embedding the query on {cores_count} cores",
        unit="seconds",
        value=work / (median(rates) * cores_count),
        low=work / (max(rates) * cores_count),
        high=work / min(rates),
        basis="calibrated",
        formula="32 tokens x operations / (operations per second and core x cores)",
        inputs={"operations": round(work), "operations per second and core": round(median(rates))},
        samples_count=len(rates),
    )


def query_on_card(embedder: Embedder, bandwidth_bytes_per_s: float) -> Estimate:
    """At least the time to read the weights of the blocks once in 16 bits; how much more is not known."""
    least = 2 * embedder.block_parameters_count / bandwidth_bytes_per_s
    return Estimate(
        quantity="embedding the query on a card, at least",
        unit="seconds",
        value=least,
        low=least,
        high=least,
        basis="formula",
        formula="2 bytes x parameters of the blocks / bandwidth",
        inputs={"bytes per second": bandwidth_bytes_per_s},
    )
