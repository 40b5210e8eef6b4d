"""Bytes of the attention cache and of recurrent state."""

from __future__ import annotations

from collections.abc import Sequence

from plimsoll.formulas.formats import row_bytes


def padded(count: int, multiple: int) -> int:
    """`count` rounded up to a multiple."""
    return -(-count // multiple) * multiple


def cells_bytes(
    cells_count: int, streams_count: int, rows: Sequence[Sequence[int]], format_k: str, format_v: str
) -> int:
    """Bytes of one attention cache that holds `cells_count` tokens for each of `streams_count` sequences.

    cells x streams x sum over rows of layers x (row_bytes(format_k, keys) + row_bytes(format_v, values)),
    with rows = [[layers_count, key_values_count, value_values_count], ...] per token.
    Raises ValueError when a row does not divide into the format's blocks, as ggml refuses it.
    Source: llama_kv_cache's constructor, src/llama-kv-cache.cpp of ggml-org/llama.cpp@0c1e57098.
    """
    per_cell = 0
    for layers_count, key_values, value_values in rows:
        key = row_bytes(format_k, key_values) if key_values else 0
        value = row_bytes(format_v, value_values) if value_values else 0
        per_cell += layers_count * (key + value)
    return cells_count * streams_count * per_cell


def window_cells(
    context_cells: int, window_tokens: int, sequences_count: int, extra_tokens: int, padding_tokens: int
) -> int:
    """Cells of a sliding window's cache: min(context, padded(window x sequences + extra)).

    `sequences_count` is 1 unless the sequences share one stream; `extra_tokens` is the batch that may be
    written before old cells are dropped. The padding comes last, so a short context is padded, too.
    Source: llama_kv_cache_iswa, src/llama-kv-cache-iswa.cpp of ggml-org/llama.cpp@0c1e57098.
    """
    return padded(min(context_cells, window_tokens * sequences_count + extra_tokens), padding_tokens)


def state_bytes(
    sequences_count: int, rows: Sequence[Sequence[int]], value_bytes: int, alignment_bytes: int
) -> int:
    """Bytes of the recurrent state: sum over rows of layers x (conv + ssm), each tensor aligned.

    rows = [[layers_count, conv_values_count, ssm_values_count], ...] per sequence; each of the two tensors
    of a layer takes sequences x values x value_bytes, rounded up to the buffer's alignment.
    Source: llama_memory_recurrent's constructor, src/llama-memory-recurrent.cpp of
    ggml-org/llama.cpp@0c1e57098.
    """
    total = 0
    for layers_count, conv_values, ssm_values in rows:
        for values in (conv_values, ssm_values):
            total += layers_count * padded(sequences_count * values * value_bytes, alignment_bytes)
    return total
