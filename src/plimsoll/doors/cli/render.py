"""The answer of `fit` as a person reads it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from plimsoll.ask.fit import spelled
from plimsoll.domain.answer import Answer
from plimsoll.domain.bill import DeviceTotal, Line
from plimsoll.doors.cli.text import GAP, columns_count, say, styled, table
from plimsoll.units import format_bytes, format_count, format_parameters

_BAR_WIDTH = 72
_SIGNS = {
    "weights": ("█", "blue"), "kv": ("▓", "magenta"), "state": ("▚", "magenta"), "compute": ("▒", "cyan"),
    "overhead": ("░", "yellow"), "adapters": ("▞", "green"), "reserved": ("╳", "red"),
}  # fmt: skip
# Estimates worth a line on the screen; the JSON has them all.
_SHOWN = {
    "kv_pool_bytes": "KV pool it will claim (not the need above)",
    "kv_cache_tokens": "tokens its log will print as KV cache size",
    "max_concurrency": "maximum concurrency its log will print",
}
# How each expected speed is told.
_SPEEDS = {
    "decode": "at {context_tokens} tokens", "decode_total": "for {parallel_sequences} together",
    "ttft": "to the first token after {prompt_tokens}",
}  # fmt: skip
_COUNTS = ("context_tokens", "parallel_sequences", "prompt_tokens")
_HEADLINES = {
    "fits": ("FITS", "green"), "tight": ("TIGHT", "yellow"), "offload": ("FITS WITH OFFLOAD", "yellow"),
    "does_not_fit": ("DOES NOT FIT", "red"), "unknown": ("UNKNOWN", "yellow"),
}  # fmt: skip


def show(answer: Answer, *, why: bool) -> None:
    """Print verdict, load lines, bill, limits, remedies and notes to stdout."""
    _headline(answer)
    for number, facts in enumerate(answer.model, start=1):
        active = "" if facts.active_parameters_count == facts.parameters_count else (
            f", {format_parameters(facts.active_parameters_count)} active per token"
        )  # fmt: skip
        say(
            ("" if len(answer.model) == 1 else f"model {number}: ")
            + f"{facts.id}: {format_parameters(facts.parameters_count)} parameters{active}, "
            f"{facts.weight_format} on {spelled(facts.runtime)} {facts.runtime_version}".rstrip()
        )
    say()
    for totals in _alike(answer):
        _load_line(totals, [line for line in answer.bill.lines if line.device == totals[0].id])
    _bill(answer)
    _limits(answer)
    _remedies(answer)
    for note in answer.notes:
        say(f"note: {note}")
    for unknown in answer.unknowns:
        say(f"unknown: {unknown}", fg="yellow")
    if why:
        _why(answer)
    else:
        say("--why shows every number's formula, inputs and sources", dim=True)


def _headline(answer: Answer) -> None:
    word, colour = _HEADLINES[answer.verdict]
    text = ""
    if answer.verdict == "does_not_fit" and answer.missing_bytes:
        text = f"  short of {format_bytes(answer.missing_bytes)} ({format_count(answer.missing_bytes)} bytes)"
    elif answer.verdict in ("fits", "tight", "offload"):
        text = f"  {format_bytes(answer.headroom_bytes)} left ({format_count(answer.headroom_bytes)} bytes)"
    text += f" on {answer.machine}"
    if answer.reason:
        text += f": {answer.reason}"
    if answer.placement:
        text += f" ({', '.join(answer.placement)})"
    say(styled(word, fg=colour, bold=True) + text)


def _alike(answer: Answer) -> list[list[DeviceTotal]]:
    """Devices with the same name, capacity and lines, together."""
    groups: dict[object, list[DeviceTotal]] = {}
    for total in answer.bill.devices:
        lines = tuple(
            (x.component, x.label, x.model, x.size_bytes, x.low_bytes, x.high_bytes)
            for x in answer.bill.lines
            if x.device == total.id
        )
        groups.setdefault((total.name, total.capacity_bytes, lines), []).append(total)
    return list(groups.values())


def _ids(totals: Sequence[DeviceTotal]) -> str:
    return totals[0].id if len(totals) == 1 else f"{totals[0].id}–{totals[-1].id}"


def _load_line(totals: Sequence[DeviceTotal], lines: Sequence[Line]) -> None:
    """One bar: each component in its own sign, the rest as dots, and the load line at the capacity."""
    total = totals[0]
    each = " each" if len(totals) > 1 else ""
    if total.capacity_bytes <= 0:
        say(f"{_ids(totals)} {total.name}: {format_bytes(total.used_bytes)} needed, capacity not told")
        return
    room = (
        f"{format_bytes(total.headroom_bytes)} free" if total.headroom_bytes >= 0
        else f"{format_bytes(-total.headroom_bytes)} over the line"
    )  # fmt: skip
    used = f"{format_bytes(total.used_bytes)} of {format_bytes(total.capacity_bytes)}"
    say(f"{_ids(totals)} {total.name}{each}: {used}, {room}")
    say(_bar(total, lines, columns_count(_BAR_WIDTH + 1) - 1))
    present = [c for c in _SIGNS if any(line.component == c and line.size_bytes for line in lines)]
    legend = GAP.join(styled(f"{_SIGNS[c][0]} {c}", fg=_SIGNS[c][1]) for c in present)
    say(f"{legend}{GAP}{styled('· free  ┃ capacity', dim=True)}")
    say()


def _bar(total: DeviceTotal, lines: Sequence[Line], width: int) -> str:
    scale = max(total.capacity_bytes, total.used_bytes)
    cells: list[tuple[str, str | None]] = []
    sum_bytes = 0
    for component, (sign, colour) in _SIGNS.items():
        sum_bytes += sum(line.size_bytes for line in lines if line.component == component)
        cells += [(sign, colour)] * (round(sum_bytes / scale * width) - len(cells))
    cells += [("·", None)] * (width - len(cells))
    cells.insert(round(total.capacity_bytes / scale * width), ("┃", "bright_white"))
    return "".join(
        styled("".join(s for s, _ in run), fg=fg) for fg, run in groupby(cells, key=lambda c: c[1])
    )


def _bill(answer: Answer) -> None:
    several = len(answer.model) > 1
    numbers = {facts.id: str(number) for number, facts in enumerate(answer.model, start=1)}
    rows = []
    for totals in _alike(answer):
        for line in (x for x in answer.bill.lines if x.device == totals[0].id):
            between = "" if line.low_bytes == line.high_bytes else (
                f"{format_bytes(line.low_bytes)} … {format_bytes(line.high_bytes)}"
            )  # fmt: skip
            cells = [_ids(totals), line.label, format_bytes(line.size_bytes), between, line.basis]
            rows.append([cells[0], numbers.get(line.model, ""), *cells[1:]] if several else cells)
    heads = ["device", "what", "size", "from … to", "basis"]
    table([heads[0], "model", *heads[1:]] if several else heads, rows, right=(3, 4) if several else (2, 3))


def _limits(answer: Answer) -> None:
    say()
    if answer.max_context_tokens:
        trained = [m.trained_context_tokens for m in answer.model if m.trained_context_tokens]
        all_of_it = trained and answer.max_context_tokens >= min(trained)
        say(
            f"longest context that fits: {format_count(answer.max_context_tokens)} tokens"
            + (" (all the model was trained for)" if all_of_it else "")
        )
    if answer.max_parallel_sequences:
        say(f"most parallel sequences of this context: {format_count(answer.max_parallel_sequences)}")
    for estimate in answer.estimates:
        if estimate.quantity in _SHOWN and answer.verdict != "does_not_fit":
            number = (
                format_bytes(int(estimate.value)) if estimate.unit == "bytes" else f"{estimate.value:,.10g}"
            )
            unit = "" if estimate.unit == "bytes" else f" {estimate.unit}"
            say(f"{_SHOWN[estimate.quantity]}: {number}{unit}")
    _speed(answer)


def _speed(answer: Answer) -> None:
    """One line: tokens per second and the wait for the first, each with its interval, or why not."""
    found = {e.quantity: e for e in answer.speed}
    parts = []
    for quantity, words in _SPEEDS.items():
        if quantity in found:
            e = found[quantity]
            low, value, high = (f"{v:,.3g}" if v < 1000 else f"{v:,.0f}" for v in (e.low, e.value, e.high))
            about = words.format(**{name: format_count(e.inputs[name]) for name in _COUNTS})
            parts.append(f"{value} {e.unit} {about} ({low} … {high})")
    if answer.speed_reason:
        parts.append(f"{'first token unknown' if parts else 'unknown'}: {answer.speed_reason}")
    if parts:
        say(f"expected speed: {'; '.join(parts)}")


def _remedies(answer: Answer) -> None:
    if not answer.remedies:
        if answer.verdict == "does_not_fit" and answer.missing_bytes:
            say("\nnothing that was tried makes it fit (KV, context, weights, host memory, up to 16 cards)")
        return
    settled = {"does_not_fit": "what would make it fit:", "unknown": "what would make sure of it:"}
    say("\n" + settled.get(answer.verdict, "what would avoid the offload:"))
    for remedy in answer.remedies:
        left = f"{remedy.verdict}, {format_bytes(remedy.headroom_bytes)} left"
        say(f"  {remedy.flags:<24} {remedy.change}: {left}")


def _why(answer: Answer) -> None:
    say("\nwhy, line by line:")
    for line in answer.bill.lines:
        say(f"\n{line.device} {line.label}: {format_count(line.size_bytes)} bytes ({line.basis})")
        say(f"  formula  {line.formula}: {_formula_text(line.formula)}")
        for name, value in line.inputs.items():
            say(f"  {name} = {_short(value)}")
        for origin in line.origins:
            say(f"  from {origin.kind}: {origin.where}", dim=True)
    say()
    for total in answer.bill.devices:
        say(f"{total.id} {total.name}: capacity {format_count(total.capacity_bytes)} bytes")
        for origin in total.origins:
            say(f"  from {origin.kind}: {origin.where}", dim=True)
    say("\nversions: " + ", ".join(f"{name} {version}" for name, version in answer.versions.items()))
    say("\nsources:")
    for source in answer.sources:
        say(f"  {source.url}", dim=True)


def _formula_text(formula: str) -> str:
    """The first paragraph of the formula's docstring."""
    import importlib
    import inspect

    module, _, name = formula.partition(":")
    doc = inspect.getdoc(getattr(importlib.import_module(f"plimsoll.{module}"), name)) or ""
    return " ".join(doc.split("\n\n")[0].split())


def _short(value: object) -> str:
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return text if len(text) <= 400 else text[:397] + "..."
