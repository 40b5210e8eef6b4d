"""`plimsoll tokenizer`: parse the question, ask, print the answer."""

from __future__ import annotations

import sys
from typing import Any

import click

from plimsoll.ask.tokenizer import TokenizerQuestion, tokenizer
from plimsoll.errors import BadSetting


class _Comparing(click.Command):
    """`--compare A B C` takes every word up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        out: list[str] = []
        is_open = False
        for arg in args:
            if arg == "--compare":
                is_open = True
            elif is_open and not arg.startswith("-"):
                out.append(f"--compare={arg}")
            else:
                is_open = False
                out.append(arg)
        return super().parse_args(ctx, out)


@click.command("tokenizer", cls=_Comparing, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", required=False)
@click.argument("text", required=False)
@click.option("-f", "--file", metavar="FILE", help="Take the text from a file; - is standard input.")
@click.option("--compare", multiple=True, metavar="MODEL...", help="The same text in these tokenizers; last.")
@click.option(
    "--edit", "edits", multiple=True, metavar="CHANGE",
    help="What breaks: remove:TOKEN, renumber:TOKEN=ID, add:TOKEN,TOKEN.",
)  # fmt: skip
@click.option("--special", is_flag=True, help="List every special and added token with its roles.")
@click.option("--config", "settings", is_flag=True, help="Explain tokenizer_config.json key by key.")
@click.option("--template", is_flag=True, help="Explain the chat template by its markers; it is never run.")
@click.option("--fetch", is_flag=True, help="Read the tokenizer of a catalog model from the hub.")
@click.option("--offline", is_flag=True, help="Never use the network.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON object.")
@click.pass_context
def command(ctx: click.Context, /, **typed: Any) -> None:
    """What is in the tokenizer of MODEL, and what does TEXT cost in tokens?

    MODEL is a folder, a tokenizer.json, a .gguf, a hub id or a name of the catalog. Without TEXT, sample
    texts (English, Russian, Chinese, code, emoji) are counted. With --compare, MODEL may be left out.

    Exit code: 0 answered, 1 an edit breaks something, 2 usage, 3 unknown, 4 could not reach.
    """
    answer = tokenizer(_question(typed))
    if typed["as_json"]:
        import json

        from plimsoll.domain.answer import plain

        text = json.dumps(plain(answer), ensure_ascii=False, indent=2)
        click.echo(text.encode("utf-8", "backslashreplace"))
    else:
        from plimsoll.doors.cli.tokenizer_text import show

        show(answer, special=typed["special"], settings=typed["settings"], template=typed["template"])
    ctx.exit(answer.exit_code)


def _question(typed: dict[str, Any]) -> TokenizerQuestion:
    models = [*([typed["model"]] if typed["model"] else ()), *typed["compare"]]
    if not models:
        raise BadSetting("no model is named", hint="plimsoll tokenizer MODEL, or --compare MODEL MODEL")
    if typed["text"] is not None and typed["file"]:
        raise BadSetting("both a TEXT and a file are given", hint="leave one out")
    return TokenizerQuestion(
        model=models[0], text=_read(typed["file"]) if typed["file"] else typed["text"],
        compare=tuple(models[1:]), edits=typed["edits"], fetch=typed["fetch"], offline=typed["offline"],
    )  # fmt: skip


def _read(path: str) -> str:
    if path != "-":
        from plimsoll.edges.local_file import read_small_text

        return read_small_text(path)
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadSetting(f"standard input is not UTF-8 at byte {error.start}") from None
