"""A picture of a model: one cell per layer, and bars that show where parameters and bytes are.

Plain SVG without scripts, fonts or links. Kinds differ by letter and hatching as well as by colour
(palette: Okabe and Ito, distinguishable with any colour vision).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

from plimsoll.core.layer_map import LETTER_NAMES
from plimsoll.domain.explanation import Explanation, LayerCell
from plimsoll.units import format_bytes, format_count, format_parameters, format_share

_WIDTH, _LEFT, _INNER = 960, 40, 880
_CELL, _GAP = 40, 4
_COLUMNS = _INNER // (_CELL + _GAP)
_LINE = 22
_BAR = 44
# Narrower parts of a bar get no letter inside; the list below names them all the same.
_LETTERED = 18.0

# letter -> colour, hatching; the letters of core.layer_map.
_KINDS = {
    "F": ("#0072B2", "solid"), "S": ("#56B4E9", "rising"), "C": ("#56B4E9", "falling"),
    "L": ("#CC79A7", "solid"), "X": ("#CC79A7", "crossed"), "G": ("#009E73", "rising"),
    "K": ("#009E73", "falling"), "M": ("#E69F00", "rising"), "T": ("#E69F00", "falling"),
    "V": ("#F0E442", "rising"), "W": ("#F0E442", "falling"), "H": ("#D55E00", "crossed"),
    "N": ("#BBBBBB", "solid"),
}  # fmt: skip
# role -> letter, name, colour, hatching
_ROLES = {
    "expert": ("E", "experts", "#E69F00", "solid"),
    "shared_expert": ("H", "shared experts", "#E69F00", "rising"),
    "ffn": ("F", "feed-forward", "#D55E00", "solid"), "attention": ("A", "attention", "#0072B2", "solid"),
    "state": ("S", "recurrent state", "#009E73", "solid"),
    "embedding": ("I", "input embedding", "#56B4E9", "solid"),
    "output": ("O", "output", "#56B4E9", "rising"), "router": ("R", "router", "#F0E442", "solid"),
    "norm": ("N", "norms", "#BBBBBB", "solid"), "vision": ("V", "vision tower", "#CC79A7", "solid"),
    "audio": ("U", "audio tower", "#CC79A7", "rising"), "projector": ("P", "projector", "#CC79A7", "falling"),
    "mtp": ("M", "multi-token prediction", "#999999", "rising"),
    "other": ("?", "other", "#DDDDDD", "falling"),
}  # fmt: skip
_FORMAT_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#BBBBBB")
_HATCHES = {
    "rising": "M-2,2 l4,-4 M0,8 l8,-8 M6,10 l4,-4", "falling": "M-2,6 l4,4 M0,0 l8,8 M6,-2 l4,4",
    "crossed": "M-2,2 l4,-4 M0,8 l8,-8 M6,10 l4,-4 M-2,6 l4,4 M0,0 l8,8 M6,-2 l4,4",
}  # fmt: skip


class Part(NamedTuple):
    """One part of a bar."""

    letter: str
    name: str
    said: str
    size: int
    colour: str
    hatch: str


def draw(answer: Explanation) -> str:
    """The picture as one SVG document."""
    rows: list[str] = []
    y = 44
    rows.append(_text(_LEFT, y, answer.id, size=24, weight="bold"))
    y += 26
    rows.append(_text(_LEFT, y, _headline(answer), size=14))
    y += 34
    y = _layers(rows, y, answer)
    for title, parts in _bars(answer):
        y = _bar(rows, y, title, parts)
    return "\n".join(_document(rows, y))


def _headline(answer: Explanation) -> str:
    p = answer.parameters
    trained = answer.context.trained_tokens
    context = "" if trained is None else f", context {format_count(trained)} tokens"
    return (
        f"{answer.architecture}: {format_parameters(p.total_count)} parameters, "
        f"{format_parameters(p.active_without_embedding_count)} active per token, {answer.weight_format}, "
        f"{format_bytes(answer.size_bytes)}{context}"
    )


def _layers(rows: list[str], y: int, answer: Explanation) -> int:
    """The grid of cells and its key; returns where the next part starts."""
    for line in _wrapped(answer.layer_text, 108):
        rows.append(_text(_LEFT, y, line, size=14))
        y += 20
    for cell in answer.layers:
        row, column = divmod(cell.index, _COLUMNS)
        rows.append(_cell(_LEFT + column * (_CELL + _GAP), y + row * (_CELL + _GAP), cell))
    y += ((len(answer.layers) - 1) // _COLUMNS + 1) * (_CELL + _GAP) + 18
    for letter in dict.fromkeys(cell.letter.upper() for cell in answer.layers):
        count = sum(cell.letter.upper() == letter for cell in answer.layers)
        colour, hatch = _KINDS[letter]
        rows.append(_box(_LEFT, y - 13, 18, 18, colour, hatch))
        rows.append(_text(_LEFT + 26, y + 1, f"{letter}  {LETTER_NAMES[letter]}: {count} layers", size=14))
        y += _LINE
    if any(cell.letter.islower() for cell in answer.layers):
        said = "lower case, dashed frame: dense feed-forward instead of experts"
        rows.append(_text(_LEFT + 26, y + 1, said, size=14))
        y += _LINE
    return y + 22


def _cell(x: int, y: int, cell: LayerCell) -> str:
    colour, hatch = _KINDS[cell.letter.upper()]
    frame = ' stroke="#000" stroke-width="2" stroke-dasharray="5 3"' if cell.letter.islower() else ""
    shared = f", reads the cache of layer {cell.shares_kv_with}" if cell.shares_kv_with is not None else ""
    return (
        f"<g><title>{escape(f'layer {cell.index}: {cell.attention}; {cell.ffn}{shared}')}</title>"
        f"{_box(x, y, _CELL, _CELL, colour, hatch, frame)}"
        f"{_letter(x + _CELL / 2, y + 26, cell.letter)}"
        f'<rect x="{x + 1}" y="{y + 1}" width="{_CELL - 2}" height="11" fill="#fff" fill-opacity="0.85"/>'
        f"{_text(x + 3, y + 10, str(cell.index), size=9)}</g>"
    )


def _bars(answer: Explanation) -> Iterator[tuple[str, list[Part]]]:
    total = max(answer.parameters.total_count, 1)
    active = max(answer.parameters.active_with_embedding_count, 1)
    everything = [_role_part(s.role, s.parameters_count, total) for s in answer.shares if s.parameters_count]
    yield f"All parameters: {format_parameters(total)}", everything
    if active != total:
        touched = [
            _role_part(s.role, s.active_parameters_count, active)
            for s in answer.shares
            if s.active_parameters_count
        ]
        yield f"Touched by one text token, input embedding included: {format_parameters(active)}", touched
    size = max(answer.size_bytes, 1)
    formats = [
        Part(
            letter=str(number), name=f"{share.format} {share.holds}", size=share.size_bytes,
            said=f"{format_bytes(share.size_bytes)}, {format_share(share.size_bytes, size)}",
            colour=_FORMAT_COLOURS[(number - 1) % len(_FORMAT_COLOURS)],
            hatch="rising" if share.holds == "scales" else "solid",
        )
        for number, share in enumerate(answer.formats, start=1)
    ]  # fmt: skip
    yield f"Bytes as published: {format_bytes(answer.size_bytes)}", formats


def _role_part(role: str, count: int, total: int) -> Part:
    letter, name, colour, hatch = _ROLES[role]
    said = f"{format_parameters(count)}, {format_share(count, total)}"
    return Part(letter=letter, name=name, said=said, size=count, colour=colour, hatch=hatch)


def _bar(rows: list[str], y: int, title: str, parts: Sequence[Part]) -> int:
    """A stacked bar with its list in two columns; returns where the next part starts."""
    rows.append(_text(_LEFT, y, title, size=16, weight="bold"))
    y += 12
    total = sum(part.size for part in parts) or 1
    x = float(_LEFT)
    for part in parts:
        width = part.size / total * _INNER
        rows.append(_box(x, y, width, _BAR, part.colour, part.hatch))
        if width >= _LETTERED:
            rows.append(_letter(x + width / 2, y + _BAR / 2, part.letter))
        x += width
    y += _BAR + 24
    half = (len(parts) + 1) // 2
    for number, part in enumerate(parts):
        column, row = divmod(number, half)
        left, top = _LEFT + column * _INNER // 2, y + row * _LINE
        rows.append(_box(left, top - 13, 18, 18, part.colour, part.hatch))
        rows.append(_text(left + 26, top + 1, f"{part.letter}  {part.name}: {part.said}", size=14))
    return y + half * _LINE + 24


def _box(x: float, y: float, width: float, height: float, colour: str, hatch: str, frame: str = "") -> str:
    place = f'x="{x:g}" y="{y:g}" width="{width:.6g}" height="{height:g}"'
    box = f'<rect {place} fill="{colour}"{frame or _FRAME}/>'
    return box if hatch == "solid" else f'{box}<rect {place} fill="url(#{hatch})"/>'


_FRAME = ' stroke="#333" stroke-width="0.5"'


def _letter(x: float, y: float, letter: str) -> str:
    """A letter that stays readable on any colour and hatching: black on a white tag around (x, y)."""
    return (
        f'<rect x="{x - 8:g}" y="{y - 10:g}" width="16" height="20" rx="3" fill="#fff"/>'
        f'<text x="{x:g}" y="{y + 5.5:g}" font-size="16" font-weight="bold" text-anchor="middle">'
        f"{escape(letter)}</text>"
    )


def _text(x: float, y: float, text: str, *, size: int, weight: str = "normal") -> str:
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" font-weight="{weight}">{escape(text)}</text>'


def _wrapped(text: str, width: int) -> Iterator[str]:
    line = ""
    for word in text.split(" "):
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    yield line


def _document(rows: Sequence[str], height: int) -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
        f'height="{height}" font-family="Helvetica, Arial, sans-serif">'
    )
    yield "<defs>"
    for name, path in _HATCHES.items():
        yield (
            f'<pattern id="{name}" width="8" height="8" patternUnits="userSpaceOnUse">'
            f'<path d="{path}" stroke="#fff" stroke-width="1.6" stroke-opacity="0.85" fill="none"/></pattern>'
        )
    yield "</defs>"
    yield f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>'
    yield from rows
    yield "</svg>"
