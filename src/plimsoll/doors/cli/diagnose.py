"""`plimsoll diagnose`: read a log, say what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from plimsoll.ask.diagnose import DiagnoseQuestion, diagnose
from plimsoll.domain.failure import DiagnoseAnswer, Recognised
from plimsoll.doors.cli.text import say, say_json, table

_SHOWN_COUNT = 3
_LINE_LETTERS = 160
_LARGE_BYTES = 64 << 20
_TIERS = {
    "exact": "", "class": "  (class of failure recognised; the exact case is unknown)",
    "symptom": "  (a symptom: what happened, not why)",
}  # fmt: skip
_BASES = {
    "code": "read in the code", "maintainer": "said by its maintainers", "thread": "found in the thread",
    "inferred": "inferred, nobody confirmed it", "unknown": "nobody found it",
}  # fmt: skip


@click.command("diagnose", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("path", metavar="LOGFILE|-")
@click.option("--on", metavar="MACHINE", help="The machine it ran on; default: what the log says.")
@click.option("--runtime", default="", metavar="NAME", help="What wrote it; default: what the log says.")
@click.option("--why", is_flag=True, help="Show all that was found, which text matched, and every source.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON object.")
@click.pass_context
def command(ctx: click.Context, /, path: str, on: str | None, runtime: str, why: bool, as_json: bool) -> None:
    """What went wrong in this log, why, and what helps?

    Recognises known failures of llama.cpp, vLLM, SGLang, TensorRT-LLM, Ollama, ExLlama, Transformers, CUDA,
    ROCm and drivers, and lists the facts that the log states. Keys and passwords are masked.

    Exit code: 0 recognised, 2 usage, 3 unknown, 4 could not reach.
    """
    answer = diagnose(DiagnoseQuestion(path=path, on=on, runtime=runtime, told=_progress))
    if as_json:
        say_json(answer)
    else:
        show(answer, why=why)
    ctx.exit(answer.exit_code)


def _progress(done: int, size: int) -> None:
    """A line on a terminal's stderr for logs that take longer than a second."""
    if size >= _LARGE_BYTES and sys.stderr.isatty():
        click.echo(f"\rread {100 * done // size:3} %", nl=done >= size, err=True)


def show(answer: DiagnoseAnswer, *, why: bool = False) -> None:
    """Print causes, the likeliest first, then the facts of the log; with `why` all, and what is not known."""
    read = f"{answer.lines_count:,} lines"
    if answer.verdict == "unknown":
        say(f"UNKNOWN  {answer.reason} ({read})", bold=True)
        for number, line in answer.suspects:
            say(f"  line {number:,}: {line[:_LINE_LETTERS]}")
    shown = answer.causes if why else _told_apart(answer.causes)[:_SHOWN_COUNT]
    for rank, cause in enumerate(shown, 1):
        _cause(rank, cause, why=why)
    if len(shown) < len(answer.causes):
        say(f"{len(answer.causes) - len(shown)} less specific ones: --why shows them", dim=True)
    if answer.facts:
        say("\nwhat the log states:")
        table(
            ("fact", "value", "line"),
            [(f.name, f.value[:_LINE_LETTERS], f"{f.line_number:,}") for f in answer.facts], right=(2,),
        )  # fmt: skip
    for unknown in answer.unknowns if why else ():
        say(f"not known: {unknown}")
    for note in (f"read {read}", *answer.notes):
        say(f"note: {note}")
    if answer.masked_count:
        say(f"note: {answer.masked_count} secrets were masked; take them out before you post this log")


def _told_apart(causes: Sequence[Recognised]) -> list[Recognised]:
    """Without classes and symptoms of a line that a cause before them explains."""
    kept: list[Recognised] = []
    for cause in causes:
        explained = any(cause.line_number == k.line_number for k in kept)
        if cause.failure.tier == "exact" or not explained:
            kept.append(cause)
    return kept


def _cause(rank: int, cause: Recognised, *, why: bool) -> None:
    failure = cause.failure
    tier = failure.tier if failure.tells_why else "symptom"
    say(f"{rank}  {failure.title}{_TIERS[tier]}", bold=True)
    say(f"   line {cause.line_number:,}: {cause.line[:_LINE_LETTERS]}")
    say(f"   why: {failure.cause or 'unknown'} ({_BASES[failure.cause_basis]})")
    say(f"   what helps: {failure.fix or 'nothing known'}")
    if failure.versions:
        say(f"   versions: {failure.versions}")
    if why:
        say(f"   recognised by {cause.specificity} letters of {failure.id}")
    for url in failure.urls:
        say(f"   {url}", dim=True)
    remark = "" if failure.is_reread else "; the source could not be opened again"
    say(f"   checked on {failure.checked_on}{remark}", dim=True)
