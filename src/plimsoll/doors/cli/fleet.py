"""`plimsoll fleet`: parse the question, ask, print the placement."""

from __future__ import annotations

from typing import Any

import click

from plimsoll.doors.cli.text import say_json
from plimsoll.errors import BadSetting


@click.command("fleet", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("file", required=False, metavar="FLEET.toml")
@click.option("--example", is_flag=True, help="Print a commented file to start from.")
@click.option(
    "--effort", type=click.FloatRange(0.01, 1000), default=2.0, show_default=True,
    help="How long to look for the optimum; the same answer on every machine.",
)  # fmt: skip
@click.option("--svg", default="", metavar="FILE", help="Draw what lies where into FILE.svg or FILE.png.")
@click.option("--offline", is_flag=True, help="Never use the network.")
@click.option("--why", is_flag=True, help="Show formulas, sources, aims and what was left out.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON object.")
@click.pass_context
def command(ctx: click.Context, /, **typed: Any) -> None:
    """Which model goes on which of my machines, what does it cost, and what is missing?

    FLEET.toml lists machines (owned, rented, without a card) and roles (core, coder, embedder ...) with
    their models, loads and constraints. First all roles get a place, by priority; then the wished speeds;
    then the lowest cost; then the models and formats named first; then the most room.

    Exit code: 0 all placed, 1 something is missing or slower than asked, 2 usage, 3 unknown, 4 could not
    reach.
    """
    if typed["example"]:
        from plimsoll.catalog.fleet_example import text

        click.echo(text(), nl=False)
        return
    if not typed["file"]:
        raise BadSetting("no fleet file is named", hint="plimsoll fleet --example > fleet.toml")
    from plimsoll.ask.fleet import FleetQuestion, fleet

    answer = fleet(FleetQuestion(file=typed["file"], effort=typed["effort"], offline=typed["offline"]))
    if typed["svg"]:
        from plimsoll.core.fleet_chart import chart
        from plimsoll.edges.chart import draw

        draw(chart(answer), typed["svg"])
    if typed["as_json"]:
        say_json(answer)
    else:
        from plimsoll.doors.cli.fleet_text import show

        show(answer, why=typed["why"])
    ctx.exit(answer.exit_code)
