"""What text costs in tokens, by script.

A character's script is the first word of its Unicode name (CYRILLIC SMALL LETTER A); CJK ideographs are Han.
Marks and joiners belong to the character before them. A token counts for the script with most of the
characters it covers (letters before digits, digits before signs, signs before spaces); special and added
tokens are counted apart. A word of a text is a run of characters without space, a word of a script a run of
its letters; scripts that are written without spaces have no words here.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

from plimsoll.domain.tokenizer import Encoded, ScriptCost, Token

_BY_NAME = {
    "CJK": "Han", "IDEOGRAPHIC": "Han", "HIRAGANA": "Kana", "KATAKANA": "Kana", "KATAKANA-HIRAGANA": "Kana",
    "FULLWIDTH": "Latin",
}  # fmt: skip
UNSPACED = frozenset({"Han", "Kana", "Thai", "Lao", "Khmer", "Myanmar", "Emoji"})
_NEITHER = ("Special", "Digits", "Signs", "Emoji", "Spaces")


def script_of(character: str) -> str:
    """The script of one character: 'Latin', 'Cyrillic', 'Han', ..., 'Digits', 'Signs', 'Emoji', 'Spaces'."""
    if character.isspace():
        return "Spaces"
    category = unicodedata.category(character)
    if category == "Nd":
        return "Digits"
    if category == "So" or character in "\u200d\ufe0f" or "\U0001f3fb" <= character <= "\U0001f3ff":
        return "Emoji" if ord(character) >= 0x2600 or character in "\u200d\ufe0f" else "Signs"
    if category[0] in "PSC":
        return "Signs"
    first = unicodedata.name(character, "").partition(" ")[0]
    return _BY_NAME.get(first, first.capitalize() or "Other")


def scripts_of(text: str) -> list[str]:
    """The script of each character, marks with what they stand on."""
    out: list[str] = []
    for character in text:
        if unicodedata.category(character) in ("Mn", "Me") and character != "\ufe0f" and out:
            out.append(out[-1])
        else:
            out.append(script_of(character))
    return out


def encoded(
    label: str, text: str, tokens: Sequence[Token], *, added_count: int | None, keeps_tokens: bool,
    special_ids: frozenset[int] = frozenset(), unknown_ids: frozenset[int] = frozenset(),
) -> Encoded:  # fmt: skip
    """The costs of a text; its tokens are kept in the answer if `keeps_tokens`. The characters of special and
    added tokens (`special_ids`) are of no script."""
    scripts = scripts_of(text)
    for token in tokens:
        if token.id in special_ids:
            scripts[token.start : token.end] = ["Special"] * (token.end - token.start)
    words = len(text.split())
    characters = len(text)
    spaced = Counter(scripts).most_common()
    main = next((s for s, _ in spaced if s not in ("Spaces", "Signs", "Digits", "Special")), "")
    words_count = None if main in UNSPACED else words
    return Encoded(
        label=label, tokens_count=len(tokens), characters_count=characters,
        bytes_count=len(text.encode()), words_count=words_count,
        tokens_per_character=_ratio(len(tokens), characters) or 0.0,
        tokens_per_word=_ratio(len(tokens), words_count), added_count=added_count,
        lost_count=sum(token.id in unknown_ids for token in tokens),
        scripts=_by_script(text, scripts, tokens), tokens=tuple(tokens) if keeps_tokens else (),
    )  # fmt: skip


def _by_script(text: str, scripts: list[str], tokens: Sequence[Token]) -> tuple[ScriptCost, ...]:
    characters = Counter(scripts)
    spent = Counter(_script_of_token(scripts[token.start : token.end]) for token in tokens)
    words = _words(text, scripts)
    order = sorted(characters, key=lambda s: (s in _NEITHER, -characters[s], s))
    return tuple(
        ScriptCost(
            script=script, tokens_count=spent[script], characters_count=characters[script],
            words_count=words.get(script),
            tokens_per_character=_ratio(spent[script], characters[script]) or 0.0,
            tokens_per_word=_ratio(spent[script], words.get(script)),
        )
        for script in order
    )  # fmt: skip


def _script_of_token(scripts: list[str]) -> str:
    """Letters decide; without any, digits, then signs and emoji, then spaces."""
    letters = Counter(s for s in scripts if s not in _NEITHER)
    if letters:
        return letters.most_common(1)[0][0]
    return next((s for s in _NEITHER if s in scripts), "Spaces")


def _words(text: str, scripts: list[str]) -> dict[str, int]:
    """Runs of letters of one script, where words are parted by spaces."""
    found: Counter[str] = Counter()
    before = ""
    for script in scripts:
        if script != before and script not in _NEITHER and script not in UNSPACED:
            found[script] += 1
        before = script
    return dict(found)


def _ratio(tokens: int, count: int | None) -> float | None:
    return round(tokens / count, 4) if count else None
