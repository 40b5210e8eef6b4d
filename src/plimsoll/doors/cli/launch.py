"""`plimsoll launch`: parse the question, ask, print the command with the reason of every flag."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from plimsoll.ask.fit import FitQuestion, spelled
from plimsoll.ask.launch import COMMAND, TARGETS, LaunchQuestion, launch, plan_question
from plimsoll.core.launch_shell import one_line, script, shown
from plimsoll.domain.launch import LaunchAnswer
from plimsoll.doors.cli.fit import fit_options, question_from
from plimsoll.doors.cli.text import say, styled
from plimsoll.errors import BadSetting
from plimsoll.units import format_bytes


@click.command("launch", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("reference", required=True, metavar="PLAN|MODEL")
@click.option("--print", "wants_print", is_flag=True, help="Show the command (what happens anyway).")
@click.option("--as", "target", default=COMMAND, metavar="TARGET", help=f"{', '.join((COMMAND, *TARGETS))}.")
@click.option("--model-path", default="", metavar="PATH", help="The file or folder to load.")
@click.option("--name", "served_name", default="", help="What clients call the model.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="Port to listen on."
)
@fit_options
@click.pass_context
def command(ctx: click.Context, /, **typed: Any) -> None:
    """The exact command that starts PLAN or MODEL, with the reason of every flag.

    PLAN is a file that `plimsoll plan --save` wrote (plan.json, or plan.json#3 for its third choice);
    MODEL is what `plimsoll fit` takes, with the same options.

    Exit code: 0 yes, 1 does not fit, 2 usage, 3 unknown, 4 could not reach.
    """
    typed.pop("wants_print")
    answer = launch(_question(ctx, typed))
    if typed["as_json"]:
        import json

        from plimsoll.domain.answer import plain

        click.echo(json.dumps(plain(answer), ensure_ascii=False, indent=2))
    else:
        show(answer)
    ctx.exit(answer.exit_code)


def _question(ctx: click.Context, typed: dict[str, Any]) -> LaunchQuestion:
    """The question of a saved plan, or of the options; a plan's choice is not bent by options."""
    typed["models"] = (typed.pop("reference"),)
    asked = question_from(typed)
    planned = plan_question(asked.models[0])
    if planned is not None:
        blank = FitQuestion(models=asked.models)
        bent = [n for n in blank.__slots__ if n != "offline" and getattr(asked, n) != getattr(blank, n)]
        if bent:
            raise BadSetting(
                f"{asked.models[0]} already says what is launched, so {', '.join(bent)} cannot be changed",
                hint="ask plimsoll plan again, or launch the model by its name with all options",
            )
        asked = replace(planned.fit, offline=planned.fit.offline or asked.offline)
    own = {name: typed[name] for name in ("target", "model_path", "served_name", "host", "port")}
    return LaunchQuestion(fit=asked, fingerprint=planned.fingerprint if planned else "", **own)


def show(answer: LaunchAnswer) -> None:
    """Print the command or files to stdout; verdict and notes as comments, so that a shell takes it all."""
    facts = answer.model[0]
    word = {"fits": "fits", "tight": "fits tightly", "offload": "fits, with weights in host memory"}
    runtime = f"{spelled(facts.runtime)} {facts.runtime_version}".rstrip()
    said = f"# {shown(facts.id)}, {facts.weight_format} on {runtime}, {shown(answer.machine)}"
    say(f"{said}: {word.get(answer.verdict, answer.verdict.replace('_', ' '))}")
    if answer.command is None and not answer.files:
        say(f"# {answer.reason}", fg="yellow")
        for fix in answer.remedies:
            say(f"#   {fix.flags}: {fix.change}, then {format_bytes(fix.headroom_bytes)} left")
    if answer.command is not None:
        say(script(answer.command).rstrip("\n"))
    for file in answer.files:
        say(styled(f"# ---- {shown(file.name)}: {shown(file.reason)}", bold=True))
        say(file.text.rstrip("\n"))
    if answer.start:
        say(f"# start: {one_line(answer.start)}")
    for note in answer.notes:
        say(f"# note: {shown(note)}")
    for unknown in answer.unknowns:
        say(f"# unknown: {shown(unknown)}", fg="yellow")
