"""Write each command's --help text into docs/reference/<command>.md, between its two marks.

Run after changing an option: `python tools/update_docs.py`. A test fails while they differ.
"""

from __future__ import annotations

import re
from pathlib import Path

import click

from plimsoll.doors.cli.main import COMMANDS, cli

DOCS = Path(__file__).parents[1] / "docs" / "reference"
BLOCK = re.compile(r"(<!-- help -->\n```text\n).*?(```\n<!-- /help -->)", re.DOTALL)


def help_text(name: str) -> str:
    """The command's --help at 100 columns."""
    root = click.Context(cli, info_name="plimsoll", terminal_width=100, max_content_width=100)
    command = cli.get_command(root, name)
    assert command is not None
    return command.get_help(click.Context(command, info_name=name, parent=root)) + "\n"


def updated(page: str, name: str) -> str:
    """The page with the command's present help text."""
    return BLOCK.sub(lambda found: f"{found[1]}{help_text(name)}{found[2]}", page)


if __name__ == "__main__":
    for command_name in COMMANDS:
        path = DOCS / f"{command_name}.md"
        path.write_text(updated(path.read_text(encoding="utf-8"), command_name), encoding="utf-8")
