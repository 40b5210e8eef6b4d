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


def say(text: str = "", *, fg: str | None = None, bold: bool = False, dim: bool = False) -> None:
    """Print one line; terminals wrap it themselves."""
    click.echo(styled(text, fg=fg, bold=bold, dim=dim), color=_has_colour())


def styled(text: str, *, fg: str | None = None, bold: bool = False, dim: bool = False) -> str:
    """The text in a style, or as it is."""
    return click.style(text, fg=fg, bold=bold or None, dim=dim or None) if fg or bold or dim else text


def _has_colour() -> bool | None:
    if os.environ.get("NO_COLOR"):
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
