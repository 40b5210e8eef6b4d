"""`plimsoll adapter`: parse the question, ask, print the answer."""

from __future__ import annotations

import click

from plimsoll.ask.adapter import AdapterQuestion, adapter
from plimsoll.doors.cli.fit import TOKENS
from plimsoll.doors.cli.text import say_json


@click.command("adapter", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("path", metavar="PATH")
@click.option(
    "--for", "model", default="", metavar="MODEL", help="Does it work on this model? Default: its base."
)
@click.option("--on", default="", metavar="MACHINE", help="How many fit beside the model on this machine.")
@click.option(
    "--runtime", default="", metavar="NAME[==VERSION]", help="The runtime of the bill; default: chosen."
)
@click.option("--weights", default="", metavar="FORMAT", help="The model's weights: q4_k_m, fp8, bf16.")
@click.option("--context", type=TOKENS, help="Tokens per sequence: 131072 or 128k.")
@click.option("--all", "is_whole", is_flag=True, help="List every module, not one line per reason.")
@click.option("--offline", is_flag=True, help="Never use the network.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON object.")
@click.pass_context
def command(
    ctx: click.Context, /, path: str, model: str, on: str, runtime: str, weights: str, context: int | None,
    is_whole: bool, offline: bool, as_json: bool,
) -> None:  # fmt: skip
    """What is in the LoRA adapter at PATH, does it work on MODEL, and how many fit beside it?

    PATH is the folder that PEFT wrote (adapter_config.json and adapter_model.safetensors) or a GGUF
    adapter. The verdict is what PEFT or llama.cpp would do, module by module.

    Exit code: 0 works or not asked, 1 does not load or changes nothing, 2 usage, 3 unknown.
    """
    answer = adapter(
        AdapterQuestion(
            path=path, model=model, on=on, runtime=runtime, weights=weights, context_tokens=context,
            offline=offline,
        )
    )  # fmt: skip
    if as_json:
        say_json(answer)
    else:
        from plimsoll.doors.cli.adapter_text import show

        show(answer, is_whole=is_whole)
    ctx.exit(answer.exit_code)
