"""`plimsoll devices [WORDS]`: list the shipped catalog."""

from __future__ import annotations

import click

from plimsoll.catalog import devices as catalog
from plimsoll.doors.cli.listing import show


@click.command("devices", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("words", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of ids.")
def command(words: tuple[str, ...], as_json: bool) -> None:
    """List the devices of the shipped catalog whose id contains all WORDS.

    Exit code: 0 found, 1 none has them.
    """
    show("devices", words, catalog.find_all(), catalog.find, as_json=as_json)
