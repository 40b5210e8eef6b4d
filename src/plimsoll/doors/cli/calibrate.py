"""`plimsoll calibrate`: produce the coefficients of the speed model."""

from __future__ import annotations

import click

from plimsoll.ask.calibrate import calibrate, calibrate_serving, save
from plimsoll.catalog.calibration import PATH, SERVING_PATH
from plimsoll.domain.speed import Calibration


@click.command("calibrate", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--to", metavar="FILE", help="Write here; default: where `plimsoll speed` reads it.")
@click.option("--several", is_flag=True, help="Only what several requests at a time do.")
def command(to: str | None, several: bool) -> None:
    """Fit the speed model to the catalog's measurements.

    First those of one pass (all that --to FILE writes), then those that several requests at a time made.
    Takes a few minutes: besides the fit itself it is repeated without each sixth of the devices and of the
    models, and what it then misses sets the intervals. Needs the `calibrate` extra (numpy).
    """
    if not several:
        _written(calibrate(told=_told), to or PATH)
    if several or to is None:
        _written(calibrate_serving(told=_told), to or SERVING_PATH)


def _told(text: str) -> None:
    click.echo(text, err=True)


def _written(found: Calibration, path: str) -> None:
    save(found, path)
    click.echo(f"{len(found.coefficients)} coefficients from {found.measurements_count} measurements")
