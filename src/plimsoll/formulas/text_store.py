"""From pages to tokens, chunks and the work of embedding them."""

from __future__ import annotations

import math


def chunks_in_a_row(tokens_count: float, chunk_tokens: int, overlap_tokens: int) -> int:
    """Chunks of texts much longer than a chunk: ceil(tokens / (chunk - overlap)); at least one."""
    return max(1, math.ceil(tokens_count / (chunk_tokens - overlap_tokens)))


def chunks_page_by_page(
    pages_count: int, tokens_per_page: float, chunk_tokens: int, overlap_tokens: int
) -> int:
    """Chunks where none crosses a page: pages x max(1, ceil((tokens of a page - overlap) / (chunk -
    overlap)))."""
    rest = max(0.0, tokens_per_page - overlap_tokens)
    return pages_count * max(1, math.ceil(rest / (chunk_tokens - overlap_tokens)))


def overlapped(amount: float, chunk_tokens: int, overlap_tokens: int) -> float:
    """What is stored of an amount of text whose chunks overlap: amount x chunk / (chunk - overlap)."""
    return amount * chunk_tokens / (chunk_tokens - overlap_tokens)


def encoder_flops_per_token(
    block_parameters_count: int, layers_count: int, hidden_dim: int, text_tokens: int, is_causal: bool
) -> float:
    """Operations of one token of an encoder's forward pass.

    2 x parameters of the blocks (a multiplication and an addition each; the embedding table is only looked
    up) + 4 x layers x hidden x tokens attended to (scores and weighted sum); a causal model attends to half
    the text on average. Kaplan et al., arXiv 2001.08361, section 2.1, with attention counted besides.
    """
    attended = text_tokens / 2 if is_causal else text_tokens
    return 2.0 * block_parameters_count + 4.0 * layers_count * hidden_dim * attended


def compute_seconds(tokens_count: float, flops_per_token: float, flops_per_s: float) -> float:
    """tokens x operations per token / operations per second that are reached."""
    return tokens_count * flops_per_token / flops_per_s


def sparse_bytes(chunks_count: int, distinct_tokens: float) -> int:
    """Weights of the distinct tokens of each chunk: (4 bytes of token id + 4 of weight) x tokens x chunks."""
    return round(chunks_count * distinct_tokens * 8)


def token_vectors_bytes(tokens_count: float, dimension: int, value_bytes: float) -> int:
    """A vector per token (ColBERT): tokens x dimension x bytes per value."""
    return round(tokens_count * dimension * value_bytes)
