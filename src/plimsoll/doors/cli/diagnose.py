"""`plimsoll diagnose`: read a log, say what went wrong."""

from __future__ import annotations

import sys

import click

from plimsoll.ask.diagnose import DiagnoseQuestion, diagnose
from plimsoll.domain.failure import DiagnoseAnswer, Recognised
from plimsoll.doors.cli.text import say, table

_SHOWN_COUNT = 3
_LINE_LETTERS = 160
_LARGE_BYTES = 64 << 20
_BASES = {
    "code": "read in the code", "maintainer": "said by its maintainers", "thread": "found in the thread",
    "inferred": "inferred, nobody confirmed it", "unknown": "nobody found it",
}  # fmt: skip


@click.command("diagnose", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("path", metavar="LOGFILE|-")
@click.option("--on", metavar="MACHINE", help="The machine it ran on; default: what the log says.")
@click.option("--runtime", default="", metavar="NAME", help="What wrote it; default: what the log says.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON object.")
@click.pass_context
def command(ctx: click.Context, /, path: str, on: str | None, runtime: str, as_json: bool) -> None:
    """What went wrong in this log, why, and what helps?

    Recognises known failures of llama.cpp, vLLM, SGLang, TensorRT-LLM, Ollama, ExLlama, Transformers, CUDA,
    ROCm and drivers, and lists the facts that the log states. Keys and passwords are masked.

    Exit code: 0 recognised, 2 usage, 3 unknown, 4 could not reach.
    """
    answer = diagnose(DiagnoseQuestion(path=path, on=on, runtime=runtime, told=_progress))
    if as_json:
        import json

        from plimsoll.domain.answer import plain

        click.echo(json.dumps(plain(answer), ensure_ascii=False, indent=2))
    else:
        show(answer)
    ctx.exit(answer.exit_code)


def _progress(done: int, size: int) -> None:
    """A line on a terminal's stderr for logs that take longer than a second."""
    if size >= _LARGE_BYTES and sys.stderr.isatty():
        click.echo(f"\rread {100 * done // size:3} %", nl=done >= size, err=True)


def show(answer: DiagnoseAnswer) -> None:
    """Print causes, the likeliest first, then the facts of the log."""
    read = f"{answer.lines_count:,} lines"
    if answer.causes:
        for rank, cause in enumerate(answer.causes[:_SHOWN_COUNT], 1):
            _cause(rank, cause)
        if len(answer.causes) > _SHOWN_COUNT:
            say(f"{len(answer.causes) - _SHOWN_COUNT} less specific ones: --json lists them", dim=True)
    else:
        say(f"UNKNOWN  {answer.reason} ({read})", bold=True)
        for number, line in answer.suspects:
            say(f"  line {number:,}: {line[:_LINE_LETTERS]}")
    if answer.facts:
        say("\nwhat the log states:")
        table(
            ("fact", "value", "line"),
            [(f.name, f.value[:_LINE_LETTERS], f"{f.line_number:,}") for f in answer.facts], right=(2,),
        )  # fmt: skip
    for note in (f"read {read}", *answer.notes):
        say(f"note: {note}")
    if answer.masked_count:
        say(f"note: {answer.masked_count} secrets were masked; take them out before you post this log")


def _cause(rank: int, cause: Recognised) -> None:
    failure = cause.failure
    say(f"{rank}  {failure.title}", bold=True)
    say(f"   line {cause.line_number:,}: {cause.line[:_LINE_LETTERS]}")
    say(f"   why: {failure.cause or 'unknown'} ({_BASES[failure.cause_basis]})")
    say(f"   what helps: {failure.fix or 'nothing known'}")
    if failure.versions:
        say(f"   versions: {failure.versions}")
    for url in failure.urls:
        say(f"   {url}", dim=True)
    remark = "" if failure.is_reread else "; the source could not be opened again"
    say(f"   checked on {failure.checked_on}{remark}", dim=True)
