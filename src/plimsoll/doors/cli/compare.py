"""`plimsoll compare`: parse the question, ask, print the models side by side."""

from __future__ import annotations

import click

from plimsoll.ask.compare import CompareQuestion, compare
from plimsoll.doors.cli.fit import TOKENS
from plimsoll.doors.cli.text import say_json


@click.command("compare", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("models", nargs=-1, required=True, metavar="A B...")
@click.option("--on", default="", metavar="MACHINE", help="Does each fit this machine?")
@click.option(
    "--runtime", default="", metavar="NAME[==VERSION]", help="The runtime to fit on; default: chosen."
)
@click.option("--weights", default="", metavar="FORMAT", help="Weights to fit with: q4_k_m, fp8, bf16.")
@click.option("--context", type=TOKENS, help="Tokens per sequence to fit: 131072 or 128k.")
@click.option("--all", "is_whole", is_flag=True, help="Show rows in which the models agree, too.")
@click.option("--offline", is_flag=True, help="Never use the network.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON object.")
def command(
    models: tuple[str, ...], on: str, runtime: str, weights: str, context: int | None, is_whole: bool,
    offline: bool, as_json: bool,
) -> None:  # fmt: skip
    """Models side by side, and what carries over from A to the others: tokenizer, chat format, prompts
    and LoRA adapters.

    Each is a name (gpt-oss-120b), a hub id, a .gguf file or a folder with safetensors or a config.json.

    Exit code: 0 answered, 2 usage, 3 unknown architecture, 4 could not reach.
    """
    answer = compare(
        CompareQuestion(
            models=models, on=on, runtime=runtime, weights=weights, context_tokens=context, offline=offline
        )
    )
    if as_json:
        say_json(answer)
        return
    from plimsoll.doors.cli.compare_text import show

    show(answer, is_whole=is_whole)
