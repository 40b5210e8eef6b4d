"""Caches and state by the engine's own rules, worked by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.formulas.kv_cache import cells_bytes, padded, state_bytes, window_cells


def test_full_cache_is_cells_times_layers_times_rows() -> None:
    # Qwen3-30B-A3B at 131,072 tokens: 48 layers, 4 KV heads of 128; the engine prints 12,288 MiB.
    assert cells_bytes(131072, 1, [[48, 512, 512]], "f16", "f16") == 12288 * 2**20


def test_quantised_rows_count_blocks() -> None:
    # q8_0 keeps 32 values in 34 bytes, q4_0 in 18.
    assert cells_bytes(256, 2, [[1, 128, 64]], "q8_0", "q4_0") == 256 * 2 * (4 * 34 + 2 * 18)


def test_latent_cache_has_no_values() -> None:
    assert cells_bytes(4096, 1, [[61, 576, 0]], "f16", "f16") == 4096 * 61 * 576 * 2


def test_a_row_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="do not divide"):
        cells_bytes(256, 1, [[1, 80, 80]], "q8_0", "f16")


@pytest.mark.parametrize(
    ("context", "window", "sequences", "extra", "cells"),
    [
        (131072, 128, 1, 512, 768),  # gpt-oss, one slot: 640 padded to 256
        (131072, 128, 4, 512, 1024),  # four slots in one stream
        (16384, 1024, 1, 512, 1536),  # Gemma 4 12B
        (16384, 1024, 4, 512, 4608),
        (512, 1024, 1, 512, 512),  # never more than the context
    ],
)
def test_window_cells_as_logged(context: int, window: int, sequences: int, extra: int, cells: int) -> None:
    assert window_cells(context, window, sequences, extra, 256) == cells


def test_state_is_aligned_per_tensor() -> None:
    # 27 GB class of Qwen3.5: 48 linear layers, conv 3 x 10,240 and 48 heads of 128 x 128: 149.6 MiB per slot.
    rows = [[48, 3 * 10240, 48 * 128 * 128]]
    assert state_bytes(1, rows, 4, 32) == 48 * 4 * (3 * 10240 + 48 * 128 * 128)
    assert state_bytes(1, [[2, 3, 0]], 4, 32) == 2 * 32


@given(st.integers(1, 10**6), st.sampled_from([32, 256]))
def test_padding_reaches_the_next_multiple(count: int, multiple: int) -> None:
    assert count <= padded(count, multiple) < count + multiple
    assert padded(count, multiple) % multiple == 0


@given(st.integers(1, 2**20), st.integers(1, 2**20), st.integers(1, 8))
def test_more_context_never_needs_fewer_window_cells(context: int, more: int, sequences: int) -> None:
    fewer = window_cells(context, 1024, sequences, 512, 256)
    assert window_cells(context + more, 1024, sequences, 512, 256) >= fewer
