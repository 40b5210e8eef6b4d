"""The answer of `compare` as a person reads it."""

from __future__ import annotations

from plimsoll.ask.fit import spelled
from plimsoll.domain.comparison import ComparedRow, Comparison, Continuity, FitCell
from plimsoll.doors.cli.text import say, styled, table
from plimsoll.units import format_bytes, format_count, format_parameters

_COLOURS = {"portable": "green", "partly": "yellow", "not": "red", "unknown": "yellow"}
_WIDEST = 34


def show(answer: Comparison, *, is_whole: bool) -> None:
    """Print the table of differences, the fit on the machine and the continuity of each pair."""
    names = [_short(name) for name in answer.models]
    if len(set(names)) < len(names):
        names = list(answer.models)
    shown = [row for row in answer.rows if is_whole or row.differs]
    table(("", *names), [(row.label, *(_cell(row, v) for v in row.values)) for row in shown])
    same = [row for row in answer.rows if not row.differs]
    if same and not is_whole:
        say(f"alike: {'; '.join(f'{r.label} {_cell(r, r.values[0])}' for r in same)}", dim=True)
    if answer.fits:
        say()
        _fits(answer, names)
    for pair in answer.continuity:
        say()
        _continuity(pair, is_whole=is_whole)
    for note in answer.notes:
        say(f"note: {note}")
    for unknown in answer.unknowns:
        say(f"unknown: {unknown}", fg="yellow")


def _short(name: str) -> str:
    return name.rpartition("/")[2]


def _cell(row: ComparedRow, value: int | str | None) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, str):
        return value if len(value) <= _WIDEST else value[: _WIDEST - 1] + "…"
    if row.unit == "parameters":
        return format_parameters(value)
    return format_bytes(value) if row.unit == "bytes" else format_count(value)


def _fits(answer: Comparison, names: list[str]) -> None:
    say(f"on {answer.machine}:")
    rows = [
        ("verdict", *(cell.verdict.replace("_", " ") for cell in answer.fits)),
        ("runtime", *(f"{spelled(cell.runtime)}, {cell.weight_format}" for cell in answer.fits)),
        ("left", *(_bytes(cell.headroom_bytes) for cell in answer.fits)),
        ("longest context", *(_count(cell.max_context_tokens) for cell in answer.fits)),
        ("sequences at once", *(_count(cell.max_parallel_sequences) for cell in answer.fits)),
    ]
    table((_at(answer.fits), *names), rows)


def _at(cells: tuple[FitCell, ...]) -> str:
    contexts = {cell.context_tokens for cell in cells if cell.context_tokens}
    return f"at {format_count(contexts.pop())} tokens" if len(contexts) == 1 else ""


def _bytes(size: int | None) -> str:
    return "unknown" if size is None else format_bytes(size)


def _count(count: int | None) -> str:
    return "-" if count is None else format_count(count)


def _continuity(pair: Continuity, *, is_whole: bool) -> None:
    say(f"from {_short(pair.from_model)} to {_short(pair.to_model)}:", bold=True)
    for item in pair.items:
        word = styled(item.verdict.ljust(8), fg=_COLOURS[item.verdict])
        say(f"  {item.what.ljust(13)}  {word}  {item.reason}")
    groups = pair.lora if is_whole else [g for g in pair.lora if not g.carries]
    if not groups or all(g.carries for g in groups):
        return
    rows = [
        (
            f"  {g.module}", "×".join(map(str, g.shape)), "×".join(map(str, g.other_shape)) or "-",
            "carries over" if g.carries else g.reason, format_count(g.modules_count),
        )
        for g in groups[: None if is_whole else 14]
    ]  # fmt: skip
    table(("  module", _short(pair.from_model), _short(pair.to_model), "", "modules"), rows, right=(4,))
    if len(groups) > len(rows):
        say(f"  and {len(groups) - len(rows)} more kinds (--all)", dim=True)
