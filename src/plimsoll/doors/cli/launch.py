"""`plimsoll launch`: parse the question, ask, print, write or run the command."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from plimsoll.ask.fit import FitQuestion, spelled
from plimsoll.ask.launch import COMMAND, TARGETS, LaunchQuestion, launch, plan_question
from plimsoll.core.launch_shell import one_line, script, shown
from plimsoll.domain.launch import LaunchAnswer
from plimsoll.doors.cli.fit import fit_options, question_from
from plimsoll.doors.cli.text import say, say_json, styled
from plimsoll.errors import BadSetting
from plimsoll.units import format_bytes

_SERVED = (
    "target",
    "model_path",
    "served_name",
    "host",
    "port",
    "program",
    "speculate",
    "draft",
    "draft_path",
)
_HEADLINES = {"fits": "fits", "tight": "fits tightly", "offload": "fits, with weights in host memory",
              "does_not_fit": "does not fit"}  # fmt: skip


def _options(command: Any) -> Any:
    option = click.option
    for add in reversed(
        [
            option("--print", "wants_print", is_flag=True, help="Show what would start (the default)."),
            option("--write", metavar="DIR", help="Write the files there."),
            option("--force", is_flag=True, help="With --write: over files that are there."),
            option("--run", "wants_run", is_flag=True, help="Start it and compare its log with the promise."),
            option("--check", is_flag=True, help="With --run: end it once it has been compared."),
            option(
                "--as", "target", default=COMMAND, metavar="TARGET",
                help=f"{', '.join((COMMAND, *TARGETS))}.",
            ),
            option("--model-path", default="", metavar="PATH", help="The file or folder to load."),
            option("--name", "served_name", default="", help="What clients call the model."),
            option("--host", default="127.0.0.1", show_default=True, help="Address to listen on."),
            option(
                "--port", type=click.IntRange(1, 65535), default=8000, show_default=True,
                help="Port to listen on.",
            ),
            option("--speculate", default="", metavar="mtp|draft[:N]", help="Draft N tokens a step."),
            option("--draft", default="", metavar="MODEL", help="A small model that drafts (llama.cpp)."),
            option("--draft-path", default="", metavar="PATH", help="The file of the draft model."),
            option("--program", default="", metavar="PATH", help="The program, where it is not on the PATH."),
        ]
    ):  # fmt: skip
        command = add(command)
    return command


@click.command("launch", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("reference", required=True, metavar="PLAN|MODEL")
@_options
@fit_options
@click.pass_context
def command(ctx: click.Context, /, **typed: Any) -> None:
    """The exact command that starts PLAN or MODEL, with the reason of every flag.

    PLAN is a file that `plimsoll plan --save` wrote (plan.json, or plan.json#3 for its third choice);
    MODEL is what `plimsoll fit` takes, with the same options.

    Exit code: 0 yes, 1 does not fit (or, run, not as promised), 2 usage, 3 unknown, 4 it did not start, or
    something could not be reached.
    """
    _refuse_contradictions(typed)
    answer = launch(_question(typed))
    if typed["wants_run"]:
        from plimsoll.doors.cli.launch_run import run_and_show

        code = run_and_show(answer, until_ready=typed["check"], as_json=typed["as_json"])
        ctx.exit(code)
    written = _write(answer, typed)
    if typed["as_json"]:
        say_json(answer)
    elif not written or typed["wants_print"]:
        show(answer)
    ctx.exit(answer.exit_code)


def _refuse_contradictions(typed: dict[str, Any]) -> None:
    wrong = [
        ("--check", typed["check"] and not typed["wants_run"], "add --run: it is the run that is checked"),
        ("--force", typed["force"] and not typed["write"], "add --write DIR"),
        ("--run with --write", typed["wants_run"] and typed["write"], "one after the other"),
        ("--run with --print", typed["wants_run"] and typed["wants_print"], "one after the other"),
        (f"--run with --as {typed['target']}", typed["wants_run"] and typed["target"] != COMMAND,
         f"--run starts the {COMMAND}; --write DIR and start the files yourself"),
    ]  # fmt: skip
    for what, is_wrong, hint in wrong:
        if is_wrong:
            raise BadSetting(f"{what} does not go", hint=hint)


def _question(typed: dict[str, Any]) -> LaunchQuestion:
    """The question of a saved plan, or of the options; a plan's choice is not bent by options."""
    typed["models"] = (typed.pop("reference"),)
    asked, fingerprint = planned_or(question_from(typed))
    own = {name: typed[name] for name in _SERVED}
    return LaunchQuestion(fit=asked, fingerprint=fingerprint, **own)


def planned_or(asked: FitQuestion) -> tuple[FitQuestion, str]:
    """The question that a saved plan answers, with its fingerprint, where that is what was named."""
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
    return asked, planned.fingerprint if planned else ""


def _write(answer: LaunchAnswer, typed: dict[str, Any]) -> bool:
    """Write the files where that was asked for; nothing of what does not fit."""
    if not typed["write"] or not answer.files:
        return False
    from plimsoll.edges.written import write_all

    paths = write_all(typed["write"], {f.name: f.text for f in answer.files}, is_forced=typed["force"])
    if not typed["as_json"]:
        for path, file in zip(paths, answer.files, strict=True):
            say(f"wrote {shown(path)}: {shown(file.reason)}")
        if answer.start:
            say(f"start: {one_line(answer.start)}")
        _remarks(answer, "")
    return True


def show(answer: LaunchAnswer) -> None:
    """Print the command or files to stdout; verdict and notes as comments, so that a shell takes it all."""
    facts = answer.model[0]
    runtime = f"{spelled(facts.runtime)} {facts.runtime_version}".rstrip()
    said = f"# {shown(facts.id)}, {facts.weight_format} on {runtime}, {shown(answer.machine)}"
    say(f"{said}: {_HEADLINES.get(answer.verdict, answer.verdict)}")
    if not answer.files:
        say(f"# {shown(answer.reason)}", fg="yellow")
        for fix in answer.remedies:
            say(f"#   {fix.flags}: {fix.change}, then {format_bytes(fix.headroom_bytes)} left")
    if answer.command is not None:
        say(script(answer.command).rstrip("\n"))
    for file in answer.files if answer.command is None else ():
        say(styled(f"# ---- {shown(file.name)}: {shown(file.reason)}", bold=True))
        say(file.text.rstrip("\n"))
    if answer.start:
        say(f"# start: {one_line(answer.start)}")
    _remarks(answer, "# ")


def _remarks(answer: LaunchAnswer, before: str) -> None:
    for note in answer.notes:
        say(f"{before}note: {shown(note)}")
    for unknown in answer.unknowns:
        say(f"{before}unknown: {shown(unknown)}", fg="yellow")
