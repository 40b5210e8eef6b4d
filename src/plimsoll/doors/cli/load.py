"""`plimsoll load`: parse the question, ask, print the answer."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from plimsoll.ask.fit import spelled
from plimsoll.ask.load import LoadQuestion, load
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.load import LoadAnswer
from plimsoll.doors.cli.fit import TOKENS, Parsed, fit_options, question_from
from plimsoll.doors.cli.load_copies import compare, compare_options, trace_options, trace_question
from plimsoll.doors.cli.text import say, say_json, table
from plimsoll.errors import BadSetting
from plimsoll.units import format_arrivals, format_count, parse_arrivals, parse_seconds

ARRIVALS = Parsed("arrivals", parse_arrivals)
SECONDS = Parsed("time", parse_seconds)
_VERDICTS = {
    "keeps_up": ("KEEPS UP", "green"), "misses_targets": ("TOO SLOW", "yellow"),
    "saturated": ("SATURATED", "red"), "does_not_fit": ("DOES NOT FIT", "red"),
    "unknown": ("UNKNOWN", "yellow"),
}  # fmt: skip
_TIMES = (("ttft", "first token"), ("tpot", "each later token"), ("total", "whole answer"))
_ROWS = (
    ("requests_per_s", "answered"), ("goodput_per_s", "answered within the targets"),
    ("tokens_per_s", "generated"), ("running_mean", "running at a time, mean"),
    ("waiting_mean", "waiting, mean"), ("waiting_most", "waiting, at most"),
    ("held_share_mean", "KV cache in use, mean"), ("held_share_most", "KV cache in use, at most"),
    ("preemptions_per_100", "preempted"), ("cached_share", "of prompts found in the cache"),
    ("busy_share", "server busy"),
)  # fmt: skip
# Told only where there is something to tell.
_IF_ANY = ("preemptions_per_100", "cached_share", "waiting_most")


@click.command("load", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("models", nargs=1, required=True, metavar="MODEL")
@click.argument("layouts", nargs=-1, metavar="[LAYOUT]")
@click.option("--users", type=click.IntRange(1, 100_000), help="People who ask, wait, think and ask again.")
@click.option("--arrivals", type=ARRIVALS, metavar="N/s", help="Requests that come: 0.5/s, 30/min, 100/h.")
@click.option("--prompt", type=TOKENS, help="Tokens of each prompt, such as 4k.")
@click.option("--output", type=TOKENS, help="Tokens of each answer, such as 500.")
@click.option("--prefix-shared", type=TOKENS, help="Tokens with which all prompts begin alike.")
@click.option("--think", type=SECONDS, help="Between an answer and a user's next question: 20s.")
@click.option("--habit", default="", metavar="NAME", help="Ask as people do: chat, thinking, agents.")
@trace_options
@click.option("--requests", type=click.IntRange(1, 1_000_000), help="How many are simulated [default: 2000].")
@click.option("--seconds", type=SECONDS, help="Simulate so long instead, such as 600s.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of what comes by chance.")
@click.option("--ttft", type=SECONDS, help="95 of 100 shall have their first token within: 2s.")
@click.option("--tpot", type=SECONDS, help="95 of 100 shall have each later token within: 50ms.")
@compare_options
@click.option("--plot", is_flag=True, help="Draw waits against load.")
@click.option("--svg", metavar="FILE", help="Draw that into FILE.svg or FILE.png.")
@fit_options
@click.pass_context
def command(ctx: click.Context, /, **typed: Any) -> None:
    """How long do users of MODEL wait, and how many can it serve?

    Simulates the server, request by request: its queue, its batch, its KV cache and prefix cache, and what it
    does when they are full. Tells waits with 80 % intervals, the load at which the queue grows without end,
    and the one at which the server breaks down. --parallel is the number of slots of llama-server. MODEL may
    be a choice of a saved plan (plan.json#1).

    Exit code: 0 keeps up, 1 does not, 2 usage, 3 unknown, 4 could not reach.
    """
    typed["models"] = (typed["models"],)
    if typed["compare"] or typed["layouts"]:
        compare(ctx, typed)
        return
    fit, is_told = question_from(typed), ctx.get_parameter_source("parallel") is ParameterSource.COMMANDLINE
    if ".json" in typed["models"][0]:
        from plimsoll.doors.cli.launch import planned_or

        fit, fingerprint = planned_or(fit)
        is_told = is_told or bool(fingerprint)
    answer = load(
        LoadQuestion(
            fit=fit, users_count=typed["users"], rate_per_s=typed["arrivals"],
            prompt_tokens=typed["prompt"], output_tokens=typed["output"],
            shared_tokens=typed["prefix_shared"] or 0, think_s=typed["think"], habit=typed["habit"],
            requests_count=typed["requests"], seconds=typed["seconds"], seed=typed["seed"],
            ttft_s=typed["ttft"], tpot_s=typed["tpot"],
            slots_count=fit.parallel_sequences_count if is_told else None, trace=trace_question(typed),
        )
    )  # fmt: skip
    if typed["svg"]:
        _write(answer, typed["svg"])
    if typed["as_json"]:
        say_json(answer)
    else:
        show(answer, why=typed["why"])
        if typed["plot"]:
            from plimsoll.doors.cli.load_plot import draw

            draw(answer)
    ctx.exit(answer.exit_code)


def _write(answer: LoadAnswer, path: str) -> None:
    from plimsoll.core.load_chart import chart
    from plimsoll.edges.chart import draw

    if not answer.points:
        raise BadSetting("there is nothing to draw", hint="without --svg the answer says why")
    facts = answer.model[0]
    draw(chart(answer, f"{facts.id}, {facts.weight_format} on {spelled(facts.runtime)}"), path)


def show(answer: LoadAnswer, *, why: bool) -> None:
    """Print verdict, waits, what the server does, its limits, and notes to stdout."""
    facts = answer.model[0]
    placed = f" ({', '.join(answer.placement)})" if answer.placement else ""
    word, colour = _VERDICTS[answer.verdict]
    say(f"{word}  {answer.reason or _asked(answer)}", fg=colour, bold=True)
    say(f"{facts.id}, {facts.weight_format} on {spelled(facts.runtime)}, {answer.machine}{placed}")
    if answer.figures:
        _figures({e.quantity: e for e in answer.figures})
        _limits(answer)
    for name, count in answer.refused.items():
        say(f"not answered: {format_count(count)} requests, {name}", fg="red")
    if answer.hint:
        say(f"hint: {answer.hint}")
    for note in answer.notes:
        say(f"note: {note}")
    if why:
        _why(answer)
    else:
        say("--why shows what the server is taken for; --plot draws waits against load", dim=True)


def _asked(answer: LoadAnswer) -> str:
    at = _load(answer, float(str(answer.asked.get("users_count") or answer.asked.get("rate_per_s") or 0)))
    return f"{at}; {format_count(answer.requests_count)} requests in {format_time(answer.seconds)} simulated"


def _load(answer: LoadAnswer, at: float) -> str:
    return f"{at:,.4g} users" if answer.at_unit == "users" else format_arrivals(at)


def _figures(found: dict[str, Estimate]) -> None:
    rows = [
        (label, *(_span(found[f"{name}_p{p}"]) for p in (50, 95, 99)))
        for name, label in _TIMES
    ]  # fmt: skip
    table(("wait for", "p50 (80 % interval)", "p95", "p99"), rows, right=(1, 2, 3))
    told = [(n, label) for n, label in _ROWS if n in found and (n not in _IF_ANY or found[n].high > 0)]
    table(
        ("server", "expected", "80 % interval"),
        [(label, *_value(found[name])) for name, label in told],
        right=(1, 2),
    )


def _span(e: Estimate) -> str:
    return f"{format_time(e.value)} ({_short(e.low)} … {format_time(e.high)})"


def _short(seconds: float) -> str:
    return format_time(seconds)


def format_time(seconds: float) -> str:
    """'23.6 ms', '1.88 s', '4.2 min'."""
    if seconds < 1:
        return f"{1e3 * seconds:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 120 else f"{seconds / 60:.3g} min"


def _value(e: Estimate) -> tuple[str, str]:
    if e.unit == "share":
        return f"{e.value:.0%}", f"{e.low:.0%} … {e.high:.0%}"
    low, value, high = (f"{v:,.3g}" if v < 1000 else f"{v:,.0f}" for v in (e.low, e.value, e.high))
    return f"{value} {e.unit}", f"{low} … {high}"


def _limits(answer: LoadAnswer) -> None:
    found = answer.limits
    assert found is not None
    rate = found.rate_per_s
    between = f"{format_arrivals(rate.low)} … {format_arrivals(rate.high)}"
    say(f"saturation: {format_arrivals(rate.value)} ({between}); above it queues grow without end")
    if found.users:
        e = found.users
        between = f"{e.low:.3g} … {e.high:.3g}"
        say(f"{e.value:.3g} users ({between}) keep the server full; more only wait longer")
    if found.collapse_at is None:
        say(f"no collapse up to {_load(answer, answer.points[-1].at)}")
    else:
        say(f"collapse: at {_load(answer, found.collapse_at)}: {found.collapse_reason}")


def _why(answer: LoadAnswer) -> None:
    server = answer.server
    if server:
        rows = [
            ("scheduling", server.scheduling), ("requests at a time", format_count(server.slots_count)),
            ("tokens of a step", format_count(server.step_tokens)),
            ("KV cache", f"{format_count(server.pool_tokens)} tokens in blocks of {server.block_tokens}"),
            ("longest request", f"{format_count(server.most_tokens)} tokens"),
            ("prefix cache", "on" if server.has_prefix_cache else "off"),
            ("taking a request in", f"{format_time(server.intake_s)} each + {format_time(server.delay_s)}"),
        ]  # fmt: skip
        table(("the server", ""), rows)
    for e in answer.figures:
        given = ", ".join(f"{name} = {value}" for name, value in e.inputs.items())
        say(f"{e.quantity} = {e.value:.6g} {e.unit} ({e.low:.4g} … {e.high:.4g})")
        say(f"  {e.basis}, {e.formula}({given})", dim=True)
    for source in answer.sources:
        say(f"  {source.url}", dim=True)
