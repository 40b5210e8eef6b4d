"""`plimsoll load --compare`: print which way to share out the cards serves a load best, and why."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from plimsoll.ask.fit import spelled
from plimsoll.ask.trace import WAIT_S, TraceQuestion
from plimsoll.domain.copies import CopiesAnswer, Kind, LayoutResult, Point
from plimsoll.doors.cli.fit import question_from
from plimsoll.doors.cli.text import say, say_json, table
from plimsoll.errors import BadSetting
from plimsoll.units import format_arrivals, format_bytes, format_count

FORMATS = "azure|burstgpt|mooncake|plain|sharegpt"
_TRACED = (
    click.option("--trace", default="", metavar="FILE", help="Requests from a CSV or JSON file; - is stdin."),
    click.option("--trace-format", default="", metavar="NAME", help=f"{FORMATS} [default: by its header]."),
    click.option("--tokenizer", default="", metavar="MODEL|FILE", help="Counts tokens of a trace's texts."),
    click.option("--characters-per-token", type=click.FloatRange(0, min_open=True), help="Or so: 4."),
)  # fmt: skip
_COMPARED = (
    click.option("--compare", multiple=True, metavar="LAYOUT", help="Copies: 'tp8' '8x tp1' 'tp4 + 4x tp1'."),
    click.option("--routing", default="session", show_default=True, metavar="NAME",
        help="To which copy: session, round robin, least outstanding."),
    click.option("--slower", type=click.FloatRange(1, min_open=True), default=3.0, show_default=True,
        help="Answers may take so many times as long as without load."),
)  # fmt: skip
_LARGE_BYTES = 1 << 26
_Command = TypeVar("_Command", bound=Callable[..., Any])


def trace_options(command: _Command) -> _Command:
    """Where requests come from a file."""
    for option in reversed(_TRACED):
        command = option(command)
    return command


def compare_options(command: _Command) -> _Command:
    """Ways to share out the cards."""
    for option in reversed(_COMPARED):
        command = option(command)
    return command


def trace_question(typed: dict[str, Any]) -> TraceQuestion | None:
    """The trace that was named, if any."""
    if not typed["trace"]:
        for name in ("trace_format", "tokenizer", "characters_per_token"):
            if typed[name]:
                raise BadSetting(f"--{name.replace('_', '-')} is about a trace", hint="name it: --trace FILE")
        return None
    return TraceQuestion(
        path=typed["trace"], format=typed["trace_format"], tokenizer=typed["tokenizer"],
        characters_per_token=typed["characters_per_token"] or 0.0, seed=typed["seed"], told=_progress,
        wait_s=typed["think"] or WAIT_S,
    )  # fmt: skip


def _progress(done: int, size: int) -> None:
    """A line on a terminal's stderr for traces that take longer than a second."""
    if size >= _LARGE_BYTES and sys.stderr.isatty():
        click.echo(f"\rread {100 * done // size:3} %", nl=done >= size, err=True)


def compare(ctx: click.Context, typed: dict[str, Any]) -> None:
    """Ask which layout is best, draw and print."""
    from plimsoll.ask.load_copies import REQUESTS, CopiesQuestion, copies

    if not typed["compare"]:
        told = " ".join(map(repr, typed["layouts"]))
        raise BadSetting(f"what is {typed['layouts'][0]!r}?", hint=f"--compare {told}")
    for name in ("users", "seconds", "ttft", "tpot", "plot"):
        if typed[name]:
            raise BadSetting(
                f"--compare does not know --{name}", hint="say --arrivals, or nothing: loads are tried"
            )
    answer = copies(
        CopiesQuestion(
            fit=question_from(typed), layouts=(*typed["compare"], *typed["layouts"]), habit=typed["habit"],
            prompt_tokens=typed["prompt"], output_tokens=typed["output"],
            shared_tokens=typed["prefix_shared"] or 0, think_s=typed["think"], trace=trace_question(typed),
            rate_per_s=typed["arrivals"] or 0.0, routing=typed["routing"], slower=typed["slower"],
            requests_count=typed["requests"] or REQUESTS, seed=typed["seed"],
        )
    )  # fmt: skip
    if typed["svg"]:
        _write(answer, typed["svg"])
    if typed["as_json"]:
        say_json(answer)
    else:
        show(answer, why=typed["why"])
    ctx.exit(answer.exit_code)


def _write(answer: CopiesAnswer, path: str) -> None:
    from plimsoll.core.copies_chart import chart
    from plimsoll.edges.chart import draw

    if not answer.winners:
        raise BadSetting("there is nothing to draw", hint="without --svg the answer says why")
    draw(chart(answer), path)


def show(answer: CopiesAnswer, *, why: bool) -> None:
    """Print the verdict, the layouts, their waits load by load, the reasons, and notes to stdout."""
    facts = answer.model[0]
    say(_verdict(answer), bold=True, fg="green" if answer.verdict == "compared" else "red")
    say(f"{facts.id}, {facts.weight_format} on {spelled(facts.runtime)}, {answer.machine}")
    if answer.verdict == "compared":
        say(f"{answer.habit}; requests go to copies by {answer.routing}")
    table(
        ("layout", "weights", "room for tokens", "alone, a token", "keeps up with (80 % interval)"),
        [_row(one) for one in answer.layouts], right=(1, 2, 3, 4),
    )  # fmt: skip
    for one in answer.layouts:
        if one.reason and one.reason != answer.reason:
            say(f"{one.layout.text}: {one.reason}", fg="yellow")
    if answer.winners:
        _loads(answer)
        for reason in answer.reasons:
            say(f"why: {reason}")
    for note in answer.notes:
        say(f"note: {note}")
    if why and answer.winners:
        _why(answer)
    elif answer.winners:
        say("--why shows what each layout does at each load; --svg FILE draws it", dim=True)


def _verdict(answer: CopiesAnswer) -> str:
    if answer.verdict != "compared":
        return f"{answer.verdict.replace('_', ' ').upper()}  {answer.reason}"
    best = list(dict.fromkeys(w.text for w in answer.winners if w.text))
    if not best:
        return "NONE KEEPS UP  at any load that was tried"
    most = [one for one in answer.layouts if one.most_per_s]
    top = max(one.most_per_s or 0.0 for one in most)
    end = ", the most that was tried" if top == answer.winners[-1].rate_per_s else ""
    return f"BEST  {', then '.join(best)}; up to {format_arrivals(top)}{end}"


def _row(one: LayoutResult) -> tuple[str, ...]:
    if not one.points:
        return one.layout.text, one.verdict.replace("_", " "), "", "", ""
    each = " / ".join(dict.fromkeys(f"{1e3 * k.step_seconds:.3g} ms" for k in one.kinds))
    most = "none"
    if one.most_per_s and one.most_low_per_s and one.most_high_per_s:
        between = f"{one.most_low_per_s:.2g} … {one.most_high_per_s:.2g}"
        most = f"{format_arrivals(one.most_per_s)} ({between})"
    idle = f" ({one.idle_cards_count} idle)" if one.idle_cards_count else ""
    return one.layout.text + idle, format_bytes(one.weights_bytes), format_count(one.pool_tokens), each, most


def _loads(answer: CopiesAnswer) -> None:
    """Slow requests of each layout, load by load; the best one marked."""
    held = [one for one in answer.layouts if one.points]
    rows, slower = [], float(str(answer.asked["slower"]))
    for winner in answer.winners:
        cells = []
        for one in held:
            found = [p for p in one.points if p.rate_per_s == winner.rate_per_s]
            mark = "▸ " if one.layout.text == winner.text else "= " if one.layout.text in winner.near else ""
            cells.append(mark + _waits(found[0]) if found else "")
        rows.append((format_arrivals(winner.rate_per_s), *cells))
    say()
    say("95 of 100 have their whole answer within (first token within); ! is too slow")
    table(("requests", *(one.layout.text for one in held)), rows, right=tuple(range(1, len(held) + 1)))
    say(
        f"  ▸ best  = as good  ! above {_seconds(answer.slow_s)}: {slower:g} times the best without load",
        dim=True,
    )


def _waits(point: Point) -> str:
    return f"{'' if point.is_kept_up else '! '}{_seconds(point.total_p95_s)} ({_seconds(point.ttft_p95_s)})"


def _seconds(seconds: float) -> str:
    if seconds < 1:
        return f"{1e3 * seconds:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 120 else f"{seconds / 60:.3g} min"


def _why(answer: CopiesAnswer) -> None:
    for one in answer.layouts:
        if not one.points:
            continue
        say()
        say(f"{one.layout.text}: {'; '.join(_kind(kind) for kind in one.kinds)}", bold=True)
        table(
            ("requests", "first token p50", "each later p50", "answer p50", "tokens/s", "KV at most",
             "from the cache", "preempted", "refused"),
            [
                (format_arrivals(p.rate_per_s), _seconds(p.ttft_p50_s), _seconds(p.tpot_p50_s),
                 _seconds(p.total_p50_s), f"{p.tokens_per_s:,.0f}", f"{p.held_share_most:.0%}",
                 f"{p.cached_share:.0%}", format_count(p.preemptions_count), format_count(p.refused_count))
                for p in one.points
            ],
            right=tuple(range(1, 9)),
        )  # fmt: skip
    for source in answer.sources:
        say(f"  {source.url}", dim=True)


def _kind(kind: Kind) -> str:
    cards = f"{kind.cards_count} cards, {kind.split} split" if kind.cards_count > 1 else "1 card"
    return (
        f"{kind.count} of {cards}: {format_bytes(kind.weights_bytes)} weights, room for"
        f" {format_count(kind.pool_tokens)} tokens, a step of {kind.busy_count} sequences"
        f" {1e3 * kind.busy_step_seconds:.3g} ms, {kind.exchange_share:.0%} of it waiting for each other"
    )
