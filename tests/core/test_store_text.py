"""Rates of texts, and a corpus counted low and high."""

from __future__ import annotations

import pytest

from plimsoll.core.store_text import Chunking, corpora_of, rates_of
from plimsoll.domain.store_plan import PageMeasurement, TextMeasurement


def text(language: str, characters: int, size: int, tokens: int) -> TextMeasurement:
    return TextMeasurement(
        text="t", language=language, tokenizer="xlm-roberta", characters_count=characters, bytes_count=size,
        tokens_count=tokens, distinct_per_512=200.0, source="s",
    )  # fmt: skip


TEXTS = [text("ru", 4000, 7200, 1000), text("ru", 6000, 11000, 2000), text("en", 8000, 8000, 2000)]
PAGES = [
    PageMeasurement(name="n", characters_count=1000, basis="norm", source="s"),
    PageMeasurement(name="m", characters_count=2000, basis="measured", source="s"),
    PageMeasurement(name="n", characters_count=4000, basis="norm", source="s"),
]
CHUNKING = Chunking(chunk_tokens=500, overlap_tokens=100)


def test_the_rate_is_of_all_texts_and_its_ends_are_single_ones() -> None:
    rates = rates_of(TEXTS, PAGES, "ru", "xlm-roberta", None)
    assert rates.token.value == pytest.approx(10_000 / 3000)
    assert (rates.token.low, rates.token.high) == (3.0, 4.0)
    assert (rates.page.low, rates.page.value, rates.page.high) == (1000, 2000, 4000)


def test_mixed_is_as_much_text_of_either() -> None:
    rates = rates_of(TEXTS, PAGES, "mixed", "xlm-roberta", 1800)
    assert rates.token.value == pytest.approx(2 / (3000 / 10_000 + 2000 / 8000))
    assert rates.character_bytes.value == pytest.approx((18_200 / 10_000 + 1.0) / 2)
    assert (rates.page.low, rates.page.high) == (1800, 1800)


def test_low_value_and_high_stand_in_that_order() -> None:
    corpora = corpora_of(100, rates_of(TEXTS, PAGES, "ru", "xlm-roberta", None), CHUNKING)
    for name in ("characters", "text_bytes", "tokens", "chunks", "stored_bytes", "stored_tokens"):
        low, value, high = (getattr(c, name) for c in (corpora.low, corpora.value, corpora.high))
        assert low < value < high, name


def test_at_the_high_end_every_short_page_is_a_chunk_of_its_own() -> None:
    short = rates_of(TEXTS, PAGES, "ru", "xlm-roberta", 90)
    corpora = corpora_of(100, short, CHUNKING)
    assert corpora.high.chunks == 100
    assert corpora.value.chunks == 7
