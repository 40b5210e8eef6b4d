"""Bytes of vectors, codes, graphs, ids and logs, as each store lays them out.

Layouts were read in the sources of the releases that `catalog/stores` names.
"""

from __future__ import annotations

import math

MIB = 1024 * 1024
VALUE_BYTES = {"float32": 4.0, "float16": 2.0, "int8": 1.0, "binary": 1 / 8, "pq": 1 / 4}
# Product quantisation: 8 bits per part; LanceDB and faiss cut 16 values into a part, Qdrant's x16 4 values.
PQ_CENTROIDS = 256


def vectors_bytes(chunks_count: int, dimension: int, vector: str) -> int:
    """chunks x dimension x bytes per value (float32 4, float16 2, int8 1, binary 1/8)."""
    return math.ceil(chunks_count * dimension * VALUE_BYTES[vector])


def pq_bytes(chunks_count: int, dimension: int, values_per_part: int) -> int:
    """chunks x parts of 8 bits + the codebook of 256 centroids x dimension x 4 bytes."""
    parts = -(-dimension // values_per_part)
    return chunks_count * parts + PQ_CENTROIDS * dimension * 4


def packed_ids_bytes(chunks_count: int) -> int:
    """Row ids bit-packed by LanceDB: chunks x bits of the largest id / 8."""
    return math.ceil(chunks_count * max(1, (chunks_count - 1).bit_length()) / 8)


def partitions_count(chunks_count: int, target: int) -> int:
    """Partitions of an inverted file (LanceDB): chunks / target size, at least one, at most 4,096."""
    return min(4096, max(1, chunks_count // target))


def centroids_bytes(partitions: int, dimension: int) -> int:
    """partitions x dimension x 4 bytes."""
    return partitions * dimension * 4


def upper_levels(m: int) -> float:
    """Levels of a node above the lowest, on average: 1 / (m - 1), as levels are floor(-ln(u) / ln(m))."""
    return 1.0 / (m - 1)


def hnswlib_bytes(chunks_count: int, dimension: int, m: int) -> int:
    """hnswlib: chunks x (vector + 4 + 4 x 2m links + 8 label + 4 size of upper links + levels x (4 + 4m)).

    `size_data_per_element_` and `size_links_per_element_` in hnswlib/hnswalg.h 0.8.0.
    """
    node = dimension * 4 + 4 + 8 * m + 8 + 4 + upper_levels(m) * (4 + 4 * m)
    return math.ceil(chunks_count * node)


def faiss_hnsw_bytes(chunks_count: int, dimension: int, m: int) -> int:
    """faiss IndexHNSWFlat: chunks x (vector + 4 level + 8 offset + 4 x (2m + levels x m) links)."""
    return math.ceil(chunks_count * (dimension * 4 + 4 + 8 + 4 * (2 * m + upper_levels(m) * m)))


def faiss_ivf_pq_bytes(chunks_count: int, dimension: int, partitions: int, values_per_part: int) -> int:
    """faiss IndexIVFPQ: codes and codebook + 8 bytes of id per chunk + centroids."""
    codes = pq_bytes(chunks_count, dimension, values_per_part)
    return codes + 8 * chunks_count + centroids_bytes(partitions, dimension)


def usearch_bytes(chunks_count: int, dimension: int, vector: str, m: int) -> int:
    """usearch: chunks x (vector + 8 key + 2 level + 2 in the table of levels + 4 + 8m links + levels x (4 +
    4m))."""
    node = dimension * VALUE_BYTES[vector] + 8 + 2 + 2 + 4 + 8 * m + upper_levels(m) * (4 + 4 * m)
    return math.ceil(chunks_count * node)


def qdrant_links_bytes(chunks_count: int, m: int) -> int:
    """Qdrant's compressed graph: links sorted, stored as differences of as many bits as the largest needs.

    chunks x (5 bits + 2m x bits of the largest difference) / 8, + levels x the same of m links,
    + 4 bytes (`reindex`) and 2 bytes of offset per chunk. The largest of k gaps between k of n random ids is
    n / k x (1 + 1/2 + ... + 1/k) on average. An upper bound: where vectors cluster, fewer links are kept
    (lib/segment/src/index/hnsw_index/graph_links and lib/common/common/src/bitpacking_links.rs, commit
    74f3e85b).
    """
    lowest = _packed_links_bytes(chunks_count, 2 * m)
    above = _packed_links_bytes(max(2, chunks_count // m), m) * upper_levels(m)
    return math.ceil(chunks_count * (lowest + above + 4 + 2))


def _packed_links_bytes(ids_count: int, links_count: int) -> float:
    harmonic = sum(1 / i for i in range(1, links_count + 1))
    gap = max(1.0, ids_count / links_count * harmonic)
    bits = max(7, math.ceil(math.log2(gap + 1)))
    return (5 + min(links_count, ids_count) * bits) / 8


def qdrant_codes_bytes(chunks_count: int, dimension: int, vector: str) -> int:
    """Qdrant's quantised copy: int8 = dimension rounded up to 16, + 4 bytes of offset; binary = bits rounded
    up to 128; pq = a byte for 4 values (x16) + codebook (lib/quantization/src, commit 74f3e85b)."""
    if vector == "int8":
        return chunks_count * (-(-dimension // 16) * 16 + 4)
    if vector == "binary":
        return chunks_count * (-(-dimension // 128) * 16)
    return pq_bytes(chunks_count, dimension, 4)


def qdrant_ids_bytes(chunks_count: int) -> int:
    """13 bytes of mapping and 8 of version per point (immutable id tracker), and 2 x 2 flag bits."""
    return chunks_count * (13 + 8) + chunks_count // 2


def qdrant_payload_bytes(chunks_count: int, packed_chunk_bytes: float) -> int:
    """Each payload compressed by LZ4, in blocks of 128 bytes; + 16 bytes of pointer (lib/blobstore commit
    74f3e85b).

    On average half a block is left empty at the end of a payload.
    """
    return math.ceil(chunks_count * (packed_chunk_bytes + 64 + 16))


def ivf_scanned_bytes(chunks_count: int, code_bytes: float, partitions: int, probes: int) -> float:
    """Codes that a query reads: chunks x code / partitions x probes."""
    return chunks_count * code_bytes * min(probes, partitions) / partitions


def hnsw_read_bytes(distances_count: float, dimension: int, vector: str) -> float:
    """Vectors that a walk through the graph compares: distances x dimension x bytes per value."""
    return distances_count * dimension * VALUE_BYTES[vector]
