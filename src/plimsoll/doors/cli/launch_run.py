"""`plimsoll launch --run`: the log to stderr, the comparison with the promise to stdout."""

from __future__ import annotations

import click

from plimsoll.ask.run import Watching, check, run
from plimsoll.core.launch_shell import one_line, shown
from plimsoll.domain.launch import Compared, ComparedCount, LaunchAnswer, RunAnswer
from plimsoll.doors.cli.text import say, say_json, table
from plimsoll.units import format_bytes, format_count


def run_and_show(answer: LaunchAnswer, *, until_ready: bool, as_json: bool) -> int:
    """Start it; its exit code. What does not fit is answered without a start."""
    if answer.exit_code:
        from plimsoll.doors.cli.launch import show

        say_json(answer) if as_json else show(answer)
        return answer.exit_code
    check(answer)
    assert answer.command is not None
    if not as_json:
        say(f"starting {one_line(answer.command.arguments)}", dim=True)
    watching = Watching(
        line=lambda line: click.echo(shown(line), err=True),
        ready=lambda found: _show(answer, found, as_json=as_json, stays=not until_ready),
    )
    found = run(answer, watching, until_ready=until_ready)
    if found.outcome == "out_of_memory":
        _show(answer, found, as_json=as_json, stays=False)
    elif found.outcome == "stopped" and not as_json:
        say(f"it ended with {found.exit_status}")
    return found.exit_code if found.outcome != "stopped" or not found.exit_status else 4


def _show(answer: LaunchAnswer, found: RunAnswer, *, as_json: bool, stays: bool) -> None:
    if as_json:
        say_json(found)
        return
    if found.outcome == "out_of_memory":
        say(f"OUT OF MEMORY after {found.seconds:.1f} s: {shown(found.reason)}", fg="red")
    else:
        worse = "takes more than promised" if found.takes_more else "offers less room than promised"
        word = "as promised" if found.is_as_promised else worse
        say(f"READY after {found.seconds:.1f} s, {word}", fg="green" if found.is_as_promised else "yellow")
    if found.compared or found.counts:
        rows = [*map(_row, found.compared), *map(_count_row, found.counts)]
        table(("device", "what", "promised", "reported", ""), rows, right=(2, 3))
    for row in found.compared:
        if row.reason:
            say(f"note: {row.what} on {row.device}: {row.reason}")
    for note in found.notes:
        say(f"note: {shown(note)}")
    if stays and answer.serving is not None:
        say(f"serving at http://{answer.serving.host}:{answer.serving.port}/v1; Ctrl-C ends it", dim=True)


def _row(row: Compared) -> tuple[str, str, str, str, str]:
    reported = "-" if row.reported_bytes is None else format_bytes(row.reported_bytes)
    return (row.device, row.what, format_bytes(row.promised_bytes), reported, _word(row))


def _count_row(row: ComparedCount) -> tuple[str, str, str, str, str]:
    word: str = row.match
    if row.match == "within":
        word = f"within {_count(row.low, row.unit)} … {_count(row.high, row.unit)}"
    elif row.match in ("more", "less") and row.reported is not None:
        word = f"{_count(abs(row.reported - row.promised), row.unit)} {row.match}"
    reported = "-" if row.reported is None else _count(row.reported, row.unit)
    return ("all", f"{row.what} ({row.unit})", _count(row.promised, row.unit), reported, word)


def _count(value: float, unit: str) -> str:
    return format_count(int(value)) if unit == "tokens" else f"{value:.2f}"


def _word(row: Compared) -> str:
    if row.match == "within":
        return f"within {format_bytes(row.low_bytes)} … {format_bytes(row.high_bytes)}"
    if row.match in ("more", "less") and row.reported_bytes is not None:
        return f"{format_count(abs(row.reported_bytes - row.promised_bytes))} bytes {row.match}"
    return row.match
