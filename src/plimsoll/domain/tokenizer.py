"""A tokenizer: its vocabulary, what each special token is for, and the answer of `plimsoll tokenizer`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from plimsoll.domain.origin import Origin

# How the text of a token is stored: GPT-2's one letter per byte, SentencePiece's ▁ for a space and <0xD0>
# for a byte, WordPiece's ## for a continuation, or as it is.
Style = Literal["byte_level", "sentencepiece", "wordpiece", "plain"]
TokenKind = Literal["normal", "special", "added", "unknown", "unused", "byte"]
Severity = Literal["error", "warning", "note"]
EditVerdict = Literal["safe", "changes behaviour", "load error", "breaks the model", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedToken:
    """A token that is cut out of the text before anything else; a special one is skipped when decoding."""

    id: int
    content: str
    is_special: bool = False
    strips_right: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Vocabulary:
    """What a tokenizer.json or a GGUF holds.

    `entries` are (text, id) pairs as stored, in file order, without the added tokens of tokenizer.json;
    a broken file may hold an id twice. `kinds`, `scores` go by position in `entries` and may be empty.
    `claims` maps a role ('eos') to what each file says of it. `ids_are_places`: a token's place in the list
    is its id (GGUF, Unigram). `bound_ids` are texts and ids that the post-processor writes down itself.
    `pipeline` names the steps from text to tokens. `template` is the chat template, or ''.
    """

    kind: str
    style: Style
    entries: tuple[tuple[str, int], ...]
    merges: tuple[tuple[str, str], ...] = ()
    added: tuple[AddedToken, ...] = ()
    kinds: tuple[TokenKind, ...] = ()
    scores: tuple[float, ...] = ()
    claims: Mapping[str, tuple[Claim, ...]] = field(default_factory=dict)
    pipeline: Mapping[str, str] = field(default_factory=dict)
    pre: str = ""
    adds_bos: bool | None = None
    adds_eos: bool | None = None
    adds_space: bool | None = None
    ignores_merges: bool = False
    ids_are_places: bool = False
    template: str = ""
    template_from: str = ""
    bound_ids: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One file's word on which token has a role; `id` or `text` is None when the file does not say."""

    where: str
    text: str | None = None
    id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRows:
    """The matrices with one row per token.

    `rows_count` x `row_bytes` is one matrix; `matrices_count` is 1 when input and output share it, else 2.
    """

    rows_count: int
    hidden_dim: int
    row_bytes: int
    matrices_count: int
    format: str
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialToken:
    """A special or added token. `roles` are what files or its text say it is for; `said_by` are the files."""

    id: int | None
    content: str
    roles: tuple[str, ...]
    is_special: bool
    said_by: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something in the files that contradicts or breaks; `where` names the files."""

    severity: Severity
    says: str
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One token of a text: `stored` is its text in the vocabulary, `piece` what it stands for.

    Bytes that are no whole character are written <0xD0>. `start`:`end` are the characters of the text that
    it covers, wholly or in part.
    """

    id: int
    stored: str
    piece: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptCost:
    """What the characters of one script cost. `words_count` is None where words are not parted by spaces."""

    script: str
    tokens_count: int
    characters_count: int
    words_count: int | None
    tokens_per_character: float
    tokens_per_word: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """One text as tokens. `added_count` is what the tokenizer adds around it (BOS, EOS), not in the total;
    `lost_count` of the total are the unknown token: what they stood for is gone, so the count is no price."""

    label: str
    tokens_count: int
    characters_count: int
    bytes_count: int
    words_count: int | None
    tokens_per_character: float
    tokens_per_word: float | None
    added_count: int | None
    lost_count: int = 0
    scripts: tuple[ScriptCost, ...] = ()
    tokens: tuple[Token, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingNote:
    """One key of tokenizer_config.json: its value in short and what it does; an unknown key says nothing."""

    key: str
    value: str
    means: str
    is_known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateFacts:
    """A chat template by its markers; it is never run.

    `default_system` is the text it puts in when the conversation has no system message, `roles` those it
    compares with, `ends_turn_with` the special tokens it writes, `variables` the switches it reads.
    """

    source: str
    family: str
    reasoning: str
    tools: str
    markers: tuple[str, ...]
    roles: tuple[str, ...]
    ends_turn_with: tuple[str, ...]
    default_system: str
    has_date: bool
    switches: tuple[str, ...]
    characters_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The same text under another tokenizer, against the first. `unknown` says why there is no count.

    `context_share` is the part of `context_tokens` that the text takes; `characters_per_context` how many
    characters like these fill it; `relative_time` the time to read or write the text at equal tokens per
    second, which is the ratio of token counts.
    """

    id: str
    vocab_count: int | None
    tokens_count: int | None
    ratio: float | None
    relative_time: float | None
    context_tokens: int | None
    context_share: float | None
    characters_per_context: int | None
    by_label: Mapping[str, int] = field(default_factory=dict)
    lost_count: int = 0
    unknown: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EditJudgement:
    """What a proposed change does. `resize_bytes` is what the token matrices grow or shrink by, on disk."""

    edit: str
    verdict: EditVerdict
    reason: str
    breaks: tuple[str, ...] = ()
    to_do: tuple[str, ...] = ()
    resize_bytes: int | None = 0
    engines: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerAnswer:
    """The answer of `plimsoll tokenizer`. `vocab_count` counts ids; `rows` may be unknown."""

    id: str
    origins: tuple[str, ...]
    kind: str
    style: str
    pre: str
    vocab_count: int | None
    merges_count: int
    pipeline: Mapping[str, str]
    rows: TokenRows | None
    special_tokens: tuple[SpecialToken, ...] = ()
    problems: tuple[Problem, ...] = ()
    settings: tuple[SettingNote, ...] = ()
    template: TemplateFacts | None = None
    encoded: tuple[Encoded, ...] = ()
    compared: tuple[Compared, ...] = ()
    edits: tuple[EditJudgement, ...] = ()
    notes: tuple[str, ...] = ()
    unknowns: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """3 when something that was asked is unknown, 1 when an edit breaks something, else 0."""
        if self.unknowns or any(c.unknown for c in self.compared):
            return 3
        return 1 if any(e.verdict in ("load error", "breaks the model") for e in self.edits) else 0
