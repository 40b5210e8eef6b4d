"""What is in a tokenizer, what a text costs in it, and what a change would break."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plimsoll.ask.encoding import CannotEncode, Encoder, encoder_from_json, encoder_from_vocabulary
from plimsoll.ask.tokenizer_files import TokenizerFiles, load
from plimsoll.core.scripts import encoded as costs
from plimsoll.core.special_tokens import all_ids, by_text, problems, special_tokens, unknown_ids
from plimsoll.core.spm import Span
from plimsoll.core.tokenizer import compared
from plimsoll.core.tokenizer_edit import judge
from plimsoll.domain.tokenizer import (
    Compared,
    EditJudgement,
    Encoded,
    SettingNote,
    TemplateFacts,
    Token,
    TokenizerAnswer,
    Vocabulary,
)
from plimsoll.errors import BadSetting
from plimsoll.parse.pieces import LETTER_OF_BYTE, readable, stored_of
from plimsoll.runtimes.llama_cpp.special_tokens import ENDS_OF_GENERATION

_LONGEST_VALUE = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerQuestion:
    """`text` None means our sample texts; `compare` are further models; `edits` as `judge` reads them."""

    model: str
    text: str | None = None
    compare: tuple[str, ...] = ()
    edits: tuple[str, ...] = ()
    fetch: bool = False
    offline: bool = False


def tokenizer(question: TokenizerQuestion) -> TokenizerAnswer:
    """The answer. Raises UnknownModel, ReadError, ReachError, and BadSetting for text that is no Unicode or
    for an edit that cannot be read."""
    texts = _texts(question.text)
    found = load(question.model, fetch=question.fetch, offline=question.offline)
    vocabulary = found.vocabulary
    if vocabulary is None:
        return _without_vocabulary(question, found, texts)
    template = _template(vocabulary)
    cost, unknown, hint = _encoded(found, texts, keeps_tokens=question.text is not None)
    is_asked = question.text is not None or bool(question.compare)
    ends = template.ends_turn_with if template else ()
    return TokenizerAnswer(
        id=found.id, origins=found.origins, kind=vocabulary.kind, style=vocabulary.style, pre=vocabulary.pre,
        vocab_count=len(all_ids(vocabulary)), merges_count=len(vocabulary.merges),
        pipeline=vocabulary.pipeline, rows=found.rows, special_tokens=special_tokens(vocabulary),
        problems=problems(vocabulary, found.rows, named=found.named, template_ends=ends),
        settings=_settings(found.settings), template=template, encoded=cost,
        compared=_compared(question, found, cost, unknown, texts),
        edits=_judged(question.edits, vocabulary, found),
        notes=(*found.notes, *vocabulary.notes, *([unknown] if unknown and not is_asked else ())),
        unknowns=(unknown,) if unknown and is_asked else (), hints=(hint,) if hint else (),
    )  # fmt: skip


def _texts(text: str | None) -> dict[str, str]:
    if text is None:
        from plimsoll.catalog.samples import load_all

        return load_all()
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadSetting(
            f"the text is not Unicode at character {error.start}",
            hint="give it as UTF-8, or as a file with -f",
        ) from None
    return {"text": text}


def _without_vocabulary(
    question: TokenizerQuestion, found: TokenizerFiles, texts: Mapping[str, str]
) -> TokenizerAnswer:
    return TokenizerAnswer(
        id=found.id, origins=found.origins, kind="unknown", style="unknown", pre="",
        vocab_count=None, merges_count=0, pipeline={}, rows=found.rows,
        compared=_compared(question, found, (), found.missing, texts),
        unknowns=(found.missing,), hints=(found.hint,),
    )  # fmt: skip


def _encoded(
    found: TokenizerFiles, texts: Mapping[str, str], *, keeps_tokens: bool
) -> tuple[tuple[Encoded, ...], str, str]:
    """Costs of each text, or why there are none and what helps."""
    if found.vocabulary is None:
        return (), found.missing, found.hint
    try:
        made, lost = encoder(found), unknown_ids(found.vocabulary)
        rows = []
        for label, text in texts.items():
            tokens = _tokens(made.spans(text), found.vocabulary)
            rows.append(
                costs(
                    label, text, tokens, added_count=made.added_count, keeps_tokens=keeps_tokens,
                    special_ids=frozenset(t.id for t in found.vocabulary.added),
                    unknown_ids=lost,
                )
            )  # fmt: skip
    except CannotEncode as error:
        return (), error.message, error.hint
    return tuple(rows), "", ""


def encoder(found: TokenizerFiles) -> Encoder:
    """What turns text into this vocabulary's tokens. Raises CannotEncode."""
    assert found.vocabulary is not None
    if found.raw:
        return encoder_from_json(found.raw, where=found.id)
    return encoder_from_vocabulary(found.vocabulary, where=found.id)


def _tokens(spans: list[Span], vocabulary: Vocabulary) -> list[Token]:
    stored = {id: text for text, id in vocabulary.entries}
    added = {token.id: token.content for token in vocabulary.added}
    out = []
    for span in spans:
        text = added.get(span.id, stored.get(span.id, ""))
        piece = readable(text, vocabulary.style, is_added=span.id in added)
        out.append(Token(id=span.id, stored=text, piece=piece, start=span.start, end=span.end))
    return out


def _compared(
    question: TokenizerQuestion, first: TokenizerFiles, cost: tuple[Encoded, ...], unknown: str,
    texts: Mapping[str, str],
) -> tuple[Compared, ...]:  # fmt: skip
    if not question.compare:
        return ()
    base = sum(e.tokens_count for e in cost) if cost else None
    rows = [_row(first, cost, unknown, base)]
    for reference in question.compare:
        found = load(reference, fetch=question.fetch, offline=question.offline)
        other, why, _ = _encoded(found, texts, keeps_tokens=False)
        rows.append(_row(found, other, why, base))
    return tuple(rows)


def _row(found: TokenizerFiles, cost: tuple[Encoded, ...], unknown: str, base: int | None) -> Compared:
    vocabulary = found.vocabulary
    return compared(
        found.id, vocab_count=len(all_ids(vocabulary)) if vocabulary else None, encoded=cost,
        first_tokens_count=base, context_tokens=found.context_tokens, unknown=unknown,
    )  # fmt: skip


def _judged(
    edits: tuple[str, ...], vocabulary: Vocabulary, found: TokenizerFiles
) -> tuple[EditJudgement, ...]:
    known = by_text(vocabulary)
    alphabet = _alphabet(vocabulary)
    return tuple(judge(_as_stored(e, known, vocabulary), vocabulary, found.rows, alphabet) for e in edits)


def _as_stored(edit: str, known: Mapping[str, int], vocabulary: Vocabulary) -> str:
    """An edit whose token is written as people read it ('remove: мир') as one with the stored piece."""
    kind, _, what = edit.partition(":")
    text, equals, number = what.rpartition("=") if kind == "renumber" else (what, "", "")
    stored = stored_of(text, vocabulary.style)
    if kind not in ("remove", "renumber") or text in known or stored not in known:
        return edit
    return f"{kind}:{stored}{equals}{number}"


def _alphabet(vocabulary: Vocabulary) -> frozenset[str]:
    """The pieces that stand for one byte each."""
    if vocabulary.style == "byte_level":
        return frozenset(LETTER_OF_BYTE.values())
    return frozenset(f"<0x{byte:02X}>" for byte in range(256))


def _template(vocabulary: Vocabulary) -> TemplateFacts | None:
    if not vocabulary.template:
        return None
    from plimsoll.parse.chat_turns import read_turns

    texts = {id: text for text, id in vocabulary.entries} | {t.id: t.content for t in vocabulary.added}
    eos = next(
        (c.text or texts.get(c.id if c.id is not None else -1, "") for c in vocabulary.claims.get("eos", ())),
        "",
    )
    known = set(texts.values())
    ends = [text for text in ENDS_OF_GENERATION if text in known]
    return read_turns(vocabulary.template, vocabulary.template_from, ends, eos)


def _settings(settings: Mapping[str, Any]) -> tuple[SettingNote, ...]:
    if not settings:
        return ()
    import json

    from plimsoll.catalog.tokenizer_keys import load_all

    known = load_all()
    out = []
    for key, value in settings.items():
        text = f"{len(value)} entries" if isinstance(value, dict | list) and len(value) > 4 else json.dumps(
            value, ensure_ascii=True
        )  # fmt: skip
        short = text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."
        out.append(SettingNote(key=key, value=short, means=known.get(key, ""), is_known=key in known))
    return tuple(out)
