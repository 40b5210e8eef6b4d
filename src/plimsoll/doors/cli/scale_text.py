"""The answer of `scale` as a person reads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

from plimsoll.ask.fit import spelled
from plimsoll.core.scale import CHEAP_RENT, NO_FASTER
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.scale import Assumption, Possible, Rented, ScaleAnswer, Way
from plimsoll.doors.cli.text import say, table
from plimsoll.units import format_bytes, format_count, format_money, format_seconds

_HEADLINES = {"answered": ("SCALE", "green"), "does_not_fit": ("DOES NOT FIT", "red")}
# What a break-even comes to, in the width of a column.
_SHORT = {
    "buying is cheaper at your hours": "buy", "renting is cheaper at your hours": "rent",
    "not even day and night": "rent, even day and night", NO_FASTER: "adds no speed",
    CHEAP_RENT: "rent, which costs less than electricity",
}  # fmt: skip
_KINDS = {"card": "instead", "rent": "rent"}


def show(answer: ScaleAnswer, *, why: bool, drawn: str) -> None:
    """Print what each way makes possible, what it costs, what it comes to, and on what that rests."""
    word, colour = _HEADLINES.get(answer.verdict, ("UNKNOWN", "yellow"))
    names = ", ".join(answer.models)
    start = f", from {answer.machine}" if answer.machine else ""
    say(f"{word}  {names}{start}", fg=colour, bold=True)
    if answer.reason:
        say(answer.reason, fg=colour)
    if answer.ways:
        _possible(answer)
        _costs(answer)
        _front(answer)
        _rents(answer)
        if any(w.catalog for w in answer.ways):
            _catalog(answer.ways)
    if answer.rented:
        _period(answer)
    if answer.announced:
        _announced(answer)
    _says(answer)
    _assumptions(answer.assumptions)
    for note in answer.notes:
        say(f"note: {note}")
    for unknown in answer.unknowns:
        say(f"unknown: {unknown}", fg="yellow")
    if why:
        _why(answer)
    else:
        say("--why shows prices with their sources, formulas, and what was left out", dim=True)
    if drawn:
        say(f"drawn: {drawn}")


def _possible(answer: ScaleAnswer) -> None:
    say("\nwhat each makes possible:")
    heads = ("", "way", "runs in", "as published", "context to", "at once")
    table(heads, _rows(answer, _fits), right=(4, 5))
    together = "of all sequences together" if answer.asked.get("users_count") else "of one sequence"
    say(f"\nhow fast, {together}; from … to holds in 80 of 100 cases:")
    fast = ("", "way", "tokens/s", "from … to", "prompt, tokens/s", "from … to", "first token")
    table(fast, _rows(answer, _speeds), right=(2, 3, 4, 5, 6))
    if any(m.tokens_per_s and not m.is_measured for w in answer.ways for m in w.models):
        say("≤ what the hardware allows; nobody measured this runtime for it", dim=True)


def _rows(
    answer: ScaleAnswer, cells: Callable[[ScaleAnswer, Possible], tuple[str, ...]]
) -> list[tuple[str, ...]]:
    """A row per way and model; the way's number and name in its first."""
    rows: list[tuple[str, ...]] = []
    for number, way in enumerate(answer.ways, start=1):
        for place, m in enumerate(_lines(way.models)):
            start = (f"{number}", _named(way)) if place == 0 else ("", "")
            rows.append((*start, *cells(answer, m)))
    return rows


def _lines(models: Sequence[Possible]) -> list[Possible]:
    """Each model, and below it the same as copies, where that is possible."""
    return [x for m in models for x in (m, m.as_copies) if x]


def _named(way: Way) -> str:
    if way.kind == "own":
        return "as it is"
    return f"{_KINDS[way.kind]} {way.label}" if way.kind in ("card", "rent") else way.label


def _fits(answer: ScaleAnswer, m: Possible) -> tuple[str, ...]:
    name = f"{m.model.rpartition('/')[2]}: " if len(answer.models) > 1 else ""
    name = f"or {m.copies_count} copies: " if m.copies_count > 1 else name
    if m.part is None:
        return (f"{name}{m.verdict.replace('_', ' ')}", "", "", "")
    part = m.part
    placed = f" {part.placement}" if part.placement else ""
    return (
        f"{name}{part.weight_format}, {spelled(part.model.runtime)}{placed}", "fits" if m.is_whole else "no",
        format_count(part.longest_context_tokens or part.context_tokens),
        format_count(m.copies_count * (part.most_sequences_count or part.sequences_count)),
    )  # fmt: skip


def _speeds(answer: ScaleAnswer, m: Possible) -> tuple[str, ...]:
    if m.part is None:
        return ("", "", "", "", "")
    figures, speed = m.part.figures, m.tokens_per_s
    prompt, first = figures.get("prefill"), figures.get("ttft")
    mark = "" if m.is_measured else "≤"
    return (
        f"{mark}{_digits(speed.value)}" if speed else "?", _range(speed) if m.is_measured else "",
        _digits(prompt.estimate.value) if prompt and prompt.is_measured else "?",
        _range(prompt.estimate) if prompt and prompt.is_measured else "",
        format_seconds(first.estimate.value) if first and first.is_measured else "?",
    )  # fmt: skip


def _costs(answer: ScaleAnswer) -> None:
    say(f"\nwhat each costs in {answer.currency}, at {answer.hours_per_month:.0f} hours of work a month:")
    heads = (
        "", "way", "to buy", "power", "a month", "million tokens", "from … to", "same as rent at", "against"
    )  # fmt: skip
    rows = []
    for number, way in enumerate(answer.ways, start=1):
        for place, m in enumerate(_lines(way.models)):
            start = (f"{number}{'*' if way.is_on_front else ''}", _named(way)) if place == 0 else ("", "")
            once = _once(way) if place == 0 else ("", "", "")
            rows.append((*start, *once, *_of_tokens(m), *_even(answer, m)))
    table(heads, rows, right=(2, 3, 4, 5, 6, 7))
    if any(w.is_on_front for w in answer.ways):
        say("* on the front: no other measured way costs less a month and generates faster", dim=True)
    if any(w.kind == "same card" for w in answer.ways):
        say("of one more card only the tokens that it adds are compared with renting", dim=True)
    if any(w.is_least for w in answer.ways):
        parts = next(w.not_counted for w in answer.ways if w.is_least)
        say(f"≥ without {parts}, whose prices are not known", dim=True)


def _once(way: Way) -> tuple[str, str, str]:
    least = "≥" if way.is_least else ""
    bought = f"{least}{way.purchase.value:,.0f}" if way.purchase else ""
    month = f"{least}{way.cost_per_month.value:,.0f}" if way.cost_per_month else "?"
    return bought or ("?" if way.kind not in ("own", "rent") else ""), _watts(way), month


def _watts(way: Way) -> str:
    return f"{way.watts:,.0f} W" if way.watts else "" if way.kind == "rent" else "?"


def _of_tokens(m: Possible) -> tuple[str, str]:
    cost = m.cost_per_million
    if cost is None:
        return ("?" if m.part else "", "")
    mark = "" if m.is_measured else "≥"
    return f"{mark}{_money(cost.value)}", f"{_money(cost.low)} … {_money(cost.high)}" if m.is_measured else ""


def _even(answer: ScaleAnswer, m: Possible) -> tuple[str, str]:
    even = m.break_even
    if even is None:
        return "", ""
    rented = next((w.label for w in answer.ways if w.id == even.rented), even.rented)
    if even.hours is None:
        return "", _SHORT.get(even.says, even.says)
    tokens = f", {_count(even.tokens.value)}" if even.tokens else ""
    return f"{even.hours.value:,.0f} h{tokens}", f"{rented}: {_SHORT.get(even.says, even.says)}"


def _count(tokens: float) -> str:
    if tokens < 1e7:
        return f"{tokens / 1e6:.2g} M tokens"
    return f"{tokens / 1e6:,.0f} M tokens"


def _front(answer: ScaleAnswer) -> None:
    """The ways that nothing beats in both, from the cheapest month to the fastest."""
    front = sorted(
        (w for w in answer.ways if w.is_on_front),
        key=lambda w: w.cost_per_month.value if w.cost_per_month else 0.0,
    )
    if len(front) < 2:
        return
    say(f"\nthe front of price and speed, {answer.models[0].rpartition('/')[2]}:")
    rows = []
    for w in front:
        cost, speed = w.cost_per_month, w.first.tokens_per_s
        if cost and speed:
            rows.append((_named(w), f"{cost.value:,.0f}", _digits(speed.value), _range(speed)))
    table(("way", "a month", "tokens/s", "80 %"), rows, right=(1, 2, 3))


def _rents(answer: ScaleAnswer) -> None:
    rows = [
        (
            way.label if place == 0 else "", o.price.provider, o.price.tier, _money(o.rent_per_hour),
            f"{o.cost_per_month.value:,.0f}", o.price.date or "yours",
        )
        for way in answer.ways for place, o in enumerate(way.offers)
    ]  # fmt: skip
    if rows:
        say(f"\nrents in {answer.currency}; the first of each is counted above:")
        table(("cards", "provider", "tier", "an hour", "a month", "of"), rows, right=(3, 4))


def _catalog(ways: Sequence[Way]) -> None:
    say("\nhow much of the catalog each holds, by the weights alone (at most 75 % of the memory):")
    rows = [
        (
            _named(w), format_bytes(w.memory_bytes), f"{w.catalog.whole_count} of {w.catalog.models_count}",
            w.catalog.largest_whole, f"{w.catalog.format_count}", w.catalog.largest,
        )
        for w in ways if w.catalog
    ]  # fmt: skip
    heads = ("way", "memory", "in 16 bits", "the largest", "in four", "the largest")
    table(heads, rows, right=(1, 2, 4))


def _period(answer: ScaleAnswer) -> None:
    say("\nwhat fits:")
    heads = ("cards", "memory", "runs in", "as published", "context to", "at once")
    table(heads, _period_cells(answer, _fits), right=(1, 4, 5))
    say("\nhow fast; from … to holds in 80 of 100 cases:")
    fast = ("cards", "memory", "tokens/s", "from … to", "prompt, tokens/s", "from … to", "first token")
    table(fast, _period_cells(answer, _speeds), right=(1, 2, 3, 4, 5, 6))
    say(f"\nwhat it costs in {answer.currency}, with the time to fetch the weights:")
    table(
        (
            "cards", "provider", "tier", "an hour", "all together", "fetching", "million tokens", "of",
            "buying pays after",
        ),
        [row for r in answer.rented for row in _period_rows(r)], right=(3, 4, 5, 6),
    )  # fmt: skip


def _period_cells(
    answer: ScaleAnswer, cells: Callable[[ScaleAnswer, Possible], tuple[str, ...]]
) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for r in answer.rented:
        for place, m in enumerate(_lines(r.models)):
            start = (r.label, format_bytes(r.memory_bytes)) if place == 0 else ("", "")
            rows.append((*start, *cells(answer, m)))
    return rows


def _period_rows(r: Rented) -> list[tuple[str, ...]]:
    moved = f"{r.transfer.value:.2g} h" if r.transfer else ""
    return [
        (
            r.label if place == 0 else "", o.price.provider, o.price.tier, _money(o.rent_per_hour),
            f"{o.cost.value:,.0f}", moved if place == 0 else "",
            _money(o.cost_per_million.value) if o.cost_per_million else "?", o.price.date or "yours",
            f"{o.break_even.value:,.0f} hours of it" if o.break_even else o.break_even_says,
        )
        for place, o in enumerate(r.offers)
    ]  # fmt: skip


def _announced(answer: ScaleAnswer) -> None:
    say("\nto wait for; from data sheets, nothing measured, never ranked:")
    rows = [
        (
            x.name, x.status, x.dated, format_bytes(x.memory_bytes) if x.memory_bytes else "?",
            f"{x.bandwidth_bytes_per_s / 1e9:,.0f} GB/s" if x.bandwidth_bytes_per_s else "?",
            f"≤{_digits(x.ceiling.value)}" if x.ceiling and x.fits == "weights fit" else x.fits, x.says,
        )
        for x in answer.announced
    ]  # fmt: skip
    form = next((x.weight_format for x in answer.announced if x.weight_format), "")
    heads = ("", "", "of", "memory", "bandwidth", f"tokens/s in {form}" if form else "tokens/s", "")
    table(heads, rows, right=(3, 4, 5))


def _says(answer: ScaleAnswer) -> None:
    if answer.says:
        say("\nwhat it comes to:", bold=True)
    for words in answer.says:
        say(f"  {words}")
    mine = {w.device for w in answer.ways if w.kind in ("own", "same card")}
    for t in answer.trends:
        if t.kind == "buy" and (t.device in mine or not t.says.startswith("unknown")):
            say(f"  price of {t.device} ({t.tier}): {t.says}")


def _assumptions(found: Sequence[Assumption]) -> None:
    say("\nassumed, unless told:")
    for a in found:
        dated = f", {a.date}" if a.date else ""
        basis = {"given": "as given", "assumed": "assumed", "catalog": "catalog"}[a.basis]
        say(f"  {a.name}: {a.says} ({basis}{dated}; {a.flag})")


def _why(answer: ScaleAnswer) -> None:
    for way in answer.ways:
        say(f"\n{_named(way)}: plimsoll plan {answer.models[0].rpartition('/')[2]} --on '{way.machine}'")
        for note in ((f"not counted: {way.not_counted}",) if way.not_counted else ()) + way.notes:
            say(f"  {note}")
        for found in _estimates(way):
            _formula(found)
    for r in answer.rented:
        say(f"\n{r.label}:")
        for o in r.offers:
            for found in filter(None, (o.cost, o.break_even)):
                _formula(found)
    _read(answer)
    say("\nleft out:" if answer.left_out else "\nnothing was left out")
    for words in answer.left_out:
        say(f"  {words}")


def _read(answer: ScaleAnswer) -> None:
    """Every price, announcement and assumption with its source."""
    say("\nprices:")
    bought, rented = (w.prices for w in answer.ways), (o.price for r in answer.rented for o in r.offers)
    for p in dict.fromkeys((*chain.from_iterable(bought), *rented)):
        upper = f" to {p.price_max:,.2f}" if p.price_max else ""
        said = f"{p.price:,.2f}{upper} {p.currency} per {p.unit}"
        read = "" if p.is_verified or not p.source.startswith("http") else ", not read at its source"
        say(f"  {p.device or p.item} ({p.kind}, {p.tier}, {p.provider}): {said}, {p.date or 'yours'}{read}")
        say(f"    {p.source}", dim=True)
    for x in answer.announced:
        say(f"  {x.name}, {x.dated}: {x.source}", dim=True)
    for a in answer.assumptions:
        if a.source:
            say(f"  {a.name}: {a.source}", dim=True)
    for t in answer.trends:
        say(f"  {t.device} to {t.kind} ({t.tier}): {t.says}")
    for s in answer.sources:
        say(f"  source {s.id}: {s.url}", dim=True)


def _estimates(way: Way) -> list[Estimate]:
    found = [way.purchase, *way.costs, way.cost_per_month]
    for m in _lines(way.models):
        found += [m.tokens_per_s, m.cost_per_million]
        found += [m.break_even.hours, m.break_even.tokens] if m.break_even else []
    return list({id(x): x for x in found if x}.values())


def _formula(x: Estimate) -> None:
    told = ", ".join(f"{name} = {_input(value)}" for name, value in x.inputs.items())
    say(f"  {x.quantity} = {_digits(x.value)} {x.unit} ({_range(x)}) by {x.formula}: {told}")


def _input(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _digits(value: float) -> str:
    return f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


def _range(x: Estimate | None) -> str:
    return f"{_digits(x.low)} … {_digits(x.high)}" if x else ""


def _money(value: float) -> str:
    return format_money(value, "").strip()
