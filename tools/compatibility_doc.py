"""Write docs/reference/compatibility.md from the rules: `python tools/compatibility_doc.py`.

A test fails while the page differs from what the rules say.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from plimsoll.ask.check_matrix import MatrixQuestion, matrix
from plimsoll.catalog import releases, rules
from plimsoll.domain.rule import Outcome

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "compatibility.md"
MACHINES = (
    ("RTX PRO 6000", "rtx-pro-6000"), ("RTX 4090", "rtx-4090"), ("RTX 3090", "rtx-3090"), ("H100", "h100"),
    ("MI300X", "mi300x"), ("Strix Halo", "strix halo"), ("Mac Studio M3 Ultra", "mac studio m3 ultra"),
    ("EPYC 9554", "epyc-9554"),
)  # fmt: skip
WORDS: dict[Outcome, str] = {
    "native": "**native**", "supported": "yes", "penalty": "at a price", "inefficient": "poorly",
    "unsupported": "no", "unknown": "",
}  # fmt: skip
HEAD = """# Compatibility at a glance

Generated from the rules by `python tools/compatibility_doc.py`; an empty field is *unknown*. Each field is
the worst of *does the runtime run on this hardware* and *this weight format in it*, in the newest release
known; the sentences and sources behind it: `plimsoll check --matrix --on MACHINE --why`. Whether a model
fits is another question.
"""


def page() -> str:
    """The whole page."""
    known = rules.load()
    parts = [HEAD, _counts(known)]
    for title, machine in MACHINES:
        parts.append(f"## {title}\n{_table(machine)}")
    return "\n".join(parts)


def _counts(known: tuple[rules.Rule, ...]) -> str:
    """How many rules there are, of how many runtimes, and how old the oldest is."""
    per_runtime = Counter(rule.runtime for rule in known)
    names = {r.id: r for r in releases.load_all().values()}
    rows = [
        f"| {names[runtime].name} | {names[runtime].newest} | {count} |"
        for runtime, count in sorted(per_runtime.items()) if runtime
    ]  # fmt: skip
    oldest = min(rule.checked_on for rule in known)
    return (
        f"{len(known)} rules, {per_runtime['']} of them for any runtime, each read at its source. "
        f"The oldest was looked at on {oldest}.\n\n"
        "| runtime or library | newest release known | rules |\n|---|---|---|\n" + "\n".join(rows) + "\n"
    )


def _table(machine: str) -> str:
    """Formats by runtimes; rows and columns of which nothing is known are left out."""
    found = matrix(MatrixQuestion(on=machine))
    by_place = {(cell.row, cell.column): cell.outcome for cell in found.cells}
    columns = [
        c for c in found.columns if any(by_place[r, c] not in ("unknown", "unsupported") for r in found.rows)
    ]
    rows = [r for r in found.rows if any(by_place[r, c] not in ("unknown", "unsupported") for c in columns)]
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {r} | {' | '.join(WORDS[by_place[r, c]] for c in columns)} |" for r in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
