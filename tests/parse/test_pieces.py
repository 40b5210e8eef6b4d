"""Stored pieces, bytes and readable text."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from plimsoll.parse.pieces import BYTE_OF_LETTER, LETTER_OF_BYTE, joined, readable, shown, text_of


def test_byte_level_pieces_are_text() -> None:
    assert readable("ÐŁÑĢÐ¸", "byte_level") == "При"
    assert readable("Ġworld", "byte_level") == " world"
    assert readable("ĠÐ", "byte_level") == " <0xD0>"
    assert readable("<|im_end|>", "byte_level", is_added=True) == "<|im_end|>"


def test_sentencepiece_and_wordpiece() -> None:
    assert readable("▁При", "sentencepiece") == " При"
    assert readable("<0xD0>", "sentencepiece") == "<0xD0>"
    assert readable("<0x41>", "sentencepiece") == "A"
    assert readable("##ing", "wordpiece") == "ing"
    assert readable("##", "wordpiece") == "##"


def test_the_alphabet_is_one_letter_for_each_byte() -> None:
    assert sorted(BYTE_OF_LETTER.values()) == list(range(256))
    assert (LETTER_OF_BYTE[0x20], LETTER_OF_BYTE[0x0A], LETTER_OF_BYTE[0x41]) == ("Ġ", "Ċ", "A")


@given(st.text(), st.lists(st.integers(0, 200)))
def test_pieces_joined_are_the_text_wherever_it_is_cut(text: str, cuts: list[int]) -> None:
    letters = "".join(LETTER_OF_BYTE[b] for b in text.encode("utf-8", "surrogatepass"))
    edges = [0, *sorted(min(c, len(letters)) for c in cuts), len(letters)]
    pieces = [letters[a:b] for a, b in pairwise(edges)]
    assert joined(pieces, "byte_level") == text.encode("utf-8", "surrogatepass")


@given(st.binary())
def test_any_bytes_become_printable_text(data: bytes) -> None:
    text = text_of(data)
    assert text.encode().decode() == text
    if b"<0x" not in data:
        assert bytes_back(text) == data


def bytes_back(text: str) -> bytes:
    out, rest = b"", text
    while rest:
        if rest.startswith("<0x") and rest[5:6] == ">":
            out, rest = out + bytes([int(rest[3:5], 16)]), rest[6:]
        else:
            out, rest = out + rest[0].encode(), rest[1:]
    return out


@given(st.text(alphabet=st.characters()))
def test_a_cell_holds_only_what_prints(text: str) -> None:
    assert shown(text).isprintable()


def test_escapes() -> None:
    assert shown("a\n\u202e\ud800\U000e0001") == "a\\n\\u202e\\ud800\\U000e0001"
