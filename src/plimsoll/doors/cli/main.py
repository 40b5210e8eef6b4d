"""`plimsoll`: the command and its subcommands, each imported when it is called."""

from __future__ import annotations

import importlib
import io
import sys

import click

from plimsoll import __version__
from plimsoll.doors.cli.errors import report
from plimsoll.errors import PlimsollError

_READER_GONE = 141  # what a shell reports for SIGPIPE
COMMANDS = {
    "fit": "does this model fit this machine, and how much room is left",
    "speed": "how fast it will be: prompt, first token, generation",
    "load": "how long users wait when many ask, and how much the server can carry",
    "plan": "which runtime, formats and settings to run it with, for what it is for",
    "fleet": "which model goes on which of my machines, what it costs, what is missing",
    "quality": "what a format of weights or KV cache costs the model, as measured",
    "launch": "the exact command that starts it, with the reason of every flag",
    "check": "will this format run on this card, with this runtime, version, driver, adapter",
    "model": "what is in this model, and what each key of its config means",
    "adapter": "what is in this LoRA adapter, does it work on a model, and how many fit beside it",
    "compare": "models side by side, and what carries over from one to another",
    "train-plan": "what training it takes: memory, time, disk, and may inference go on meanwhile",
    "models": "the models of the shipped catalog",
    "devices": "the devices of the shipped catalog",
    "tokenizer": "what is in this tokenizer, and what a text costs in tokens",
    "machine": "what this machine is, as Plimsoll sees it",
    "whatif": "what happens when a key of config.json is changed",
    "diagnose": "what went wrong in this log, why, and what helps",
    "store-plan": "what it takes to keep so many pages searchable: memory, disk, time",
    "risks": "what is likely to go wrong with this deployment, and how to notice it early",
    "scale": "second card, other cards, a CPU server, rent or wait: what each makes possible and costs",
    "calibrate": "fit the speed model to measurements anew",
}


class LazyGroup(click.Group):
    """Subcommands live in `doors/cli/<name>.py` ('-' becomes '_') as `command`; only the called one is
    imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"plimsoll.doors.cli.{cmd_name.replace('-', '_')}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1, cutoff=0.5)
            hint = (
                f"\nhint: did you mean `plimsoll {near[0]}`?"
                if near
                else "\nhint: `plimsoll --help` lists them"
            )
            ctx.fail(f"there is no command {args[0]!r}{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="plimsoll")
def cli() -> None:
    """Know before you load: what a language model needs on the hardware you own."""


def main() -> None:
    """Run the command; every error of Plimsoll becomes one sentence, a hint and its exit code."""
    if "--json" in sys.argv and isinstance(sys.stdout, io.TextIOWrapper):
        # JSON is UTF-8, whatever the console; a byte of a name that is no UTF-8 becomes JSON's own \\udcff.
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        code = cli(standalone_mode=False)
    except PlimsollError as error:
        sys.exit(report(error, as_json="--json" in sys.argv))
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        if "--json" in sys.argv:
            sys.exit(report(PlimsollError(error.format_message()), as_json=True, name="UsageError"))
        error.show()
        sys.exit(error.exit_code)
    except SystemExit:
        # Click's way out, with 1, when the reader of our output went away ("| head"). 1 would mean "no".
        sys.exit(_READER_GONE)
    sys.exit(code if isinstance(code, int) else 0)
