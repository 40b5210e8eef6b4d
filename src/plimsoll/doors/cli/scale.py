"""`plimsoll scale`: parse the question, ask, print or draw the answer."""

from __future__ import annotations

import gc
from functools import partial
from typing import Any

import click

from plimsoll.ask.scale import scale
from plimsoll.ask.scale_question import ScaleQuestion
from plimsoll.doors.cli.fit import TOKENS, Parsed
from plimsoll.doors.cli.speed import SHARE, WATTS
from plimsoll.doors.cli.text import say_json
from plimsoll.errors import BadSetting
from plimsoll.units import parse_bit_rate, parse_exchange_rate, parse_money, parse_period

MONTHS = Parsed("time", partial(parse_period, into="month"))
HOURS = Parsed("time", partial(parse_period, into="hour"))
EXCHANGE = Parsed("rate", parse_exchange_rate)
DOWNLOAD = Parsed("rate", parse_bit_rate)


@click.command("scale", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--on", metavar="MACHINE", help="What you have: 'rtx-pro-6000 + 128GiB ram'; default: here.")
@click.option("--for", "models", multiple=True, metavar="MODEL", help="A model it is for; again for more.")
@click.option(
    "--with", "others", multiple=True, metavar="MACHINE", help="A machine to put beside; again for more."
)
@click.option("--context", type=TOKENS, help="Tokens per sequence; default: 16k, with --users 64k.")
@click.option("--users", type=click.IntRange(1, 10**4), help="Sequences at once.")
@click.option("--hours-per-day", type=float, metavar="HOURS", help="Hours a day in which it works.")
@click.option("--utilisation", type=SHARE, metavar="SHARE", help="Or the share of all hours: 30%.")
@click.option("--horizon", type=MONTHS, metavar="TIME", help="How long it is used: 24mo, 3y.")
@click.option("--resale", type=SHARE, metavar="SHARE", help="What comes back: 40%, 30%..50%.")
@click.option("--electricity", metavar="PRICE/kWh", help="0.30EUR/kWh, or 0.15/kWh in --currency.")
@click.option("--host-watts", type=WATTS, metavar="WATTS", help="What the machine around the cards draws.")
@click.option("--currency", default="USD", show_default=True, metavar="CODE", help="Of the answer.")
@click.option("--rate", "rates", type=EXCHANGE, multiple=True, metavar="EUR=1.08", help="1 EUR in USD.")
@click.option("--prices", "prices_file", default="", metavar="FILE.toml", help="Your own prices.")
@click.option("--each", type=click.IntRange(1, 50), default=3, show_default=True, help="Ways of each kind.")
@click.option("--frontier", is_flag=True, help="Also how much of the catalog each way holds.")
@click.option("--rent-for", type=HOURS, metavar="TIME", help="Only rent, for 1week, 3days, 40h.")
@click.option("--count", type=click.IntRange(1, 64), help="So many cards (--rent-for).")
@click.option("--device", "devices", multiple=True, metavar="NAME", help="Only these cards (--rent-for).")
@click.option("--download", type=DOWNLOAD, metavar="RATE", help="How fast weights arrive: 1Gbit/s, 500MB/s.")
@click.option("--plot", is_flag=True, help="Draw speed against cost per month.")
@click.option("--svg", metavar="FILE", help="Draw that into a file, and buying against renting.")
@click.option("--offline", is_flag=True, help="Never use the network.")
@click.option("--why", is_flag=True, help="Show prices, formulas, what was left out, and sources.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON object.")
@click.pass_context
def command(ctx: click.Context, /, **typed: Any) -> None:
    """Second card, other cards, unified memory, a CPU server, rent or wait?

    For each way onward: what it makes possible of the models, how fast, and what it costs per month and per
    million tokens; from how many hours on buying beats renting. With --rent-for: so many cards for a while.

    Exit code: 0 answered, 1 no way runs any of the models, 2 usage, 3 unknown, 4 could not reach.
    """
    # Thousands of small objects without cycles: looking for garbage among them takes a sixth of the time.
    gc.disable()
    try:
        answer = scale(_question(typed))
    finally:
        gc.enable()
    if typed["svg"]:
        from plimsoll.edges.chart import draw

        if answer.chart is None:
            raise BadSetting("there is nothing to draw", hint="leave --svg out")
        draw(answer.chart, typed["svg"])
    if typed["as_json"]:
        say_json(answer)
    else:
        from plimsoll.doors.cli.scale_text import show

        show(answer, why=typed["why"], drawn=typed["svg"] or "")
        if typed["plot"]:
            from plimsoll.doors.cli.scale_plot import draw_points

            draw_points(answer)
    ctx.exit(answer.exit_code)


def _question(typed: dict[str, Any]) -> ScaleQuestion:
    share = typed["utilisation"]
    if share and share[0] != share[1]:
        raise BadSetting("--utilisation is one share", hint="--utilisation 30%")
    return ScaleQuestion(
        models=typed["models"], on=typed["on"], others=typed["others"], context_tokens=typed["context"],
        users_count=typed["users"], hours_per_day=typed["hours_per_day"],
        utilisation=share[0] if share else None, horizon_months=typed["horizon"],
        electricity=_electricity(typed), resale=typed["resale"], host_watts=typed["host_watts"],
        currency=typed["currency"].upper(), rates=_rates(typed["rates"]), prices_file=typed["prices_file"],
        each_kind_count=typed["each"], rent_for_hours=typed["rent_for"], devices_count=typed["count"],
        devices=typed["devices"], transfer_bytes_per_s=typed["download"], is_frontier=typed["frontier"],
        is_drawn=bool(typed["svg"]), offline=typed["offline"],
    )  # fmt: skip


def _electricity(typed: dict[str, Any]) -> Any:
    """'0.15/kWh' is in the currency of the answer."""
    text = typed["electricity"]
    if not text:
        return None
    number, slash, unit = text.partition("/")
    has_currency = any(c.isalpha() or c in "$€£₽₴₹" for c in number)
    return parse_money(text if has_currency else f"{number}{typed['currency']}{slash}{unit}", per=("kWh",))


def _rates(told: tuple[tuple[str, float], ...]) -> dict[str, float]:
    rates: dict[str, float] = {}
    for code, worth in told:
        if code in rates:
            raise BadSetting(f"the rate of {code} is given twice", hint=f"--rate {code}={worth:g}")
        rates[code] = worth
    return rates
