"""Merging by score, against a slow and plain version of the same rule."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.core.spm import Fragment, Span, cut, encode
from plimsoll.domain.tokenizer import AddedToken
from plimsoll.errors import ReadError

BYTES = {f"<0x{b:02X}>": b for b in range(256)}


def plain(text: str, ids: dict[str, int], scores: dict[int, float]) -> list[int]:
    """Scan all neighbours, merge the best (the leftmost of equals), begin again."""
    parts = list(text)
    while True:
        found = [(-scores[ids[a + b]], i) for i, (a, b) in enumerate(pairwise(parts)) if a + b in ids]
        if not found:
            break
        _, at = min(found)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return [i for part in parts for i in ([ids[part]] if part in ids else list(part.encode()))]


@given(
    st.lists(st.text("abc▁", min_size=1, max_size=4), unique=True, max_size=12),
    st.lists(st.integers(-9, 9), min_size=12, max_size=12),
    st.text("abc d", max_size=16),
)
def test_the_same_tokens_as_a_plain_search(words: list[str], values: list[int], text: str) -> None:
    ids = BYTES | {word: 256 + i for i, word in enumerate(words)}
    scores = {i: float(v) for i, v in enumerate([0] * 256 + values)}
    spans = encode(text, ids, scores, (), adds_space=False)
    assert [s.id for s in spans] == plain(text.replace(" ", "▁"), ids, scores)
    assert all(0 <= s.start < s.end <= len(text) for s in spans)
    texts = {id: word for word, id in ids.items()}
    back = b"".join(bytes([s.id]) if s.id < 256 else texts[s.id].encode() for s in spans)
    assert back.decode().replace("▁", " ") == text


def test_a_space_goes_before_the_first_word_and_after_special_tokens() -> None:
    ids = BYTES | {"▁": 300, "a": 301, "▁a": 302}
    added = (AddedToken(id=9, content="<s>", is_special=True),)
    scores = {300: -1.0, 301: -2.0, 302: -3.0}
    assert encode("a<s>a", ids, scores, added, adds_space=True) == [
        Span(302, 0, 1),
        Span(9, 1, 4),
        Span(302, 4, 5),
    ]
    assert encode("a<s>a", ids, scores, added, adds_space=False) == [
        Span(301, 0, 1),
        Span(9, 1, 4),
        Span(301, 4, 5),
    ]


def test_longer_added_tokens_are_cut_out_first() -> None:
    added = (AddedToken(id=1, content="<s>"), AddedToken(id=2, content="<s><s>", strips_right=True))
    assert cut("x<s><s>  y<s>", added) == [
        Fragment(0, 1, -1), Fragment(1, 7, 2), Fragment(9, 10, -1), Fragment(10, 13, 1),
    ]  # fmt: skip
    assert cut("", added) == []
    assert cut("<s>", (AddedToken(id=1, content=""),)) == [Fragment(0, 3, -1)]


def test_a_vocabulary_without_bytes_is_an_error_for_what_it_lacks() -> None:
    assert encode("a", {"a": 0}, {}, (), adds_space=False) == [Span(0, 0, 1)]
    with pytest.raises(ReadError, match="no token for the byte 0xc3"):
        encode("é", {"a": 0}, {}, (), adds_space=False)
