"""`plimsoll whatif`: parse the question, ask, print the answer."""

from __future__ import annotations

from typing import Any

import click

from plimsoll.ask.whatif import WhatIfQuestion, ask
from plimsoll.core.sweep import chart, read_contexts, read_counts
from plimsoll.domain.whatif import WhatIf
from plimsoll.doors.cli.text import say_json
from plimsoll.errors import BadSetting


@click.command("whatif", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", metavar="MODEL")
@click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE",
    help="An edit: num_experts_per_tok=16, rope_scaling=yarn:4, text_config.sliding_window=2048.",
)  # fmt: skip
@click.option("--experts", default="", metavar="A..B", help="Sweep the experts per token: 1..32 or 1,2,4,8.")
@click.option("--context", default="", metavar="N|A..B", help="Tokens: 128k; or a sweep: 4k..1m, 4k,32k.")
@click.option("--on", metavar="MACHINE", help="Count bytes per device on this machine, as `fit` does.")
@click.option("--runtime", default="", metavar="NAME[==VERSION]", help="The runtime for --on.")
@click.option("--weights", default="", metavar="FORMAT", help="q4_k_m, fp8, awq ...; default: as published.")
@click.option("--kv", default="", metavar="FORMAT", help="KV cache, such as q8_0 or fp8.")
@click.option("--parallel", type=click.IntRange(1, 10**6), default=1, help="Sequences at once, for --on.")
@click.option(
    "--svg",
    "svg_path",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Draw the sweep into FILE.svg or FILE.png.",
)
@click.option("--offline", is_flag=True, help="Never use the network.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON object.")
@click.pass_context
def command(ctx: click.Context, /, **typed: Any) -> None:
    """What happens when a key of MODEL's config.json is changed?

    Says for each edit what Transformers and llama.cpp do with it (safe, changes behaviour, load error,
    loads silently and breaks the model), which numbers change, and how each runtime is told.

    Exit code: 0 it loads, 1 it breaks or does not load, 2 usage, 3 unknown, 4 could not reach.
    """
    answer = ask(_question(typed))
    if typed["svg_path"]:
        _draw(answer, typed["svg_path"])
    if typed["as_json"]:
        say_json(answer)
    else:
        from plimsoll.doors.cli.render_whatif import show

        show(answer)
    ctx.exit(answer.exit_code)


def _question(typed: dict[str, Any]) -> WhatIfQuestion:
    contexts = read_contexts(typed["context"]) if typed["context"] else ()
    is_sweep = len(contexts) > 1 or ".." in typed["context"]
    return WhatIfQuestion(
        model=typed["model"], sets=typed["sets"], on=typed["on"], runtime=typed["runtime"],
        weights=typed["weights"], kv=typed["kv"],
        context_tokens=contexts[0] if contexts and not is_sweep else None,
        parallel_sequences_count=typed["parallel"],
        experts=read_counts(typed["experts"]) if typed["experts"] else (),
        contexts=contexts if is_sweep else (), offline=typed["offline"],
    )  # fmt: skip


def _draw(answer: WhatIf, path: str) -> None:
    if answer.sweep is None:
        raise BadSetting("--svg draws a sweep", hint="add --experts 1..32 or --context 4k..1m")
    from plimsoll.edges.chart import draw

    draw(chart(answer.sweep, f"{answer.model}: {answer.sweep.axis}"), path)
