"""How an error is worded at the command line."""

from __future__ import annotations

import json

import click

from plimsoll.errors import PlimsollError, UnknownName


def report(error: PlimsollError, *, as_json: bool, name: str = "") -> int:
    """Print one sentence and a hint (or one JSON object) and return the exit code."""
    hint = error.hint
    if isinstance(error, UnknownName) and error.nearest and not hint:
        hint = f"nearest: {', '.join(error.nearest)}"
    if as_json:
        body: dict[str, object] = {
            "error": name or type(error).__name__,
            "message": error.message,
            "hint": hint,
        }
        if isinstance(error, UnknownName):
            body["nearest"] = list(error.nearest)
        click.echo(json.dumps(body, ensure_ascii=False, indent=2))
    else:
        click.echo(f"{click.style('error', fg='red')}: {error}", err=True)
        if hint:
            click.echo(f"hint: {hint}", err=True)
    return error.exit_code
