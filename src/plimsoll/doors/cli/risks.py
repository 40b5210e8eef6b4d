"""`plimsoll risks`: parse the question, ask, print the risks, the weightiest first."""

from __future__ import annotations

from typing import Any

import click

from plimsoll.domain.risk import Risk, RisksAnswer
from plimsoll.doors.cli.fit import fit_options, question_from
from plimsoll.doors.cli.text import say, say_json

_SHOWN_COUNT = 12


@click.command("risks", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("models", nargs=1, required=True, metavar="MODEL")
@fit_options
@click.option("--os", "os", default="", metavar="NAME", help="ubuntu-24.04, windows-11, macos.")
@click.option("--driver", default="", metavar="VERSION", help="NVIDIA's driver, such as 580.95.")
@click.pass_context
def command(ctx: click.Context, /, **typed: Any) -> None:
    """What is likely to go wrong with exactly this deployment?

    From the memory bill, the compatibility rules, failures that were reported of this card or model, and the
    machine itself; ordered by chance and cost. Each with what to do before and how to notice it.

    Exit code: 0 answered, 2 usage, 4 could not reach.
    """
    from plimsoll.ask.risks import RisksQuestion, risks

    question = question_from({**typed, "models": (typed["models"],)})
    answer = risks(RisksQuestion(fit=question, os=typed["os"], driver=typed["driver"]))
    if typed["as_json"]:
        say_json(answer)
    else:
        show(answer, why=typed["why"])
    ctx.exit(answer.exit_code)


def show(answer: RisksAnswer, *, why: bool = False) -> None:
    """Print the risks; with `why` all of them, each with its sources."""
    count = len(answer.risks)
    say(f"{count} {'risk' if count == 1 else 'risks'}  {answer.model}, {answer.weights}, {answer.runtime}, "
        f"{answer.context_tokens:,} tokens on {answer.machine}", bold=True)  # fmt: skip
    shown = answer.risks if why else answer.risks[:_SHOWN_COUNT]
    for rank, risk in enumerate(shown, 1):
        _risk(rank, risk, why=why)
    if len(shown) < count:
        say(f"{count - len(shown)} lesser ones: --why shows them", dim=True)
    for note in answer.notes:
        say(f"note: {note}")


def _risk(rank: int, risk: Risk, *, why: bool) -> None:
    say(f"\n{rank}  {risk.title}  ({risk.chance}; {risk.cost})", bold=True)
    say(f"   why: {risk.why}")
    say(f"   before: {risk.before}")
    if risk.notice:
        say(f"   notice: {risk.notice}")
    for url in risk.urls if why else risk.urls[:1]:
        say(f"   {url}", dim=True)
    if risk.checked_on:
        remark = "" if risk.is_reread else "; the source could not be opened again"
        say(f"   checked on {risk.checked_on}{remark}", dim=True)
