"""The answer of `fleet` as a person reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from plimsoll.ask.fit import spelled
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.fleet import FleetAnswer, MachineCost, Placement, PlaceUse, Stage
from plimsoll.doors.cli.text import columns_count, say, styled, table
from plimsoll.units import format_bytes, format_money, format_seconds

_HEADLINES = {
    "placed": ("PLACED", "green"), "slower": ("PLACED, BUT SLOWER THAN ASKED", "yellow"),
    "partly": ("PLACED IN PART", "red"), "unknown": ("UNKNOWN", "yellow"),
}  # fmt: skip
_SIGNS = "█▓▒░▚▞"
_BAR_WIDTH = 60
_WISHES = {"none": "", "met": "yes", "missed": "NO", "unknown": "unknown"}


def show(answer: FleetAnswer, *, why: bool) -> None:
    """Print placements, devices, cost, what is missing and what is spare to stdout."""
    word, colour = _HEADLINES[answer.verdict]
    say(styled(word, fg=colour, bold=True) + f"  {answer.reason}; {_cost_words(answer)}; {_proof(answer)}")
    say()
    if answer.placements:
        _placements(answer)
        say()
    for alike in _alike(answer.places):
        _place(alike)
    _costs(answer)
    for m in answer.missing:
        copies = f"{m.copies} copies of {m.role}" if m.copies > 1 else m.role
        say(f"missing: {copies}: {m.reason}", fg="red")
        for change in m.changes:
            say(f"  would place it: {change}")
    for s in answer.spare:
        say(f"room left on {s.machine} would also hold one of:")
        for could in s.could:
            say(f"  {could}")
    for note in answer.notes:
        say(f"note: {note}")
    for unknown in answer.unknowns:
        say(f"unknown: {unknown}", fg="yellow")
    if why:
        _why(answer)
    else:
        say("--why shows how each is started, the aims, formulas and sources", dim=True)


def _cost_words(answer: FleetAnswer) -> str:
    priced = [e for c in answer.costs for e in (c.rent, c.electricity) if e]
    if not priced:
        return "no prices told"
    least = "at least " if any(c.note for c in answer.costs) else ""
    return f"{least}{format_money(answer.cost_per_month, answer.currency)} a month"


def _proof(answer: FleetAnswer) -> str:
    open_stages = [s for s in answer.stages if not s.is_proven]
    if not open_stages:
        return "optimal, proven"
    return f"{open_stages[0].aim}: not proven optimal ({_gap(open_stages[0])})"


def _gap(stage: Stage) -> str:
    return f"gap at most {stage.gap:.1%}"


def _placements(answer: FleetAnswer) -> None:
    rows = []
    for p in answer.placements:
        rows.append((
            f"{p.way.role} #{p.copy}" if _is_copied(answer, p) else p.way.role,
            p.way.model.rpartition("/")[2] or "(memory told)", p.way.weight_format,
            spelled(p.way.runtime), _where(p), _number(p.way.speed), _number(p.shared_speed, is_range=False),
            _number(p.slowest_speed, is_range=False),
            format_seconds(p.way.first_token.value) if p.way.first_token else "", _WISHES[p.wish],
        ))  # fmt: skip
    heads = ("role", "model", "weights", "runtime", "where", "tokens/s alone", "beside", "at worst",
             "first token", "fast enough")  # fmt: skip
    table(heads, rows, right=(5, 6, 7, 8))


def _is_copied(answer: FleetAnswer, placement: Placement) -> bool:
    return sum(p.way.role == placement.way.role for p in answer.placements) > 1


def _where(p: Placement) -> str:
    split = f" {p.way.split}" if len(p.way.devices) > 1 else ""
    return f"{p.way.machine} {p.way.where}{split}{' and ram' if p.way.offload else ''}"


def _number(e: Estimate | None, *, is_range: bool = True) -> str:
    if e is None:
        return ""
    return f"{e.value:.3g} ({e.low:.3g} … {e.high:.3g})" if is_range else f"{e.value:.3g}"


def _alike(uses: Sequence[PlaceUse]) -> list[list[PlaceUse]]:
    """Neighbouring places of a machine that hold the same, together."""
    groups: list[list[PlaceUse]] = []
    for use in uses:
        last = groups[-1][-1] if groups else None
        if last and replace(use, place=last.place) == last:
            groups[-1].append(use)
        else:
            groups.append([use])
    return groups


def _place(alike: Sequence[PlaceUse]) -> None:
    """One bar: each role in its own sign, then what others hold, the rest as dots."""
    use = alike[0]
    places = use.place if len(alike) == 1 else f"{use.place}–{alike[-1].place} (each)"
    width = columns_count(_BAR_WIDTH)
    cells, filled, total = [], 0, 0
    signs = [_SIGNS[i % len(_SIGNS)] for i in range(len(use.parts))]
    pieces = [*zip(signs, (p.size_bytes for p in use.parts), strict=True), ("╳", use.reserved_bytes)]
    for sign, size in pieces:
        total += size
        until = min(round(total / use.capacity_bytes * width), width) if use.capacity_bytes else 0
        cells.append(sign * (until - filled))
        filled = max(filled, until)
    told = [f"{sign} {p.role} {format_bytes(p.size_bytes)}" for sign, p in zip(signs, use.parts, strict=True)]
    tight = ", tight" if use.is_tight else ""
    free = f"{format_bytes(use.headroom_bytes)} of {format_bytes(use.capacity_bytes)} free{tight}"
    say(f"{use.machine} {places} {use.name}: {free}")
    say(f"{''.join(cells)}{'·' * (width - filled)}┃  {'  '.join(told)}".rstrip())


def _costs(answer: FleetAnswer) -> None:
    rows = [_cost_row(c) for c in answer.costs if c.rent or c.electricity]
    if rows:
        say()
        table(("machine", "hours", "rent", "electricity", "a month"), rows, right=(1, 2, 3, 4))
        say()
    idle = [c.machine for c in answer.costs if not c.is_used]
    if idle:
        say(f"not needed: {', '.join(idle)}")


def _cost_row(c: MachineCost) -> tuple[str, ...]:
    def money(e: Estimate | None) -> str:
        return format_money(e.value, e.unit[:3]) if e else ""

    both = [e for e in (c.rent, c.electricity) if e]
    return (
        c.machine, str(c.hours), money(c.rent), money(c.electricity),
        format_money(sum(e.value for e in both), both[0].unit[:3]),
    )  # fmt: skip


def _why(answer: FleetAnswer) -> None:
    say("\naims, in order, each proven before the next", bold=True)
    for stage in answer.stages:
        proof = (
            "proven"
            if stage.is_proven
            else f"best {stage.value:,.0f}, bound {stage.bound:,.0f}, {_gap(stage)}"
        )
        value = (
            f"{stage.value / 1e6:,.2f} {answer.currency}" if stage.aim == "cost" else f"{stage.value:,.0f}"
        )
        say(f"  {stage.aim}: {value} ({proof})")
    say(f"  chosen among {answer.ways_count:,} ways")
    for p in answer.placements:
        say(f"\n{p.way.role} on {p.way.machine}", bold=True)
        if p.launch:
            say(f"  {p.launch}")
        if p.way.claim_share:
            say(f"  claims {p.way.claim_share:.2f} of each card, what it needs at the high end of every size")
        beside = f" beside {', '.join(p.neighbours)}" if p.neighbours else " alone on its device"
        say(f"  {p.others_busy:.2f} others busy{beside}")
        for e in (p.way.speed, p.way.first_token):
            if e:
                say(f"  {e.quantity}: {e.value:.3g} {e.unit} ({e.low:.3g} … {e.high:.3g}), {e.formula}, "
                    f"{e.samples_count} measurements behind the interval")  # fmt: skip
    for c in answer.costs:
        for e in (c.rent, c.electricity):
            if e:
                inputs = ", ".join(f"{k} {v:g}" for k, v in e.inputs.items())
                say(f"{c.machine}: {e.quantity} {e.value:.2f} {e.unit} = {e.formula}({inputs})")
    for words in answer.left_out:
        say(f"left out: {words}")
    for source in answer.sources:
        say(f"source: {source.id} {source.url}", dim=True)
