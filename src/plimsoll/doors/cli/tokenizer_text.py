"""The answer of `tokenizer` as a person reads it."""

from __future__ import annotations

from collections.abc import Sequence

from plimsoll.domain.tokenizer import (
    Compared,
    EditJudgement,
    Encoded,
    SpecialToken,
    TemplateFacts,
    TokenizerAnswer,
)
from plimsoll.doors.cli.text import say, table
from plimsoll.parse.pieces import shown
from plimsoll.units import format_bytes, format_count

MOST_TOKENS = 200
MOST_SPECIAL = 12
_COLOURS = {"error": "red", "warning": "yellow", "note": None}
_VERDICTS = {
    "safe": "green", "changes behaviour": "yellow", "load error": "red", "breaks the model": "red",
    "unknown": "yellow",
}  # fmt: skip


def show(answer: TokenizerAnswer, *, special: bool, settings: bool, template: bool) -> None:
    """Print what it is, the tokens, costs, comparison, edits, and what is wrong."""
    _facts(answer)
    if special:
        _special(answer.special_tokens)
    if template:
        _template(answer.template)
    if settings:
        _settings(answer)
    for encoded in answer.encoded:
        if encoded.tokens:
            _tokens(encoded)
    if answer.encoded:
        _costs(answer.encoded)
    if answer.compared:
        _compared(answer.compared)
    for edit in answer.edits:
        _edit(edit)
    _remarks(answer)


def _facts(answer: TokenizerAnswer) -> None:
    say(answer.id, bold=True)
    if answer.vocab_count is None:
        say("tokenizer: unknown")
    else:
        merges = f", {format_count(answer.merges_count)} merges" if answer.merges_count else ""
        pre = f", cut as {answer.pre}" if answer.pre else ""
        say(
            f"tokenizer: {answer.kind}{pre}, {format_count(answer.vocab_count)} tokens{merges}, "
            f"{answer.style}"
        )
        say("steps: " + "; ".join(f"{k}: {v}" for k, v in answer.pipeline.items()))
    if answer.rows is not None:
        rows = answer.rows
        say(
            f"token matrices: {rows.matrices_count} x {format_count(rows.rows_count)} rows x "
            f"{format_count(rows.hidden_dim)} {rows.format}, "
            f"{format_bytes(rows.matrices_count * rows.rows_count * rows.row_bytes)}"
        )
    named = [t for t in answer.special_tokens if t.said_by]
    for token in named[:MOST_SPECIAL]:
        say(f"  {', '.join(token.roles)}: {shown(token.content)} ({token.id})")
    others = len(answer.special_tokens) - len(named[:MOST_SPECIAL])
    if others > 0:
        say(f"  and {others} more special or added tokens (--special)")
    say()


def _special(tokens: Sequence[SpecialToken]) -> None:
    rows = [
        [
            str(t.id),
            shown(t.content),
            ", ".join(t.roles),
            "yes" if t.is_special else "no",
            ", ".join(t.said_by),
        ]
        for t in tokens
    ]
    table(["id", "token", "roles", "special", "said by"], rows, right=[0])
    say()


def _template(facts: TemplateFacts | None) -> None:
    if facts is None:
        say("chat template: none")
        return
    say(f"chat template ({facts.source}, {format_count(facts.characters_count)} characters): {facts.family}")
    say(f"  roles: {', '.join(facts.roles) or 'none compared'}")
    say(f"  ends turns with: {', '.join(map(shown, facts.ends_turn_with)) or 'no known token'}")
    say(f"  tools: {facts.tools}")
    say(f"  reasoning: {facts.reasoning}")
    default = f"'{shown(facts.default_system)}'" if facts.default_system else "none seen"
    say(f"  default system text: {default}; date: {'yes' if facts.has_date else 'no'}")
    say(f"  reads: {', '.join(facts.switches) or 'the messages only'}")
    say()


def _settings(answer: TokenizerAnswer) -> None:
    if not answer.settings:
        say("tokenizer_config.json: none")
    for note in answer.settings:
        say(f"{note.key} = {shown(note.value)}", bold=True)
        say(f"    {note.means or 'unknown key'}")
    say()


def _tokens(encoded: Encoded) -> None:
    rows = [
        [str(i), str(t.id), f"'{shown(t.piece)}'", shown(t.stored)]
        for i, t in enumerate(encoded.tokens[:MOST_TOKENS])
    ]
    table(["", "id", "piece", "stored as"], rows, right=[0, 1])
    if len(encoded.tokens) > MOST_TOKENS:
        say(f"... {format_count(len(encoded.tokens) - MOST_TOKENS)} more (--json has all)")
    say()


def _costs(encoded: Sequence[Encoded]) -> None:
    rows = []
    for e in encoded:
        rows.append(_cost(e.label, e.tokens_count, e.characters_count, e.words_count,
                          e.tokens_per_character, e.tokens_per_word))  # fmt: skip
        if len(encoded) == 1:
            rows += (
                _cost(f"  {s.script}", s.tokens_count, s.characters_count, s.words_count,
                      s.tokens_per_character, s.tokens_per_word)
                for s in e.scripts
            )  # fmt: skip
    table(["text", "tokens", "characters", "words", "per character", "per word"], rows, right=[1, 2, 3, 4, 5])
    for e in encoded:
        if e.lost_count:
            say(
                f"{e.label}: {format_count(e.lost_count)} tokens are the unknown token: that text is lost",
                fg="red",
            )
    added = encoded[0].added_count
    if added:
        say(f"and {added} that the tokenizer adds around each text", dim=True)
    say()


def _cost(
    label: str, tokens: int, characters: int, words: int | None, each: float, per_word: float | None
) -> list[str]:
    return [
        label, format_count(tokens), format_count(characters), "-" if words is None else format_count(words),
        f"{each:.2f}", "-" if per_word is None else f"{per_word:.2f}",
    ]  # fmt: skip


def _compared(rows: Sequence[Compared]) -> None:
    labels = [label for label in next((r.by_label for r in rows if r.by_label), {})]
    several = labels if len(labels) > 1 else []
    lines = []
    for row in rows:
        lines.append([
            row.id, _whole(row.vocab_count), _whole(row.tokens_count),
            *(_whole(row.by_label.get(label)) for label in several),
            "-" if row.ratio is None else f"×{row.ratio:.2f}",
            "-" if row.context_share is None else f"{100 * row.context_share:.2f} %",
            _whole(row.characters_per_context),
        ])  # fmt: skip
    heads = [
        "model",
        "vocabulary",
        "tokens",
        *several,
        "tokens, time",
        "of its context",
        "characters it holds",
    ]
    table(heads, lines, right=range(1, len(heads)))
    for row in rows:
        if row.lost_count:
            say(
                f"{row.id}: {format_count(row.lost_count)} tokens are the unknown token: text is lost",
                fg="red",
            )
    say("time: reading or writing the text at equal tokens per second", dim=True)
    for row in rows:
        if row.unknown:
            say(f"unknown: {row.id}: {row.unknown}", fg="yellow")
    say()


def _whole(count: int | None) -> str:
    return "-" if count is None else format_count(count)


def _edit(edit: EditJudgement) -> None:
    say(f"{shown(edit.edit)}: {edit.verdict.upper()}", fg=_VERDICTS[edit.verdict], bold=True)
    say(f"  {shown(edit.reason)}")
    for line in edit.breaks:
        if line != edit.reason:
            say(f"  breaks: {shown(line)}")
    for line in edit.to_do:
        say(f"  to do: {shown(line)}")
    if edit.resize_bytes:
        say(f"  the matrices grow by {format_bytes(edit.resize_bytes)}")
    for engine, line in edit.engines.items():
        say(f"  {engine}: {line}")
    say()


def _remarks(answer: TokenizerAnswer) -> None:
    for problem in answer.problems:
        say(
            f"{problem.severity}: {shown(problem.says)} [{shown(problem.where)}]",
            fg=_COLOURS[problem.severity],
        )
    for note in answer.notes:
        say(f"note: {shown(note)}")
    for unknown in answer.unknowns:
        say(f"unknown: {shown(unknown)}", fg="yellow")
    for hint in answer.hints:
        say(f"hint: {hint}")
