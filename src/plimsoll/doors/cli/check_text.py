"""How the answers of `check` are printed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from plimsoll.domain.rule import Outcome, Verdict
from plimsoll.doors.cli.text import say, table
from plimsoll.units import format_bytes

if TYPE_CHECKING:
    from plimsoll.domain.check import Alternative, CheckAnswer
    from plimsoll.domain.check_tables import Frontier, Matrix, StackAnswer, UiAnswer

# A sign and a word for each outcome: colour is never the only carrier.
SIGNS: dict[Outcome, str] = {
    "native": "++", "supported": "+", "penalty": "~", "inefficient": "-~", "unsupported": "x", "unknown": "?",
}  # fmt: skip
_COLOURS: dict[Outcome, str] = {
    "native": "green", "supported": "green", "penalty": "yellow", "inefficient": "yellow",
    "unsupported": "red", "unknown": "white",
}  # fmt: skip
# The same in a table, where there is no room for more.
_SHORT: dict[Outcome, str] = {
    "native": "++ native", "supported": "+ runs", "penalty": "~ price", "inefficient": "-~ poor",
    "unsupported": "x no", "unknown": "?",
}  # fmt: skip
_HEADLINES: dict[Outcome, str] = {
    "native": "RUNS NATIVELY", "supported": "RUNS", "penalty": "RUNS AT A PRICE", "inefficient": "RUNS BADLY",
    "unsupported": "DOES NOT RUN", "unknown": "UNKNOWN",
}  # fmt: skip

_OFFERS: dict[Outcome, str] = {"unsupported": "what works instead:", "unknown": "what is known to work:"}


def show_check(answer: CheckAnswer, *, why: bool) -> None:
    """The headline, one line per aspect, what would work."""
    say(f"{_HEADLINES[answer.outcome]}  {answer.reason}", fg=_COLOURS[answer.outcome], bold=True)
    weights = answer.weights or "an unknown format"
    say(f"{answer.model} in {weights} on {answer.runtime} {answer.version}, {answer.machine}")
    if answer.hardware:
        say(f"hardware: {answer.hardware}")
    say()
    for verdict in answer.verdicts:
        _verdict(verdict, why)
    if answer.alternatives:
        say()
        say(_OFFERS.get(answer.outcome, "what works better:"))
        for found in answer.alternatives:
            say(f"  {found.change}: {found.outcome}{_price(found)}  ({found.flags})")
    for note in answer.notes:
        say(f"note: {note}")
    if answer.oldest_check:
        say(f"oldest fact used: read on {answer.oldest_check}", dim=True)
    if not why:
        say("--why shows every rule and where it was read", dim=True)


def _price(found: Alternative) -> str:
    """What an alternative costs in quality or memory."""
    words = [", quantised further"] if found.is_lossy else []
    words += [", but the weights alone are too large for the memory here"] if found.is_too_large else []
    return "".join(words)


def _verdict(verdict: Verdict, why: bool) -> None:
    when = f" [{verdict.sources[0]}, {verdict.checked_on}]" if verdict.sources else ""
    say(
        f"{verdict.aspect:<10} {SIGNS[verdict.outcome]:<2} {verdict.outcome:<11} {verdict.note}{when}",
        fg=None if verdict.outcome in ("native", "supported") else _COLOURS[verdict.outcome],
    )
    for need in verdict.needs:
        say(f"{'':<14} needs: {need}")
    if why:
        for rule in verdict.rules:
            say(f"{'':<14} rule {rule}", dim=True)
        for source in verdict.sources:
            say(f"{'':<14} source {source}", dim=True)


def show_matrix(answer: Matrix, *, why: bool) -> None:
    """A table of signs, what they mean, and with --why one sentence per field."""
    say(answer.title, bold=True)
    by_place = {(cell.row, cell.column): cell for cell in answer.cells}
    rows = [
        [row, *(_cell(by_place[row, column].outcome) for column in answer.columns)] for row in answer.rows
    ]
    table(["", *answer.columns], rows)
    say("; ".join(f"{short}: {outcome}" for outcome, short in _SHORT.items()), dim=True)
    if why:
        for cell in answer.cells:
            if cell.outcome != "unknown":
                say(f"{cell.row} on {cell.column}: {cell.outcome}. {cell.note} [{', '.join(cell.sources)}]")
    _notes(answer.notes)
    if answer.oldest_check:
        say(f"oldest fact used: read on {answer.oldest_check}", dim=True)


def _cell(outcome: Outcome) -> str:
    return _SHORT[outcome]


def _notes(notes: Sequence[str]) -> None:
    for note in notes:
        say(f"note: {note}")


def show_stack(answer: StackAnswer, *, why: bool) -> None:
    """The chain, what breaks, and the lines that install it."""
    where = f" on {answer.machine}" if answer.machine else ""
    say(f"{answer.runtime} {answer.version}{where}", bold=True)
    if answer.facts:
        heads = ["what", "wanted", "installed here", ""]
        words = {None: "", True: "differs", False: "as wanted"}
        rows = [[f.name, f.wanted, f.installed or "-", words[f.differs]] for f in answer.facts]
        table(heads, rows)
    _verdict(answer.verdict, why)
    for line in answer.breaks:
        say(f"breaks with {line}")
    if answer.install:
        say()
        say("requirements that satisfy it:")
        for line in answer.install:
            say(f"  {line}")
    _notes(answer.notes)


def show_frontier(answer: Frontier, *, why: bool) -> None:
    """Models that run as published at full precision first, then those that need a format."""
    free = [row for row in answer.rows if row.runs_unquantised]
    bound = [row for row in answer.rows if not row.runs_unquantised and row.format]
    out = [row for row in answer.rows if not row.runs_unquantised and not row.format]
    say(f"{answer.machine}: {format_bytes(answer.memory_bytes)} for models", bold=True)
    say(f"{len(free)} models run unquantised; {len(bound)} need a format; {len(out)} do not fit in any")
    rows = [[r.model, format_bytes(r.unquantised_bytes), "unquantised", ""] for r in free]
    rows += [[r.model, format_bytes(r.unquantised_bytes), r.format, r.outcome] for r in bound]
    rows += [[r.model, format_bytes(r.unquantised_bytes), "too large", ""] for r in out if why]
    table(["model", "in 16 bits", "here", "verdict"], rows, right=[1])
    _notes(answer.notes)


def show_uis(answer: UiAnswer, *, why: bool) -> None:
    """Front-ends by features."""
    say(f"front-ends for {answer.model}" if answer.model else "front-ends", bold=True)
    rows = []
    for ui in answer.uis:
        known = {feature.name: feature for feature in ui.features}
        rows.append([ui.name, *(_cell(known[f].outcome) if f in known else "?" for f in answer.features)])
    table(["", *answer.features], rows)
    say("; ".join(f"{short}: {outcome}" for outcome, short in _SHORT.items()), dim=True)
    for ui in answer.uis:
        for feature in ui.features if why or answer.model or len(answer.uis) == 1 else ():
            where = f"[{', '.join(feature.sources)}, {feature.checked_on}]"
            say(f"{ui.name}: {feature.name}: {feature.note} {where}")
    _notes(answer.notes)
