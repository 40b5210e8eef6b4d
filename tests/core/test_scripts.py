"""What text costs, by script."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.core.scripts import encoded, script_of, scripts_of
from plimsoll.domain.tokenizer import Token


def letters(text: str) -> list[Token]:
    """One token for each character."""
    return [Token(id=ord(c), stored=c, piece=c, start=i, end=i + 1) for i, c in enumerate(text)]


@pytest.mark.parametrize(
    ("character", "script"),
    [
        ("a", "Latin"), ("é", "Latin"), ("ж", "Cyrillic"), ("中", "Han"), ("あ", "Kana"), ("カ", "Kana"),
        ("한", "Hangul"), ("ש", "Hebrew"), ("ع", "Arabic"), ("न", "Devanagari"), ("7", "Digits"),
        ("٣", "Digits"), (" ", "Spaces"), ("\u3000", "Spaces"), ("\n", "Spaces"), ("。", "Signs"),
        ("$", "Signs"), ("😀", "Emoji"), ("⚓", "Emoji"), ("\u200d", "Emoji"),
        ("©", "Signs"), ("\x00", "Signs"),
    ],
)  # fmt: skip
def test_scripts(character: str, script: str) -> None:
    assert script_of(character) == script


def test_marks_belong_to_what_they_stand_on() -> None:
    assert scripts_of("e\u0301и\u0306") == ["Latin"] * 2 + ["Cyrillic"] * 2


def test_words_are_counted_only_where_spaces_part_them() -> None:
    text = "два слова, two 三个字"
    found = encoded("x", text, letters(text), added_count=None, keeps_tokens=False)
    by = {s.script: s for s in found.scripts}
    assert (by["Cyrillic"].words_count, by["Latin"].words_count, by["Han"].words_count) == (2, 1, None)
    assert by["Cyrillic"].tokens_per_word == 4.0
    assert by["Han"].tokens_per_word is None
    assert (found.words_count, found.tokens_per_word) == (4, round(len(text) / 4, 4))


def test_a_token_counts_for_its_letters_and_special_ones_apart() -> None:
    tokens = [
        Token(id=i, stored="", piece="", start=start, end=end)
        for i, start, end in ((1, 0, 3), (2, 3, 6), (3, 6, 8))
    ]
    found = encoded(
        "x", " жж<s> 7", tokens, added_count=0, keeps_tokens=True, special_ids=frozenset({2}),
        unknown_ids=frozenset({3}),
    )  # fmt: skip
    assert {s.script: s.tokens_count for s in found.scripts if s.tokens_count} == {
        "Cyrillic": 1, "Special": 1, "Digits": 1,
    }  # fmt: skip
    assert found.lost_count == 1


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_scripts_sum_to_the_whole(text: str) -> None:
    found = encoded("x", text, letters(text), added_count=None, keeps_tokens=False)
    assert sum(s.tokens_count for s in found.scripts) == found.tokens_count == len(text)
    assert sum(s.characters_count for s in found.scripts) == len(text)
