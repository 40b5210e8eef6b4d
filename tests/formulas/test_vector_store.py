"""Bytes of layouts, beside files that the programs wrote (`bench/store_indexes.py`)."""

from __future__ import annotations

import pytest

from plimsoll.formulas import vector_store as formulas


def test_hnswlib_file_of_2000_vectors_to_the_byte_but_for_its_header() -> None:
    # 2,000 x 1,024 with M 16: hnswlib 0.8.0 wrote 8,489,072 bytes; levels are drawn at random.
    assert formulas.hnswlib_bytes(2000, 1024, 16) == pytest.approx(8_489_072, rel=1e-4)


def test_usearch_file_of_2000_int8_vectors() -> None:
    # USearch 2.26.6 wrote 2,344,136 bytes.
    assert formulas.usearch_bytes(2000, 1024, "int8", 16) == pytest.approx(2_344_136, rel=1e-3)


def test_qdrant_packs_links_into_as_many_bits_as_their_gaps_need() -> None:
    # Qdrant Edge 0.9.0 wrote links_compressed.bin of 510,432 bytes for 10,000 random vectors with m 16.
    assert formulas.qdrant_links_bytes(10_000, 16) == pytest.approx(510_432, rel=0.03)
    per_node = [formulas.qdrant_links_bytes(n, 16) / n for n in (10_000, 100_000, 1_000_000)]
    assert per_node == sorted(per_node)
    assert per_node[-1] < 4 * 2 * 16 + 8


def test_qdrant_codes_pad_to_what_its_instructions_load() -> None:
    assert formulas.qdrant_codes_bytes(10, 1024, "int8") == 10 * 1028
    assert formulas.qdrant_codes_bytes(10, 1000, "int8") == 10 * (1008 + 4)
    assert formulas.qdrant_codes_bytes(10, 1000, "binary") == 10 * 128
    assert formulas.qdrant_codes_bytes(1000, 1024, "pq") == 1000 * 256 + 256 * 1024 * 4


def test_lancedb_index_of_10000_vectors() -> None:
    # LanceDB 0.40.0 wrote auxiliary.idx of 1,707,529 and index.idx of 4,427 bytes: 64 parts of 1,024 values.
    predicted = (
        formulas.pq_bytes(10_000, 1024, 16)
        + formulas.packed_ids_bytes(10_000)
        + formulas.centroids_bytes(1, 1024)
    )
    assert predicted == pytest.approx(1_707_529 + 4_427, rel=2e-3)
    assert formulas.partitions_count(200_000, 8192) == 24
    assert formulas.partitions_count(5, 8192) == 1


@pytest.mark.parametrize(
    ("vector", "size"), [("float32", 4096), ("float16", 2048), ("int8", 1024), ("binary", 128)]
)
def test_bytes_of_a_vector(vector: str, size: int) -> None:
    assert formulas.vectors_bytes(3, 1024, vector) == 3 * size


def test_a_search_reads_only_the_partitions_it_looks_into() -> None:
    assert formulas.ivf_scanned_bytes(1000, 64, 10, 2) == 12_800
    assert formulas.ivf_scanned_bytes(1000, 64, 10, 20) == 64_000
    assert formulas.hnsw_read_bytes(100, 1024, "int8") == 102_400
