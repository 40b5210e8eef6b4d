"""Ids of the catalog that contain words, or the ones nearest to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import click

from plimsoll.errors import PlimsollError


def show(
    what: str, words: Sequence[str], known: Sequence[str], find: Callable[[str], object], *, as_json: bool
) -> None:
    """Print the ids that contain all words; without one, say so on stderr with the nearest; exit with 1."""
    ids = [i for i in known if all(word.lower() in i.lower() for word in words)]
    if ids or as_json:
        click.echo(json.dumps(ids, indent=2) if as_json else "\n".join(ids))
    if ids:
        return
    click.echo(f"no id of the catalog's {len(known)} {what} contains {' and '.join(words)}", err=True)
    try:
        find(" ".join(words))
    except PlimsollError as error:
        if error.hint:
            click.echo(f"hint: {error.hint}", err=True)
    click.get_current_context().exit(1)
