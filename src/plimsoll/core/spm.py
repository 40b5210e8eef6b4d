"""SentencePiece's merging by score, as llama.cpp does it for `tokenizer.ggml.model` = "llama".

Source: llm_tokenizer_spm_session and tokenizer_st_partition in src/llama-vocab.cpp of llama.cpp at 0c1e57098.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from plimsoll.domain.tokenizer import AddedToken
from plimsoll.errors import ReadError


class Span(NamedTuple):
    """A token and the characters of the text that it covers, wholly or in part."""

    id: int
    start: int
    end: int


class Fragment(NamedTuple):
    """A stretch of text between added tokens (`id` is -1) or an added token."""

    start: int
    end: int
    id: int


def cut(text: str, added: Sequence[AddedToken]) -> list[Fragment]:
    """The text with its added tokens cut out, the longest first, each from left to right."""
    fragments = [Fragment(0, len(text), -1)] if text else []
    for token in sorted(added, key=lambda t: -len(t.content.encode("utf-8", "surrogatepass"))):
        if token.content and token.content in text:
            fragments = [piece for whole in fragments for piece in _cut_one(text, whole, token)]
    return fragments


def _cut_one(text: str, whole: Fragment, token: AddedToken) -> list[Fragment]:
    if whole.id >= 0:
        return [whole]
    out, start = [], whole.start
    while (at := text.find(token.content, start, whole.end)) >= 0:
        if at > start:
            out.append(Fragment(start, at, -1))
        start = at + len(token.content)
        out.append(Fragment(at, start, token.id))
        while token.strips_right and start < whole.end and text[start] in " \t\n\v\f\r":
            start += 1
    return [*out, Fragment(start, whole.end, -1)] if start < whole.end else out


def encode(
    text: str, ids: Mapping[str, int], scores: Mapping[int, float], added: Sequence[AddedToken],
    *, adds_space: bool,
) -> list[Span]:  # fmt: skip
    """The tokens of a text: of all neighbours whose union is a token, the best-scored are merged first.

    `ids` maps stored pieces to ids. A space goes before each stretch that follows an added token or nothing,
    if `adds_space`. A character without a token becomes the tokens of its bytes; raises ReadError when the
    vocabulary has none for them.
    """
    out: list[Span] = []
    after_special = True
    for fragment in cut(text, added):
        if fragment.id >= 0:
            out.append(Span(fragment.id, fragment.start, fragment.end))
            after_special = True
            continue
        padded = adds_space and after_special
        part = (" " if padded else "") + text[fragment.start : fragment.end]
        shift = fragment.start - padded
        for span in _merged(part.replace(" ", "▁"), ids, scores):
            out.append(Span(span.id, max(span.start + shift, fragment.start), span.end + shift))
        after_special = False
    return out


def _merged(text: str, ids: Mapping[str, int], scores: Mapping[int, float]) -> list[Span]:
    """Merge until nothing merges. Symbols are linked by `after`; `ends` of a swallowed one is its start."""
    size = len(text)
    ends = list(range(1, size + 1))
    before = list(range(-1, size - 1))
    after = [*range(1, size), -1]
    queue: list[tuple[float, int, int, int]] = []
    halves: dict[str, int] = {}

    def offer(left: int, right: int) -> None:
        if left < 0 or right < 0:
            return
        token = ids.get(union := text[left : ends[right]])
        if token is not None:
            heapq.heappush(queue, (-scores.get(token, 0.0), left, right, len(union.encode())))
            halves[union] = ends[left] - left

    for left in range(size - 1):
        offer(left, left + 1)
    while queue:
        _, left, right, length = heapq.heappop(queue)
        if ends[left] == left or ends[right] == right or after[left] != right:
            continue
        if len(text[left : ends[right]].encode()) != length:
            continue
        ends[left] = ends[right]
        ends[right] = right
        after[left] = after[right]
        if after[right] >= 0:
            before[after[right]] = left
        offer(before[left], left)
        offer(left, after[left])
    out, at = [], 0
    while 0 <= at < size:
        out += _tokens_of(text, at, ends[at], ids, halves)
        at = after[at]
    return out


def _tokens_of(
    text: str, start: int, end: int, ids: Mapping[str, int], halves: Mapping[str, int]
) -> list[Span]:
    piece = text[start:end]
    token = ids.get(piece)
    if token is not None:
        return [Span(token, start, end)]
    if piece in halves:
        middle = start + halves[piece]
        return _tokens_of(text, start, middle, ids, halves) + _tokens_of(text, middle, end, ids, halves)
    spans = []
    for byte in piece.encode():
        found = ids.get(f"<0x{byte:02X}>", ids.get(chr(byte)) if byte < 128 else None)
        if found is None:
            raise ReadError(f"there is no token for the byte {byte:#04x}", where="tokenizer.ggml.tokens")
        spans.append(Span(found, start, end))
    return spans
