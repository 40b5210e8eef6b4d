"""The little language of copies: '1x tp8', '8x tp1', 'tp4 + 4x tp1', '2x pp4'."""

from __future__ import annotations

import re

from plimsoll.domain.copies import Copy, Layout
from plimsoll.domain.deployment import SplitKind
from plimsoll.errors import BadSetting, choices_hint

# tp is a tensor split, pp a pipeline; layer is llama.cpp's word for what it does with several cards.
_WAYS: dict[str, SplitKind] = {"tp": "tensor", "pp": "pipeline", "layer": "layer"}
_TERM = re.compile(r"(?:([0-9]{1,4})\s*[x×*]\s*)?([a-zA-Z]+)[\s-]*([0-9]{1,4})")
_EXAMPLE = "such as 'tp8', '8x tp1' or 'tp4 + 4x tp1'"


def layout(text: str, *, cards_count: int) -> Layout:
    """How `text` shares out so many cards. Raises BadSetting for what is no copy, and for too many cards."""
    copies: list[Copy] = []
    for term in re.split(r"\s*[+,;]\s*", text.strip()):
        match = _TERM.fullmatch(term.strip())
        if match is None:
            what = "names no copy" if not term.strip() else f"{term.strip()!r} is no copy"
            raise BadSetting(
                f"--compare {text!r}: {what}", hint=f"a number of copies and cards each, {_EXAMPLE}"
            )
        count, way, cards = int(match[1] or 1), match[2].lower(), int(match[3])
        copies += _copies(text, count, way, cards, cards_count)
    used = sum(copy.cards_count for copy in copies)
    if used > cards_count:
        raise BadSetting(
            f"--compare {text!r} needs {used} cards, and there are {cards_count}",
            hint=f"on more cards, or such as {_fitting(cards_count)!r}",
        )
    return Layout(text=" ".join(text.split()), copies=tuple(copies))


def _copies(text: str, count: int, way: str, cards: int, cards_count: int) -> list[Copy]:
    if way == "dp":
        raise BadSetting(
            f"--compare {text!r}: how many cards each of the {cards} copies has is not said",
            hint=f"did you mean '{cards}x tp1'?",
        )
    if way not in _WAYS:
        raise BadSetting(
            f"--compare {text!r}: {way!r} is no way over several cards",
            hint=f"{choices_hint(way, _WAYS)}; {_EXAMPLE}",
        )
    if not count or not cards:
        raise BadSetting(f"--compare {text!r}: 0 of something is nothing", hint=f"at least one, {_EXAMPLE}")
    if count > cards_count:
        raise BadSetting(
            f"--compare {text!r}: {count} copies need as many cards, and there are {cards_count}",
            hint=f"such as {_fitting(cards_count)!r}",
        )
    return [Copy(cards_count=cards, split=_WAYS[way] if cards > 1 else "none")] * count


def _fitting(cards_count: int) -> str:
    return f"{cards_count}x tp1" if cards_count > 1 else "tp1"
