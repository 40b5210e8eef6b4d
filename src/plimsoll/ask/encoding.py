"""Text to tokens: by the `tokenizers` library, or by llama.cpp's own rules for a vocabulary in a GGUF."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from plimsoll.core.spm import Span, cut, encode
from plimsoll.domain.tokenizer import Vocabulary
from plimsoll.errors import PlimsollError
from plimsoll.runtimes.llama_cpp.pre_tokenizers import PRE_TOKENIZERS, PreTokenizer

EXTRA_HINT = "pip install 'plimsoll-llm[tokenizer]'"


class CannotEncode(PlimsollError):
    """Why a text cannot be turned into tokens; an answer (unknown), not a failure."""

    exit_code = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """`spans` gives the tokens of a text without what is added around it; `added_count` how many that is."""

    spans: Callable[[str], list[Span]]
    added_count: int | None


def encoder_from_json(data: bytes, *, where: str) -> Encoder:
    """The encoder of a tokenizer.json, truncation and padding switched off. Raises CannotEncode."""
    library = _library()
    made = _guarded(lambda: library.Tokenizer.from_buffer(data), where)
    made.no_truncation()
    made.no_padding()
    added = _guarded(lambda: len(made.encode("").ids), where)
    return Encoder(spans=lambda text: _spans(made, text, where), added_count=added)


def encoder_from_vocabulary(vocabulary: Vocabulary, *, where: str) -> Encoder:
    """The encoder of a GGUF's vocabulary, as llama.cpp would cut and merge. Raises CannotEncode for what is
    not proven equal to llama.cpp."""
    added = sum(bool(flag) for flag in (vocabulary.adds_bos, vocabulary.adds_eos))
    if len({text for text, _ in vocabulary.entries}) != len(vocabulary.entries):
        raise CannotEncode(f"{where}: a token stands twice; llama.cpp stops at such a vocabulary")
    if vocabulary.kind == "SPM":
        if vocabulary.pipeline.get("model") != "llama":
            raise CannotEncode(f"{where}: {vocabulary.kind} with {vocabulary.pipeline} is not known")
        return Encoder(spans=_by_score(vocabulary), added_count=added)
    if vocabulary.kind == "BPE" and vocabulary.pipeline.get("model") in ("gpt2", "gemma4"):
        return Encoder(spans=_by_merges(vocabulary, where), added_count=added)
    raise CannotEncode(
        f"{where}: how llama.cpp cuts text for {vocabulary.kind} vocabularies is not modelled",
        hint="give the tokenizer.json of the model instead",
    )


def _by_score(vocabulary: Vocabulary) -> Callable[[str], list[Span]]:
    ids = dict(vocabulary.entries)
    scores = dict(enumerate(vocabulary.scores))
    return lambda text: encode(text, ids, scores, vocabulary.added, adds_space=bool(vocabulary.adds_space))


def _by_merges(vocabulary: Vocabulary, where: str) -> Callable[[str], list[Span]]:
    pre = PRE_TOKENIZERS.get(vocabulary.pre or "default")
    if pre is None:
        raise CannotEncode(
            f"{where}: the pre-tokenizer {vocabulary.pre!r} is not proven equal to llama.cpp's, so the tokens"
            " are unknown",
            hint="give the tokenizer.json of the model instead",
        )
    library = _library()
    ids = dict(vocabulary.entries)
    merges = [(a, b) for a, b in vocabulary.merges if a in ids and b in ids and a + b in ids]
    made = _guarded(
        lambda: library.Tokenizer(
            library.models.BPE(
                ids, merges, ignore_merges=pre.ignores_merges, byte_fallback=not pre.is_byte_level
            )
        ),
        where,
    )
    cuts = [
        library.pre_tokenizers.Split(library.Regex(pattern), behavior="isolated") for pattern in pre.splits
    ]
    if pre.is_byte_level:
        cuts.append(library.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    made.pre_tokenizer = library.pre_tokenizers.Sequence(cuts)
    return lambda text: _cut_and_merged(made, text, vocabulary, ids, pre, where)


def _cut_and_merged(
    made: Any, text: str, vocabulary: Vocabulary, ids: Mapping[str, int], pre: PreTokenizer, where: str
) -> list[Span]:
    out: list[Span] = []
    for fragment in cut(text, vocabulary.added):
        if fragment.id >= 0:
            out.append(Span(fragment.id, fragment.start, fragment.end))
            continue
        part, start = text[fragment.start : fragment.end], fragment.start
        for piece in re.split(r"(\n+)", part) if pre.takes_newlines_whole else (part,):
            if pre.takes_newlines_whole and piece.startswith("\n") and piece in ids:
                spans = [Span(ids[piece], 0, len(piece))]
            else:
                spans = _spans(made, piece if pre.is_byte_level else piece.replace(" ", "▁"), where)
            out += (Span(span.id, span.start + start, span.end + start) for span in spans)
            start += len(piece)
    return out


def _spans(made: Any, text: str, where: str) -> list[Span]:
    encoding = _guarded(lambda: made.encode(text, add_special_tokens=False), where)
    return [Span(i, start, end) for i, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)]


def _guarded(call: Callable[[], Any], where: str) -> Any:
    """What the library answers; its refusals and panics (which are no Exception) as CannotEncode."""
    try:
        return call()
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
        raise CannotEncode(f"{where}: the tokenizers library refuses this tokenizer: {reason}") from None


def _library() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise CannotEncode(
            "turning text into tokens needs the tokenizers library, which is not installed", hint=EXTRA_HINT
        ) from None
    return tokenizers
