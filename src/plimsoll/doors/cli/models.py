"""`plimsoll models [WORDS]`: list the shipped catalog."""

from __future__ import annotations

import json

import click

from plimsoll.catalog import models as catalog


@click.command("models", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("words", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of ids.")
def command(words: tuple[str, ...], as_json: bool) -> None:
    """List the models of the shipped catalog whose id contains all WORDS."""
    ids = [i for i in catalog.find_all() if all(word.lower() in i.lower() for word in words)]
    click.echo(json.dumps(ids, indent=2) if as_json else "\n".join(ids))
