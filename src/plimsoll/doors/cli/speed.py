"""`plimsoll speed`: parse the question, ask, print the answer."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from plimsoll.ask.fit import spelled
from plimsoll.ask.speed import SpeedQuestion, speed
from plimsoll.domain.measurement import Measurement
from plimsoll.domain.speculation import Speculation
from plimsoll.domain.speed import Bottleneck
from plimsoll.domain.speed_answer import Cost, SpeedAnswer
from plimsoll.doors.cli.fit import TOKENS, Parsed, fit_options, question_from
from plimsoll.doors.cli.text import say, say_json, table
from plimsoll.errors import BadSetting
from plimsoll.units import format_count, format_money, parse_money, parse_share, parse_watts

RENT = Parsed("price", partial(parse_money, per=("hour", "day", "month", "year")))
SHARE = Parsed("share", parse_share)
WATTS = Parsed("watts", parse_watts)
ELECTRICITY = Parsed("price", partial(parse_money, per=("kWh",)))
BOUND_BY: dict[Bottleneck, str] = {
    "bandwidth": "memory bandwidth", "compute": "compute", "cpu": "CPU threads and host memory",
    "pcie": "PCIe", "link": "PCIe/NVLink", "launch overhead": "launch overhead", "power": "power limit",
}  # fmt: skip


@click.command("speed", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("models", nargs=1, required=True, metavar="MODEL")
@click.option("--prompt", type=TOKENS, help="Tokens of the prompt, for the time to the first token.")
@click.option("--power", type=WATTS, help="A power limit set on each card, such as 300W.")
@click.option("--speculate", default="", metavar="mtp|eagle3|draft[:N]", help="Draft N tokens a step.")
@click.option("--draft", default="", metavar="MODEL", help="A small model that drafts.")
@click.option("--acceptance", type=SHARE, help="Of drafted tokens, such as 0.7 or 0.6..0.8.")
@click.option(
    "--output", type=TOKENS, help="Tokens each of --parallel requests generates: latency under load."
)
@click.option("--plot", is_flag=True, help="Draw speed against depth and against parallel sequences.")
@click.option("--svg", metavar="FILE", help="Draw that into FILE.svg or FILE.png.")
@click.option("--rent", type=RENT, metavar="PRICE/h", help="Rent of the machine, such as 1.45USD/h.")
@click.option("--electricity", type=ELECTRICITY, metavar="PRICE/kWh", help="Such as 0.30EUR/kWh.")
@click.option("--prices", "prices_file", default="", metavar="FILE.toml", help="Your own prices.")
@fit_options
@click.pass_context
def command(ctx: click.Context, /, **typed: Any) -> None:
    """How fast is MODEL on the machine?

    Prompt tokens per second, time to the first token, generated tokens per second with a full context, for
    one sequence and for --parallel N; each with an interval that holds in 80 of 100 cases. With --output,
    time to the first token, time per token and tokens per second of N requests at once.

    Exit code: 0 answered, 1 does not fit, 2 usage, 3 unknown, 4 could not reach.
    """
    typed["models"] = (typed["models"],)
    answer = speed(
        SpeedQuestion(
            fit=question_from(typed), prompt_tokens=typed["prompt"],
            output_tokens=typed["output"], rent=typed["rent"],
            electricity=typed["electricity"], prices_file=typed["prices_file"],
            power_watts=typed["power"],
            speculate=typed["speculate"],
            draft=typed["draft"],
            acceptance=typed["acceptance"],
            is_plotted=bool(typed["plot"] or typed["svg"]),
        )
    )  # fmt: skip
    if typed["svg"]:
        _write(answer, typed["svg"])
    if typed["as_json"]:
        say_json(answer)
    else:
        show(answer, why=typed["why"])
        if typed["plot"]:
            from plimsoll.doors.cli.speed_plot import draw

            draw(answer.curves)
    ctx.exit(answer.exit_code)


def _write(answer: SpeedAnswer, path: str) -> None:
    from plimsoll.core.speed_chart import chart
    from plimsoll.edges.chart import draw

    if not answer.curves:
        raise BadSetting("there is nothing to draw", hint="without --svg the answer says why")
    facts = answer.model[0]
    title = f"{facts.id}, {facts.weight_format} on {spelled(facts.runtime)}"
    draw(chart(answer.curves, title, f"{answer.machine}; expected, with the 80 % interval"), path)


def show(answer: SpeedAnswer, *, why: bool) -> None:
    """Print rates, what bounds them, and notes to stdout."""
    facts = answer.model[0]
    placed = f" ({', '.join(answer.placement)})" if answer.placement else ""
    say(f"{facts.id}, {facts.weight_format} on {spelled(facts.runtime)}, {answer.machine}{placed}", bold=True)
    if not answer.speeds:
        say(f"no figure: {answer.reason}", fg="yellow")
        return
    rows = [
        (s.label, _number(s.estimate.value, s.estimate.unit), _between(s), BOUND_BY[s.bottleneck])
        for s in answer.speeds
    ]
    table(("what", "expected", "80 % interval", "bound by"), rows, right=(1, 2))
    if answer.speculation:
        _speculation(answer.speculation)
    if answer.tokens_per_joule:
        say(f"at least {answer.tokens_per_joule:.2g} generated tokens per joule (cards at their power limit)")
    if answer.costs:
        table(("what", "expected", "80 % interval"), [_priced(c) for c in answer.costs], right=(1, 2))
    for m in answer.measured:
        say(f"measured elsewhere: {_published(m)}")
    for note in answer.notes:
        say(f"note: {note}")
    if why:
        _why(answer)
    else:
        say("--why shows what each figure is made of", dim=True)


def _published(m: Measurement) -> str:
    """One published measurement in a line, with its source."""
    is_prompt = m.metric == "prefill_tps"
    at = m.prompt_tokens if is_prompt else m.depth_tokens + m.generated_tokens
    what = f"prompt of {format_count(at)} tokens" if is_prompt else f"generation at {format_count(at)} tokens"
    build = f"{m.flavour} {m.version}".strip()
    more = [f"{m.power_limit_watts} W"] if m.power_limit_watts else []
    told = ", ".join((m.weight_format, *([build] if build else []), *more))
    return f"{_number(m.value, 'tokens/s')}, {what} ({told}): {m.source}"


def _number(value: float, unit: str) -> str:
    return f"{value:,.3g} {unit}" if value < 1000 else f"{value:,.0f} {unit}"


def _speculation(found: Speculation) -> None:
    """Whose acceptance it is, what each would bring, and from where on it pays."""
    known = found.acceptance
    if known:
        values = dict.fromkeys(f"{v:.0%}" for v in (known.low, known.value, known.high))
        say(f"a drafted token is accepted with a chance of {' … '.join(values)}: {known.origin}")
    else:
        say("how many drafted tokens are accepted is unknown; what each chance would bring:", fg="yellow")
    rows = [
        (f"{p.acceptance:.0%}", f"{p.tokens_per_step:.2f}", _number(p.tokens_per_s, "tokens/s"),
         f"x {p.speedup:.2f}")
        for p in found.points
    ]  # fmt: skip
    table(("chance", "tokens a step", "each sequence", "of plain"), rows, right=(0, 1, 2, 3))
    if found.break_even is None:
        say("even full acceptance does not pay: drafting and verifying take too long", fg="yellow")
    elif not found.break_even:
        say("it pays at any chance")
    else:
        say(f"it pays from a chance of {found.break_even:.0%} on; below, it slows generation down")


def _priced(cost: Cost) -> tuple[str, str, str]:
    e = cost.estimate
    if not cost.currency:
        return cost.label, f"{e.value:,.3g}" if e.value < 1000 else f"{e.value:,.0f}", _range(e.low, e.high)
    low = format_money(e.low, cost.currency).removesuffix(f" {cost.currency}")
    return cost.label, format_money(e.value, cost.currency), f"{low} … {format_money(e.high, cost.currency)}"


def _between(s: Any) -> str:
    return _range(s.estimate.low, s.estimate.high)


def _range(low: float, high: float) -> str:
    first, last = (f"{v:,.3g}" if v < 1000 else f"{v:,.0f}" for v in (low, high))
    return f"{first} … {last}"


def _why(answer: SpeedAnswer) -> None:
    for s in answer.speeds:
        say(f"\n{s.label}: {_number(s.estimate.value, s.estimate.unit)} ({s.estimate.basis})")
        say(f"  formula  {s.estimate.formula}: sum of time at the ceiling x learnt factor")
        rows = [
            (
                p.name,
                f"{1e3 * p.ceiling_seconds:,.3f} ms",
                f"x {p.factor:.2f}",
                f"{100 * p.share:.0f} %",
                BOUND_BY[p.bottleneck],
            )
            for p in s.parts
        ]
        table(("part", "at the ceiling", "factor", "share", "kind"), rows, right=(1, 2, 3))
        for name, value in s.estimate.inputs.items():
            say(f"  {name} = {value}")
        say(f"  interval from {s.estimate.samples_count:,} measured misses", dim=True)
    for c in answer.costs:
        given = ", ".join(f"{name} = {value:,.4g}" for name, value in c.estimate.inputs.items())
        say(f"\n{c.label}: {c.estimate.value:,.4g} {c.estimate.unit} ({c.estimate.basis})")
        say(f"  formula  {c.estimate.formula}({given})")
    for price in answer.prices:
        seen = "seen there" if price.is_verified else "not seen there by us"
        say(f"  price of {price.device}: {price.source} ({seen})", dim=True)
    known = answer.speculation.acceptance if answer.speculation else None
    for url in known.sources if known else ():
        say(f"  acceptance: {url}", dim=True)
    say("\nsources: catalog/measurements/sources.csv lists every measurement's; the model's and machine's:")
    for source in answer.sources:
        say(f"  {source.url}", dim=True)
