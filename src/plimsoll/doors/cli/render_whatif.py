"""The answer of `whatif` as a person reads it."""

from __future__ import annotations

import json

from plimsoll.domain.whatif import Edit, EditVerdict, Figure, Judged, Sweep, WhatIf
from plimsoll.doors.cli.text import say, styled, table
from plimsoll.units import format_bytes, format_count, format_parameters

_WORDS: dict[EditVerdict, tuple[str, str]] = {
    "safe": ("SAFE", "green"), "changes_behaviour": ("CHANGES BEHAVIOUR", "yellow"),
    "load_error": ("LOAD ERROR", "red"), "breaks_silently": ("LOADS SILENTLY AND BREAKS THE MODEL", "red"),
    "not_settable": ("CANNOT BE SET", "yellow"), "unknown": ("UNKNOWN", "yellow"),
}  # fmt: skip
_COLUMNS = ("active_parameters", "kv_bytes", "flops_per_token", "bytes_per_token")


def show(answer: WhatIf) -> None:
    """Print verdicts, the table before and after, overrides, the sweep and what is not known."""
    if answer.together:
        _judged(answer.together, is_headline=True)
        if len(answer.judged) > 1:
            say("\neach edit alone:")
            for judged in answer.judged:
                _judged(judged, is_headline=False)
        _figures(answer)
        _overrides(answer)
        _quality(answer)
    if answer.sweep:
        _sweep(answer, answer.sweep)
    for note in answer.notes:
        say(f"note: {note}")
    for unknown in answer.unknowns:
        say(f"unknown: {unknown}", fg="yellow")
    versions = ", ".join(f"{k} {v}" for k, v in answer.versions.items() if k != "plimsoll")
    say(f"verdicts are for {versions}", dim=True)


def _judged(judged: Judged, *, is_headline: bool) -> None:
    word, colour = _WORDS[judged.verdict]
    edits = ", ".join(_edit(edit) for edit in judged.edits)
    mark = "" if is_headline else "  "
    say(f"{mark}{styled(word if is_headline else word.lower(), fg=colour, bold=True)}  {edits}")
    for engine in judged.engines:
        name, shade = _WORDS[engine.verdict]
        say(f"{mark}  {engine.engine}: {styled(name.lower(), fg=shade)}: {engine.reason}")


def _edit(edit: Edit) -> str:
    before = _value(edit.before) if edit.was_present else "(not in the file)"
    return f"{edit.key}: {before} → {_value(edit.after)}"


def _value(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _figures(answer: WhatIf) -> None:
    rows = [[f.label, number(f.before, f.unit), number(f.after, f.unit), _change(f)] for f in answer.figures]
    where = f" on {answer.machine}" if answer.machine else ""
    say(f"\nat {format_count(answer.context_tokens)} tokens{where}:")
    table(["", "before", "after", "change"], rows, right=(1, 2, 3))


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
    if unit == "tokens/s":
        return f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"
    return f"{value:,}"


def _overrides(answer: WhatIf) -> None:
    say("\nwithout editing the file:")
    for override in answer.overrides:
        note = f"  ({override.note})" if override.note else ""
        say(f"  {override.runtime:<13} {override.text or 'cannot'}{note}")


def _quality(answer: WhatIf) -> None:
    say()
    if not any(fact.about == "quality" for fact in answer.quality):
        say("quality: unknown, no measurement of it for this edit is in the catalog", fg="yellow")
    for fact in answer.quality:
        value = "" if fact.value is None else f" {fact.value:g} {fact.unit}"
        say(f"measured: {fact.claim}:{value} [{fact.source}]")


def _sweep(answer: WhatIf, sweep: Sweep) -> None:
    devices = [q for q in sweep.labels if q.startswith(("device_bytes", "headroom_bytes"))]
    columns = [
        q
        for q in (*_COLUMNS, *devices, "tokens_per_second")
        if any(p.figures.get(q) is not None for p in sweep.points)
    ]
    heads = [sweep.axis, "verdict", *(sweep.labels.get(q, q) for q in columns)]
    rows = []
    for point in sweep.points:
        mark = " ←" if point.value == sweep.present else ""
        cells = [number(point.figures.get(q), sweep.units.get(q, "")) for q in columns]
        rows.append([f"{point.value:,}{mark}", _WORDS[point.verdict][0].lower(), *cells])
    say(f"\n{answer.model}, {sweep.axis}:")
    table(heads, rows, right=(0, *range(2, len(heads))))
    if sweep.present is not None:
        word = "what the model was trained for" if sweep.unit == "tokens" else "as published"
        say(f"← {sweep.present:,} is {word}", dim=True)
