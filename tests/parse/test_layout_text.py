"""The little language of copies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.domain.copies import Copy
from plimsoll.errors import BadSetting
from plimsoll.parse.layout_text import layout

ONE = Copy(cards_count=1)
TWO = Copy(cards_count=2, split="tensor")
FOUR = Copy(cards_count=4, split="tensor")


@pytest.mark.parametrize(
    ("text", "copies"),
    [
        ("1x tp8", (Copy(cards_count=8, split="tensor"),)), ("tp8", (Copy(cards_count=8, split="tensor"),)),
        ("8x tp1", (ONE,) * 8), ("8xtp1", (ONE,) * 8), ("8 × TP1", (ONE,) * 8), ("8*tp1", (ONE,) * 8),
        ("tp4 + 4x tp1", (FOUR, ONE, ONE, ONE, ONE)), ("tp4+2x tp2", (FOUR, TWO, TWO)),
        ("2x pp4", (Copy(cards_count=4, split="pipeline"),) * 2),
        ("layer8", (Copy(cards_count=8, split="layer"),)),
        ("tp-4", (FOUR,)), ("pp1", (ONE,)),
    ],
)  # fmt: skip
def test_copies_are_counted_with_their_cards(text: str, copies: tuple[Copy, ...]) -> None:
    found = layout(text, cards_count=8)
    assert found.copies == copies
    assert found.cards_count == sum(copy.cards_count for copy in copies)


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("9x tp1", "9 copies need as many cards", "8x tp1"), ("tp16", "needs 16 cards", "8x tp1"),
        ("tp8 + tp1", "needs 9 cards", "8x tp1"), ("", "names no copy", "such as"),
        ("tp8 +", "names no copy", "such as"),
        ("eight", "is no copy", "such as"), ("tp", "is no copy", "such as"), ("8", "is no copy", "such as"),
        ("8x tpp1", "no way over several cards", "did you mean tp"), ("dp8", "how many cards", "8x tp1"),
        ("0x tp1", "0 of something", "at least one"), ("tp0", "0 of something", "at least one"),
        ("9999x tp9999", "copies need", "8x tp1"),
    ],
)  # fmt: skip
def test_what_is_no_layout_is_refused_with_a_way_out(text: str, says: str, hint: str) -> None:
    with pytest.raises(BadSetting) as caught:
        layout(text, cards_count=8)
    assert says in caught.value.message
    assert hint in caught.value.hint


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=4))
def test_what_is_written_is_read(terms: list[tuple[int, int]]) -> None:
    text = " + ".join(f"{count}x tp{cards}" for count, cards in terms)
    found = layout(text, cards_count=64)
    assert [c.cards_count for c in found.copies] == [cards for count, cards in terms for _ in range(count)]


@given(st.text(max_size=30))
def test_whatever_is_typed_errors_are_typed(text: str) -> None:
    try:
        found = layout(text, cards_count=8)
    except BadSetting:
        return
    assert 1 <= found.cards_count <= 8
