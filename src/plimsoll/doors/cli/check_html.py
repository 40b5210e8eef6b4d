"""The matrix of `check` as one web page that needs nothing else."""

from __future__ import annotations

from html import escape
from pathlib import Path

from plimsoll.domain.check_tables import Cell, Matrix
from plimsoll.domain.rule import OUTCOMES, Outcome
from plimsoll.doors.cli.check_text import SIGNS
from plimsoll.errors import BadSetting

_COLOURS: dict[Outcome, tuple[str, str]] = {
    "native": ("#0b6e4f", "#fff"), "supported": ("#bfe3cf", "#000"), "penalty": ("#ffe08a", "#000"),
    "inefficient": ("#f5b971", "#000"), "unsupported": ("#c0392b", "#fff"), "unknown": ("#eee", "#555"),
}  # fmt: skip
_STYLE = """body{font:15px/1.4 system-ui,sans-serif;margin:1.5rem;color:#111;background:#fff}
h1{font-size:1.25rem}.wrap{overflow-x:auto}table{border-collapse:collapse}
th,td{border:1px solid #ccc;padding:.3rem .5rem;text-align:left;white-space:nowrap}
thead th{background:#f4f4f4}tbody th{position:sticky;left:0;background:#fff}
td p{white-space:normal;min-width:16rem;max-width:26rem;margin:.3rem 0 0}summary{cursor:pointer}
.legend span{display:inline-block;padding:.1rem .5rem;margin:0 .4rem .4rem 0;border:1px solid #ccc}"""


def write_matrix(answer: Matrix, path: str) -> None:
    """Write the page; raises BadSetting when the file cannot be written."""
    try:
        Path(path).write_text(page(answer), "utf-8", "backslashreplace")
    except OSError as error:
        raise BadSetting(
            f"cannot write {path}: {error.strerror}", hint="--html FILE in a folder you own"
        ) from error


def page(answer: Matrix) -> str:
    """The whole page: every field has a sign and a word, and opens (by mouse, key or touch) to say why."""
    by_place = {(cell.row, cell.column): cell for cell in answer.cells}
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in answer.columns)
    body = "\n".join(
        f'<tr><th scope="row">{escape(row)}</th>'
        + "".join(_field(by_place[row, column]) for column in answer.columns)
        + "</tr>"
        for row in answer.rows
    )
    notes = "".join(f"<p>{escape(note)}</p>" for note in answer.notes)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(answer.title)}</title><style>{_STYLE}</style></head><body>
<h1>{escape(answer.title)}</h1>
<p class="legend">{"".join(_legend(outcome) for outcome in OUTCOMES)}</p>
<div class="wrap"><table><thead><tr><td></td>{head}</tr></thead><tbody>
{body}
</tbody></table></div>
{notes}<p>Oldest fact used: read on {escape(answer.oldest_check or "no day")}.
Open a field to see why and where it was read.</p>
</body></html>
"""


def _legend(outcome: Outcome) -> str:
    return f'<span style="{_colours(outcome)}">{escape(SIGNS[outcome])} {outcome}</span>'


def _field(cell: Cell) -> str:
    word = escape(f"{SIGNS[cell.outcome]} {cell.outcome}")
    if not cell.note:
        return f'<td style="{_colours(cell.outcome)}">{word}</td>'
    why = escape(cell.note)
    if cell.sources:
        why += f"<br>read in {escape(', '.join(cell.sources))} on {escape(cell.checked_on)}"
    return (f'<td style="{_colours(cell.outcome)}"><details><summary>{word}</summary>'
            f"<p>{why}</p></details></td>")  # fmt: skip


def _colours(outcome: Outcome) -> str:
    back, front = _COLOURS[outcome]
    return f"background:{back};color:{front}"
