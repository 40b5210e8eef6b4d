"""How much text, how many tokens and chunks: the arithmetic before any store, with its interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean

from plimsoll.domain.bill import Basis
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.store_plan import Embedder, Language, PageMeasurement, Step, TextMeasurement
from plimsoll.formulas.text_store import chunks_in_a_row, chunks_page_by_page, overlapped

_SPOKEN: dict[Language, tuple[str, ...]] = {"ru": ("ru",), "en": ("en",), "mixed": ("ru", "en")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A measured rate: over all texts together, and the lowest and highest of single ones."""

    value: float
    low: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> Rate:
        """A rate that somebody told."""
        return cls(value=value, low=value, high=value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Characters per page and per token, bytes per character, distinct tokens in 512."""

    page: Rate
    token: Rate
    character_bytes: Rate
    distinct: Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunking:
    """Tokens of a chunk, and how many of them the next one repeats."""

    chunk_tokens: int
    overlap_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """A body of text at one end of the interval, or in its middle. Stored = with the overlaps."""

    pages_count: int
    characters: float
    text_bytes: float
    tokens: float
    chunks: int
    stored_characters: float
    stored_bytes: float
    stored_tokens: float
    distinct_tokens: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpora:
    """The same text counted low, in the middle and high."""

    low: Corpus
    value: Corpus
    high: Corpus

    def estimate(
        self, quantity: str, unit: str, count: Callable[[Corpus], float], *, basis: Basis = "formula",
        formula: str, inputs: dict[str, object] | None = None,
    ) -> Estimate:  # fmt: skip
        """A number of the corpus with its interval."""
        low, value, high = (count(c) for c in (self.low, self.value, self.high))
        return Estimate(
            quantity=quantity,
            unit=unit,
            value=value,
            low=min(low, value),
            high=max(high, value),
            basis=basis,
            formula=formula,
            inputs=inputs or {},
        )


def rates_of(
    texts: Sequence[TextMeasurement], pages: Sequence[PageMeasurement], language: Language, tokenizer: str,
    characters_per_page: int | None,
) -> Rates:  # fmt: skip
    """The rates of a language with a tokenizer.

    Value = all characters / all tokens of the measured texts (mixed: as much text of either language); low
    and high are the extremes of single texts. A page: the mean of those measured, between the two norms.
    """
    per_token = [_rate(texts, each, tokenizer, lambda t: t.characters_count, lambda t: t.tokens_count)
                 for each in _SPOKEN[language]]  # fmt: skip
    per_character = [_rate(texts, each, tokenizer, lambda t: t.bytes_count, lambda t: t.characters_count)
                     for each in _SPOKEN[language]]  # fmt: skip
    distinct = [
        t.distinct_per_512
        for t in texts
        if t.language in _SPOKEN[language] and t.tokenizer == tokenizer and t.tokens_count >= 512
    ]
    norms = [p.characters_count for p in pages if p.basis == "norm"]
    measured = mean(p.characters_count for p in pages if p.basis == "measured")
    page = Rate(value=round(measured), low=min(norms), high=max(norms))
    return Rates(
        page=page if characters_per_page is None else Rate.exactly(characters_per_page),
        token=Rate(
            value=len(per_token) / sum(1 / r.value for r in per_token),
            low=min(r.low for r in per_token), high=max(r.high for r in per_token),
        ),
        character_bytes=Rate(
            value=mean(r.value for r in per_character),
            low=min(r.low for r in per_character), high=max(r.high for r in per_character),
        ),
        distinct=Rate(value=mean(distinct), low=min(distinct), high=max(distinct)),
    )  # fmt: skip


def _rate(
    texts: Sequence[TextMeasurement], language: str, tokenizer: str, above: Callable[[TextMeasurement], int],
    below: Callable[[TextMeasurement], int],
) -> Rate:  # fmt: skip
    found = [t for t in texts if t.language == language and t.tokenizer == tokenizer]
    each = [above(t) / below(t) for t in found]
    return Rate(value=sum(map(above, found)) / sum(map(below, found)), low=min(each), high=max(each))


def corpora_of(pages_count: int, rates: Rates, chunking: Chunking) -> Corpora:
    """Low: short pages, long tokens, chunks run over pages. High: long pages, short tokens, none crosses a
    page."""
    page, token, size, distinct = rates.page, rates.token, rates.character_bytes, rates.distinct
    return Corpora(
        low=_corpus(pages_count, (page.low, token.high, size.low, distinct.low), chunking),
        value=_corpus(pages_count, (page.value, token.value, size.value, distinct.value), chunking),
        high=_corpus(pages_count, (page.high, token.low, size.high, distinct.high), chunking, by_page=True),
    )


def _corpus(
    pages_count: int, rates: tuple[float, float, float, float], chunking: Chunking, *, by_page: bool = False
) -> Corpus:
    per_page, per_token, character_bytes, distinct = rates
    chunk, overlap = chunking.chunk_tokens, chunking.overlap_tokens
    characters = pages_count * per_page
    tokens = characters / per_token
    chunks = chunks_in_a_row(tokens, chunk, overlap)
    if by_page:
        chunks = max(chunks, chunks_page_by_page(pages_count, per_page / per_token, chunk, overlap))
    text_bytes = characters * character_bytes
    return Corpus(
        pages_count=pages_count, characters=characters, text_bytes=text_bytes, tokens=tokens, chunks=chunks,
        stored_characters=overlapped(characters, chunk, overlap),
        stored_bytes=overlapped(text_bytes, chunk, overlap),
        stored_tokens=overlapped(tokens, chunk, overlap), distinct_tokens=distinct * min(1.0, chunk / 512),
    )  # fmt: skip


def steps_of(corpora: Corpora, rates: Rates, chunking: Chunking, embedder: Embedder) -> tuple[Step, ...]:
    """The arithmetic from pages to bytes of vectors, each line with its numbers."""
    c, pages = corpora.value, f"{corpora.value.pages_count:,} pages"
    chunk, overlap = chunking.chunk_tokens, chunking.overlap_tokens
    per_page, per_token = (
        f"{rates.page.value:,.0f} characters",
        f"{rates.token.value:.2f} characters per token",
    )
    raw = corpora.estimate("characters", "characters", lambda x: x.characters, formula="pages x characters",
                           inputs={"characters per page": rates.page.value})  # fmt: skip
    size = corpora.estimate("text", "bytes", lambda x: x.text_bytes, formula="characters x bytes",
                            inputs={"bytes per character": rates.character_bytes.value})  # fmt: skip
    tokens = corpora.estimate(
        "tokens",
        "tokens",
        lambda x: x.tokens,
        formula="characters / characters per token",
        inputs={"characters per token": rates.token.value},
    )
    chunks = corpora.estimate(
        "chunks",
        "chunks",
        lambda x: x.chunks,
        formula="formulas.text_store:chunks_in_a_row",
        inputs={"chunk_tokens": chunk, "overlap_tokens": overlap},
    )
    stored = corpora.estimate(
        "stored text",
        "bytes",
        lambda x: x.stored_bytes,
        formula="formulas.text_store:overlapped",
        inputs={"chunk_tokens": chunk},
    )
    vectors = corpora.estimate("vectors", "bytes", lambda x: x.chunks * embedder.dimension * 4.0,
                               formula="formulas.vector_store:vectors_bytes",
                               inputs={"dimension": embedder.dimension})  # fmt: skip
    return (
        Step(what="characters", how=f"{pages} x {per_page}", estimate=raw),
        Step(
            what="text in UTF-8",
            how=f"x {rates.character_bytes.value:.2f} bytes per character",
            estimate=size,
        ),
        Step(what="tokens", how=f"{c.characters:,.0f} characters / {per_token}", estimate=tokens),
        Step(what="chunks", how=f"{c.tokens:,.0f} tokens / ({chunk} - {overlap})", estimate=chunks),
        Step(what="text with overlaps", how=f"text x {chunk} / ({chunk} - {overlap})", estimate=stored),
        Step(
            what="vectors in float32",
            how=f"{c.chunks:,} chunks x {embedder.dimension:,} x 4 bytes",
            estimate=vectors,
        ),
    )
