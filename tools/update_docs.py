"""Write what the program prints into the docs: --help texts, and the output of shown commands.

`docs/reference/<command>.md` holds the help between its two marks; README.md the output of its first
command. Run after changing an option: `python tools/update_docs.py`. A test fails while they differ.
"""

from __future__ import annotations

import re
from pathlib import Path

import click
from click.testing import CliRunner

from plimsoll.doors.cli.main import COMMANDS, cli

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "reference"
README = ROOT / "README.md"
FIRST_COMMAND = re.compile(r"&& plimsoll (.+)\n")
OUTPUT = re.compile(r"(<!-- output -->\n```text\n).*?(```\n<!-- /output -->)", re.DOTALL)
BLOCK = re.compile(r"(<!-- help -->\n```text\n).*?(```\n<!-- /help -->)", re.DOTALL)


def help_text(name: str) -> str:
    """The command's --help at 100 columns."""
    # Click keeps a command's help option once made: the names must be those of a real call every time.
    names = ["-h", "--help"]
    root = click.Context(
        cli, info_name="plimsoll", terminal_width=100, max_content_width=100, help_option_names=names
    )
    command = cli.get_command(root, name)
    assert command is not None
    return command.get_help(click.Context(command, info_name=name, parent=root)) + "\n"


def updated(page: str, name: str) -> str:
    """The page with the command's present help text."""
    return BLOCK.sub(lambda found: f"{found[1]}{help_text(name)}{found[2]}", page)


def with_first_output(readme: str) -> str:
    """The README with what its first command prints now."""
    command = FIRST_COMMAND.search(readme)
    assert command is not None
    printed = CliRunner().invoke(cli, [*command[1].split(), "--offline"]).output
    return OUTPUT.sub(lambda found: f"{found[1]}{printed}{found[2]}", readme)


if __name__ == "__main__":
    README.write_text(with_first_output(README.read_text(encoding="utf-8")), encoding="utf-8")
    for command_name in COMMANDS:
        path = DOCS / f"{command_name}.md"
        path.write_text(updated(path.read_text(encoding="utf-8"), command_name), encoding="utf-8")
