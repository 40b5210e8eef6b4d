"""Chunks, overlaps and the work of embedding."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.formulas.text_store import (
    chunks_in_a_row,
    chunks_page_by_page,
    compute_seconds,
    encoder_flops_per_token,
    overlapped,
    sparse_bytes,
    token_vectors_bytes,
)


def test_chunks_of_a_long_text_advance_by_what_does_not_overlap() -> None:
    assert chunks_in_a_row(448_000, 512, 64) == 1000
    assert chunks_in_a_row(448_001, 512, 64) == 1001
    assert chunks_in_a_row(3, 512, 64) == 1


def test_page_by_page_a_short_page_is_one_chunk_and_a_long_one_several() -> None:
    assert chunks_page_by_page(10, 400, 512, 64) == 10
    assert chunks_page_by_page(10, 512, 512, 64) == 10
    assert chunks_page_by_page(10, 513, 512, 64) == 20


@given(st.integers(2, 4096), st.data())
def test_overlap_never_stores_less_than_the_text(chunk: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, chunk - 1))
    assert overlapped(1000.0, chunk, overlap) >= 1000.0


def test_an_encoder_multiplies_twice_its_blocks_and_attends() -> None:
    assert encoder_flops_per_token(300, 2, 10, 5, False) == 2 * 300 + 4 * 2 * 10 * 5
    assert encoder_flops_per_token(300, 2, 10, 6, True) == 2 * 300 + 4 * 2 * 10 * 3
    assert compute_seconds(100, 50.0, 1000.0) == 5.0


def test_a_vector_per_token_is_what_makes_terabytes() -> None:
    assert token_vectors_bytes(400_000_000, 1024, 4.0) == 1_638_400_000_000
    assert sparse_bytes(1000, 250.0) == pytest.approx(2_000_000)
