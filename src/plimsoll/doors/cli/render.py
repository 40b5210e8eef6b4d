"""The answer of `fit` as a person reads it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from plimsoll.ask.fit import spelled
from plimsoll.domain.answer import Answer
from plimsoll.domain.bill import DeviceTotal, Line
from plimsoll.units import format_bytes, format_count, format_parameters

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
_HEADLINES = {
    "fits": ("FITS", "green"), "tight": ("TIGHT", "yellow"), "offload": ("FITS WITH OFFLOAD", "yellow"),
    "does_not_fit": ("DOES NOT FIT", "red"), "unknown": ("UNKNOWN", "yellow"),
}  # fmt: skip


def show(answer: Answer, *, why: bool, console: Console | None = None) -> None:
    """Print verdict, load lines, bill, limits, remedies and notes to stdout."""
    out = console or Console(highlight=False)
    out.print(_headline(answer), soft_wrap=True)
    for number, facts in enumerate(answer.model, start=1):
        active = "" if facts.active_parameters_count == facts.parameters_count else (
            f", {format_parameters(facts.active_parameters_count)} active per token"
        )  # fmt: skip
        out.print(
            ("" if len(answer.model) == 1 else f"model {number}: ")
            + f"{facts.id}: {format_parameters(facts.parameters_count)} parameters{active}, "
            f"{facts.weight_format} on {spelled(facts.runtime)} {facts.runtime_version}".rstrip(),
            soft_wrap=True,
        )
    out.print()
    for totals in _alike(answer):
        _load_line(out, totals, [line for line in answer.bill.lines if line.device == totals[0].id])
    out.print(_bill(answer))
    _limits(out, answer)
    _remedies(out, answer)
    for title, items in (("note", answer.notes), ("unknown", answer.unknowns)):
        for item in items:
            out.print(Text(f"{title}: {item}", style="" if title == "note" else "yellow"), soft_wrap=True)
    if why:
        _why(out, answer)
    else:
        out.print(Text("--why shows every number's formula, inputs and sources", style="dim"))


def _headline(answer: Answer) -> Text:
    word, style = _HEADLINES[answer.verdict]
    text = Text(word, style=f"bold {style}")
    if answer.verdict == "does_not_fit" and answer.missing_bytes:
        text.append(
            f"  short of {format_bytes(answer.missing_bytes)} ({format_count(answer.missing_bytes)} bytes)"
        )
    elif answer.verdict in ("fits", "tight", "offload"):
        text.append(
            f"  {format_bytes(answer.headroom_bytes)} left ({format_count(answer.headroom_bytes)} bytes)"
        )
    text.append(f" on {answer.machine}")
    if answer.reason:
        text.append(f": {answer.reason}")
    if answer.placement:
        text.append(f" ({', '.join(answer.placement)})")
    text.stylize("not bold", len(word))
    return text


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


def _load_line(out: Console, totals: Sequence[DeviceTotal], lines: Sequence[Line]) -> None:
    """One bar: each component in its own sign, the rest as dots, and the load line at the capacity."""
    total = totals[0]
    each = " each" if len(totals) > 1 else ""
    if total.capacity_bytes <= 0:
        out.print(
            f"{_ids(totals)} {total.name}: {format_bytes(total.used_bytes)} needed, capacity not told",
            soft_wrap=True,
        )
        return
    room = (
        f"{format_bytes(total.headroom_bytes)} free" if total.headroom_bytes >= 0
        else f"{format_bytes(-total.headroom_bytes)} over the line"
    )  # fmt: skip
    out.print(
        f"{_ids(totals)} {total.name}{each}: {format_bytes(total.used_bytes)} of "
        f"{format_bytes(total.capacity_bytes)}, {room}",
        soft_wrap=True,
    )
    out.print(_bar(total, lines, max(20, min(72, out.width - 4))))
    present = [c for c in _SIGNS if any(line.component == c and line.size_bytes for line in lines)]
    legend = Text("  ").join(Text(f"{_SIGNS[c][0]} {c}", style=_SIGNS[c][1]) for c in present)
    out.print(Text.assemble(legend, "  ", ("· free  ┃ capacity", "dim")))
    out.print()


def _bar(total: DeviceTotal, lines: Sequence[Line], width: int) -> Text:
    scale = max(total.capacity_bytes, total.used_bytes)
    bar, drawn, sum_bytes = Text(), 0, 0
    for component, (sign, style) in _SIGNS.items():
        sum_bytes += sum(line.size_bytes for line in lines if line.component == component)
        cells = round(sum_bytes / scale * width) - drawn
        bar.append(sign * cells, style=style)
        drawn += cells
    bar.append("·" * (width - drawn), style="dim")
    mark = round(total.capacity_bytes / scale * width)
    return Text.assemble(bar[:mark], ("┃", "bold"), bar[mark:])


def _bill(answer: Answer) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    several = len(answer.model) > 1
    numbers = {facts.id: number for number, facts in enumerate(answer.model, start=1)}
    table.add_column("device")
    if several:
        table.add_column("model")
    table.add_column("what")
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("from … to", justify="right", no_wrap=True)
    table.add_column("basis")
    for totals in _alike(answer):
        for line in (x for x in answer.bill.lines if x.device == totals[0].id):
            between = "" if line.low_bytes == line.high_bytes else (
                f"{format_bytes(line.low_bytes)} … {format_bytes(line.high_bytes)}"
            )  # fmt: skip
            cells = [_ids(totals), line.label, format_bytes(line.size_bytes), between, line.basis]
            if several:
                cells.insert(1, str(numbers.get(line.model, "")))
            table.add_row(*cells)
    return table


def _limits(out: Console, answer: Answer) -> None:
    out.print()
    if answer.max_context_tokens:
        trained = [m.trained_context_tokens for m in answer.model if m.trained_context_tokens]
        all_of_it = trained and answer.max_context_tokens >= min(trained)
        out.print(
            f"longest context that fits: {format_count(answer.max_context_tokens)} tokens"
            + (" (all the model was trained for)" if all_of_it else "")
        )
    if answer.max_parallel_sequences:
        out.print(f"most parallel sequences of this context: {format_count(answer.max_parallel_sequences)}")
    for estimate in answer.estimates:
        if estimate.quantity in _SHOWN and answer.verdict != "does_not_fit":
            number = (
                format_bytes(int(estimate.value)) if estimate.unit == "bytes" else f"{estimate.value:,.10g}"
            )
            unit = "" if estimate.unit == "bytes" else f" {estimate.unit}"
            out.print(f"{_SHOWN[estimate.quantity]}: {number}{unit}", soft_wrap=True)


def _remedies(out: Console, answer: Answer) -> None:
    if not answer.remedies:
        if answer.verdict == "does_not_fit" and answer.missing_bytes:
            out.print(
                "\nnothing that was tried makes it fit (KV, context, weights, host memory, up to 16 cards)"
            )
        return
    out.print(
        "\nwhat would make it fit:" if answer.verdict == "does_not_fit" else "\nwhat would avoid the offload:"
    )
    for remedy in answer.remedies:
        left = f"{remedy.verdict}, {format_bytes(remedy.headroom_bytes)} left"
        out.print(f"  {remedy.flags:<24} {remedy.change}: {left}", soft_wrap=True)


def _why(out: Console, answer: Answer) -> None:
    out.print("\nwhy, line by line:")
    for line in answer.bill.lines:
        out.print(f"\n{line.device} {line.label}: {format_count(line.size_bytes)} bytes ({line.basis})")
        out.print(Text(f"  formula  {line.formula}: {_formula_text(line.formula)}"), soft_wrap=True)
        for name, value in line.inputs.items():
            out.print(Text(f"  {name} = {_short(value)}"), soft_wrap=True)
        for origin in line.origins:
            out.print(Text(f"  from {origin.kind}: {origin.where}", style="dim"), soft_wrap=True)
    out.print("\nsources:")
    for source in answer.sources:
        out.print(Text(f"  {source.url}", style="dim"), soft_wrap=True)


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
