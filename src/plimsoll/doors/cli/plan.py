"""`plimsoll plan`: parse the question, ask, print or save the answer."""

from __future__ import annotations

import gc
import json
from functools import partial
from typing import Any, get_args

import click

from plimsoll.ask.fit import spelled
from plimsoll.ask.plan import plan
from plimsoll.ask.plan_question import PlanQuestion
from plimsoll.domain.answer import plain
from plimsoll.domain.deployment import SplitKind
from plimsoll.domain.plan import GOALS, PlanAnswer
from plimsoll.doors.cli.fit import SIZE, TOKENS, Parsed
from plimsoll.doors.cli.speed import RENT
from plimsoll.errors import BadSetting
from plimsoll.runtimes import RUNTIMES
from plimsoll.units import parse_money, parse_rate, parse_seconds

BUDGET = Parsed("price", partial(parse_money, per=("month",)))
SECONDS = Parsed("time", parse_seconds)
RATE = Parsed("rate", parse_rate)


@click.command("plan", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("models", nargs=-1, metavar="MODEL...")
@click.option("--on", metavar="MACHINE", help="rtx-pro-6000, '2x rtx-3090 + 128GiB ram'; default: here.")
@click.option("--goal", type=click.Choice(GOALS), default="chat", show_default=True, help="What it is for.")
@click.option("--context", type=TOKENS, help="Tokens per sequence; default: the goal's.")
@click.option("--users", type=click.IntRange(1, 10**4), help="Sequences at once; default: the goal's.")
@click.option("--min-tps", type=click.FloatRange(0, min_open=True), help="Least generated tokens/s of each.")
@click.option("--max-ttft", type=SECONDS, metavar="TIME", help="Longest wait for the first token: 2s, 500ms.")
@click.option(
    "--budget", type=BUDGET, metavar="PRICE/month", help="Most rent of the cards in use: 400USD/month."
)
@click.option("--rent", type=RENT, metavar="PRICE/h", help="Rent of the machine, such as 1.45USD/h.")
@click.option("--prices", "prices_file", default="", metavar="FILE.toml", help="Your own prices.")
@click.option("--runtime", default="", metavar="NAME", help=f"Only {', '.join(map(spelled, RUNTIMES))}.")
@click.option("--weights", default="", metavar="FORMAT", help="Only these weights: q4_k_m, fp8, bf16.")
@click.option("--kv", default="", metavar="FORMAT[/FORMAT]", help="Only this KV cache: q8_0, fp8.")
@click.option("--split", type=click.Choice(get_args(SplitKind)), help="Only this way over several devices.")
@click.option("--no-offload", is_flag=True, help="Keep no weights in host memory.")
@click.option("--vram-free", type=SIZE, help="What is free on each device, such as 80GiB.")
@click.option("--ram", type=SIZE, help="Host memory, such as 128GiB.")
@click.option("--desktop", type=SIZE, help="What a desktop takes on the first card.")
@click.option(
    "--adapter", "adapters", multiple=True, metavar="PATH", help="A LoRA adapter on the first MODEL."
)
@click.option("--disk", type=RATE, metavar="RATE", help="How fast weights are read: 7GB/s.")
@click.option("--all-models", is_flag=True, help="Rank the catalog; MODEL are words of their names, if any.")
@click.option("--top", type=click.IntRange(1, 1000), default=20, show_default=True, help="Models to show.")
@click.option("--save", metavar="FILE.json", help="Write the plan for `plimsoll launch FILE.json#1`.")
@click.option("--offline", is_flag=True, help="Never use the network.")
@click.option("--why", is_flag=True, help="Show what was compared, left out and not checked, and sources.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON object.")
@click.pass_context
def command(ctx: click.Context, /, **typed: Any) -> None:
    """Which way should I run MODEL on the machine?

    Every runtime, weight and cache format, split and offload that fits, ranked by the goal; why the first is
    first, and what each other one gains and gives up.

    Exit code: 0 there is a plan, 1 there is none, 2 usage, 3 unknown, 4 could not reach.
    """
    # Thousands of small objects without cycles: looking for garbage among them takes a sixth of the time.
    gc.disable()
    try:
        answer = _answer(typed)
    finally:
        gc.enable()
    whole = json.dumps(plain(answer), ensure_ascii=False, indent=2)
    if typed["save"]:
        from plimsoll.edges.local_file import write_text

        write_text(typed["save"], whole + "\n")
    if typed["as_json"]:
        click.echo(whole)
    else:
        from plimsoll.doors.cli import plan_text

        show = plan_text.show_models if typed["all_models"] else plan_text.show
        show(answer, why=typed["why"], saved=typed["save"] or "")
    ctx.exit(answer.exit_code)


def _answer(typed: dict[str, Any]) -> PlanAnswer:
    if typed["models"] == ("*",):
        typed["models"], typed["all_models"] = (), True
    if typed["all_models"]:
        from plimsoll.ask.plan_catalog import plan_catalog

        words = typed.pop("models")
        return plan_catalog(_question({**typed, "models": ()}), words, typed["top"])
    if not typed["models"]:
        raise BadSetting("no model is named", hint="plimsoll plan gpt-oss-120b --on rtx-pro-6000")
    return plan(_question(typed))


def _question(typed: dict[str, Any]) -> PlanQuestion:
    return PlanQuestion(
        models=typed["models"], on=typed["on"], goal=typed["goal"], context_tokens=typed["context"],
        users_count=typed["users"], min_tokens_per_s=typed["min_tps"], max_first_token_s=typed["max_ttft"],
        runtime=typed["runtime"], weights=typed["weights"], kv=typed["kv"], split=typed["split"],
        vram_free_bytes=typed["vram_free"], ram_bytes=typed["ram"], desktop_bytes=typed["desktop"],
        budget=typed["budget"], rent=typed["rent"], prices_file=typed["prices_file"],
        adapters=typed["adapters"], disk_bytes_per_s=typed["disk"],
        is_offload_allowed=not typed["no_offload"], offline=typed["offline"],
    )  # fmt: skip
