"""`plimsoll machine`: what a machine is, as Plimsoll sees it."""

from __future__ import annotations

from collections.abc import Mapping

import click

from plimsoll.ask.machine import resolve
from plimsoll.domain.origin import Origin
from plimsoll.doors.cli.text import say_json
from plimsoll.units import format_bytes


@click.command("machine", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--on", metavar="MACHINE", help="A declared machine; default: this one, detected.")
@click.option("--json", "as_json", is_flag=True, help="Print the machine as one JSON object.")
def command(on: str | None, as_json: bool) -> None:
    """Show the machine: its devices and memory, each value with where it was read."""
    machine = resolve(on)
    if as_json:
        say_json(machine)
        return
    click.echo(machine.name)
    ram = "unknown" if machine.ram_bytes is None else format_bytes(machine.ram_bytes)
    click.echo(f"host memory: {ram}, {format_bytes(machine.ram_reserved_bytes)} in use by others")
    _origins(machine.origins)
    for device in machine.devices:
        click.echo(
            f"{device.id}: {device.name}, {format_bytes(device.memory_bytes)}, "
            f"{format_bytes(device.reserved_bytes)} in use by others, {device.backend}"
        )
        _origins(device.origins)
    for note in machine.notes:
        click.echo(f"note: {note}")


def _origins(origins: Mapping[str, Origin]) -> None:
    for name, origin in origins.items():
        click.echo(f"    {name}: {origin.kind}, {origin.where}")
