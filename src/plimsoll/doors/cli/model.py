"""`plimsoll model`: parse the question, ask, print the explanation or draw it."""

from __future__ import annotations

import click

from plimsoll.ask.model import ModelQuestion, explain
from plimsoll.domain.explanation import Explanation
from plimsoll.doors.cli.text import say_json
from plimsoll.errors import BadSetting


@click.command("model", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", metavar="MODEL")
@click.option("--config", is_flag=True, help="Explain each key of config.json, line by line.")
@click.option(
    "--svg", type=click.Path(dir_okay=False, writable=True), metavar="FILE",
    help="Draw the layer map and where the parameters are.",
)  # fmt: skip
@click.option("--offline", is_flag=True, help="Never use the network.")
@click.option("--json", "as_json", is_flag=True, help="Print the explanation as one JSON object.")
def command(model: str, config: bool, svg: str | None, offline: bool, as_json: bool) -> None:
    """What is in MODEL: layers, parameters, formats, context, cache, tokenizer, licence.

    MODEL is a name (gpt-oss-120b), a hub id (Qwen/Qwen3-30B-A3B), a .gguf file or a folder with
    safetensors or a config.json. What neither the files nor the catalog say is listed as unknown.

    Exit code: 0 answered, 2 usage, 3 unknown architecture, 4 could not reach.
    """
    answer = explain(ModelQuestion(model=model, config=config, offline=offline))
    if svg is not None:
        _draw(answer, svg)
    if as_json:
        say_json(answer)
        return
    from plimsoll.doors.cli.model_text import show, show_config

    show_config(answer) if config else show(answer)
    if svg is not None:
        click.echo(f"drawn: {svg}", err=True)


def _draw(answer: Explanation, path: str) -> None:
    from plimsoll.core.model_svg import draw

    try:
        with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(draw(answer))
    except OSError as error:
        raise BadSetting(f"{path} cannot be written: {error.strerror}", hint="--svg FILE.svg") from None
