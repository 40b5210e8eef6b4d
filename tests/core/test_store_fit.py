"""Predicted disk and memory beside indexes that were built and measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plimsoll.catalog import stores
from plimsoll.core.store_fit import FITTED_ON, built, compared, fit

BAR = 0.15


def test_every_measured_index_is_predicted_within_the_bar() -> None:
    learnt = stores.load_coefficients()
    found = [c for one in built(stores.load_measurements()) for c in compared(one, learnt)]
    assert {c.what for c in found} == {"disk", "ram"}
    assert {c.built.store for c in found} == {"lancedb", "qdrant", "faiss", "hnswlib", "usearch"}
    missed = [
        (c.built.store, c.built.index, c.built.chunks_count, c.what, c.miss)
        for c in found
        if abs(c.miss) > BAR
    ]
    assert missed == []


def test_the_shipped_coefficients_are_what_the_measurements_give() -> None:
    assert stores.load_coefficients() == fit(stores.load_measurements())


def test_indexes_of_another_size_change_no_coefficient() -> None:
    rows = stores.load_measurements()
    larger = [replace(r, chunks_count=50 * FITTED_ON, value=1.0) for r in rows]
    assert fit([*rows, *larger]) == fit(rows)


def test_rows_of_an_index_come_together() -> None:
    one = next(b for b in built(stores.load_measurements()) if b.store == "lancedb" and b.has_full_text)
    assert (one.index, one.vector) == ("ivf-pq", "pq")
    assert (
        one.disk("rows")
        < one.disk()
        == pytest.approx(sum(one.disk(k) for k in ("rows", "index", "full text", "metadata")))
    )
