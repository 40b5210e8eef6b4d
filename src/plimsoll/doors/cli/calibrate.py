"""`plimsoll calibrate`: produce the coefficients of the speed model."""

from __future__ import annotations

import click

from plimsoll.ask.calibrate import calibrate, save


@click.command("calibrate", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--to", metavar="FILE", help="Write here; default: where `plimsoll speed` reads it.")
def command(to: str | None) -> None:
    """Fit the speed model to the catalog's measurements.

    Takes a few minutes: besides the fit itself it is repeated without each sixth of the devices and of the
    models, and what it then misses sets the intervals. Needs the `calibrate` extra (numpy).
    """
    found = calibrate(told=lambda text: click.echo(text, err=True))
    if to is None:
        save(found)
    else:
        save(found, to)
    click.echo(f"{len(found.coefficients)} coefficients from {found.measurements_count} measurements")
