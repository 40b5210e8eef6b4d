"""Words in columns and colours for a terminal.

Own code because a terminal library costs more start-up time (40 ms) than the whole answer; Click
decides about colour (none when the output is not a terminal, or NO_COLOR is set).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

GAP = "  "
# What stands in for our signs where the output cannot hold them (an old console, a pipe in cp1252).
_PLAIN = str.maketrans(
    {"█": "#", "▓": "=", "▚": "~", "▒": "%", "░": "-", "▞": "+", "╳": "x", "·": ".", "┃": "|", "…": "..",
     "–": "-", "×": "x", "→": "->", "≥": ">=", "≤": "<="}
)  # fmt: skip


def say(text: str = "", *, fg: str | None = None, bold: bool = False, dim: bool = False) -> None:
    """Print one line; terminals wrap it themselves."""
    click.echo(styled(_printable(text), fg=fg, bold=bold, dim=dim), color=_has_colour())


def say_json(answer: object) -> None:
    """Print an answer as one JSON object."""
    import json

    from plimsoll.domain.answer import plain

    click.echo(json.dumps(plain(answer), ensure_ascii=False, indent=2))


def _printable(text: str) -> str:
    """The text as it is, or with plain signs where the output's encoding lacks ours."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_PLAIN).encode(encoding, "replace").decode(encoding)
    return text


def columns_count(most: int) -> int:
    """The terminal's width up to `most`; `most` where the output is not a terminal."""
    try:
        return min(most, max(20, os.get_terminal_size(sys.stdout.fileno()).columns))
    except (OSError, ValueError):
        return most


def styled(text: str, *, fg: str | None = None, bold: bool = False, dim: bool = False) -> str:
    """The text in a style, or as it is."""
    return click.style(text, fg=fg, bold=bold or None, dim=dim or None) if fg or bold or dim else text


def _has_colour() -> bool | None:
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return None if sys.stdout.isatty() else False


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> None:
    """Print rows in columns as wide as their widest cell; `right` are the columns of numbers."""
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]

    def line(row: Sequence[str]) -> str:
        cells = [
            c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        return GAP.join(cells).rstrip()

    say(line(heads), dim=True)
    for row in rows:
        say(line(row))
