"""The answer of `whatif` as a person reads it."""

from __future__ import annotations

import json

from rich.console import Console
from rich.table import Table
from rich.text import Text

from plimsoll.domain.whatif import Edit, EditVerdict, Figure, Judged, Sweep, WhatIf
from plimsoll.units import format_bytes, format_count, format_parameters

_WORDS: dict[EditVerdict, tuple[str, str]] = {
    "safe": ("SAFE", "green"), "changes_behaviour": ("CHANGES BEHAVIOUR", "yellow"),
    "load_error": ("LOAD ERROR", "red"), "breaks_silently": ("LOADS SILENTLY AND BREAKS THE MODEL", "red"),
    "not_settable": ("CANNOT BE SET", "yellow"), "unknown": ("UNKNOWN", "yellow"),
}  # fmt: skip
_COLUMNS = ("active_parameters", "kv_bytes", "flops_per_token", "bytes_per_token")


def show(answer: WhatIf, console: Console | None = None) -> None:
    """Print verdicts, the table before and after, overrides, the sweep and what is not known."""
    out = console or Console(highlight=False)
    if answer.together:
        _judged(out, answer.together, is_headline=True)
        if len(answer.judged) > 1:
            out.print("\neach edit alone:")
            for judged in answer.judged:
                _judged(out, judged, is_headline=False)
        _figures(out, answer)
        _overrides(out, answer)
        _quality(out, answer)
    if answer.sweep:
        _sweep(out, answer, answer.sweep)
    for title, items in (("note", answer.notes), ("unknown", answer.unknowns)):
        for item in items:
            out.print(Text(f"{title}: {item}", style="" if title == "note" else "yellow"), soft_wrap=True)
    versions = ", ".join(f"{k} {v}" for k, v in answer.versions.items() if k != "plimsoll")
    out.print(Text(f"verdicts are for {versions}", style="dim"), soft_wrap=True)


def _judged(out: Console, judged: Judged, *, is_headline: bool) -> None:
    word, style = _WORDS[judged.verdict]
    edits = ", ".join(_edit(edit) for edit in judged.edits)
    mark = "" if is_headline else "  "
    out.print(
        Text.assemble(mark, (word if is_headline else word.lower(), f"bold {style}"), f"  {edits}"),
        soft_wrap=True,
    )
    for engine in judged.engines:
        name, colour = _WORDS[engine.verdict]
        line = Text.assemble(f"{mark}  {engine.engine}: ", (name.lower(), colour), f": {engine.reason}")
        out.print(line, soft_wrap=True)


def _edit(edit: Edit) -> str:
    before = _value(edit.before) if edit.was_present else "(not in the file)"
    return f"{edit.key}: {before} → {_value(edit.after)}"


def _value(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _figures(out: Console, answer: WhatIf) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    for title in ("before", "after", "change"):
        table.add_column(title, justify="right", no_wrap=True)
    for figure in answer.figures:
        before, after = number(figure.before, figure.unit), number(figure.after, figure.unit)
        table.add_row(figure.label, before, after, _change(figure))
    where = f" on {answer.machine}" if answer.machine else ""
    out.print(f"\nat {format_count(answer.context_tokens)} tokens{where}:")
    out.print(table)


def _change(figure: Figure) -> str:
    if figure.before is None or figure.after is None:
        return figure.note
    if figure.before == figure.after:
        return "="
    share = (figure.after - figure.before) / abs(figure.before) * 100 if figure.before else 0
    return f"{share:+.1f} %"


def number(value: float | int | None, unit: str) -> str:
    """A figure in its unit, 'unknown' for None."""
    if value is None:
        return "unknown"
    if unit == "bytes":
        return format_bytes(int(value))
    if unit == "parameters":
        return format_parameters(int(value))
    if unit == "flop":
        return f"{value / 1e12:.2f} TFLOP" if value >= 1e12 else f"{value / 1e9:.2f} GFLOP"
    return f"{value:,}"


def _overrides(out: Console, answer: WhatIf) -> None:
    out.print("\nwithout editing the file:")
    for override in answer.overrides:
        text = override.text or "cannot"
        note = f"  ({override.note})" if override.note else ""
        out.print(Text(f"  {override.runtime:<13} {text}{note}"), soft_wrap=True)


def _quality(out: Console, answer: WhatIf) -> None:
    out.print()
    if not any(fact.about == "quality" for fact in answer.quality):
        out.print(
            Text("quality: unknown, no measurement of it for this edit is in the catalog", style="yellow")
        )
    for fact in answer.quality:
        value = "" if fact.value is None else f" {fact.value:g} {fact.unit}"
        out.print(Text(f"measured: {fact.claim}:{value} [{fact.source}]"), soft_wrap=True)


def _sweep(out: Console, answer: WhatIf, sweep: Sweep) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(sweep.axis, justify="right")
    table.add_column("verdict", no_wrap=True)
    devices = [q for q in sweep.labels if q.startswith(("device_bytes", "headroom_bytes"))]
    columns = [q for q in (*_COLUMNS, *devices) if any(q in p.figures for p in sweep.points)]
    for quantity in columns:
        table.add_column(sweep.labels.get(quantity, quantity), justify="right")
    for point in sweep.points:
        mark = " ←" if point.value == sweep.present else ""
        word, style = _WORDS[point.verdict]
        cells = [number(point.figures.get(q), sweep.units.get(q, "")) for q in columns]
        table.add_row(f"{point.value:,}{mark}", Text(word.lower(), style=style), *cells)
    out.print(f"\n{answer.model}, {sweep.axis}:")
    out.print(table)
    if sweep.present is not None:
        word = "what the model was trained for" if sweep.unit == "tokens" else "as published"
        out.print(Text(f"← {sweep.present:,} is {word}", style="dim"))
