"""The same text under several tokenizers: what it costs in context and in time."""

from __future__ import annotations

from collections.abc import Sequence

from plimsoll.domain.tokenizer import Compared, Encoded


def compared(
    id: str, *, vocab_count: int | None, encoded: Sequence[Encoded], first_tokens_count: int | None,
    context_tokens: int | None, unknown: str = "",
) -> Compared:  # fmt: skip
    """One row of a comparison.

    ratio = tokens / tokens of the first; relative time = ratio, for reading and for writing alike, at
    equal tokens per second; context share = tokens / context;
    characters per context = context x characters / tokens.
    """
    if unknown or not encoded:
        return Compared(
            id=id, vocab_count=vocab_count, tokens_count=None, ratio=None, relative_time=None,
            context_tokens=context_tokens, context_share=None, characters_per_context=None,
            unknown=unknown or "no text",
        )  # fmt: skip
    tokens = sum(e.tokens_count for e in encoded)
    characters = sum(e.characters_count for e in encoded)
    ratio = round(tokens / first_tokens_count, 4) if first_tokens_count else None
    fits = context_tokens is not None and tokens > 0
    return Compared(
        id=id, vocab_count=vocab_count, tokens_count=tokens, ratio=ratio, relative_time=ratio,
        context_tokens=context_tokens,
        context_share=round(tokens / context_tokens, 6) if context_tokens else None,
        characters_per_context=context_tokens * characters // tokens if fits and context_tokens else None,
        by_label={e.label: e.tokens_count for e in encoded}, lost_count=sum(e.lost_count for e in encoded),
    )  # fmt: skip
