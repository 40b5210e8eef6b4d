"""Second card, other card, wait, rent, CPU or unified memory: what each makes possible, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from plimsoll import __version__
from plimsoll.ask import machine as machines
from plimsoll.ask import models
from plimsoll.ask.cost import own_prices
from plimsoll.ask.fit import spelled
from plimsoll.ask.scale_awaited import announced, trends
from plimsoll.ask.scale_candidates import (
    Needed,
    Onward,
    cards,
    named,
    needed,
    own_way,
    rented,
    same_card,
    servers,
    unified,
    whole_machines,
)  # fmt: skip
from plimsoll.ask.scale_copies import with_copies
from plimsoll.ask.scale_frontier import with_catalog
from plimsoll.ask.scale_money import Prices
from plimsoll.ask.scale_question import ScaleQuestion, Terms, asked_of, check, plan_question, terms_of
from plimsoll.ask.scale_rent import for_a_while
from plimsoll.ask.scale_ways import possible
from plimsoll.catalog import candidates as catalog
from plimsoll.core import scale as core
from plimsoll.core.goals import PROFILES
from plimsoll.core.scale_chart import chart
from plimsoll.core.scale_words import compared_with, summary
from plimsoll.domain.machine import Machine
from plimsoll.domain.model import Model
from plimsoll.domain.origin import Source
from plimsoll.domain.scale import BreakEven, Possible, Rented, ScaleAnswer, Way
from plimsoll.formulas.ownership import running_per_hour
from plimsoll.units import format_count


def scale(question: ScaleQuestion) -> ScaleAnswer:
    """Answer a ScaleQuestion; errors are typed, what nobody sells or measured is told as unknown."""
    check(question)
    own, told = own_prices(question.prices_file) if question.prices_file else ((), None)
    terms = terms_of(question, told, catalog.load_assumed())
    prices = Prices(own=own, exchange=terms.exchange)
    loaded = [models.load(name, offline=question.offline) for name in question.models]
    if question.rent_for_hours:
        found = for_a_while(question, terms, prices, loaded)
        return _answered(question, terms, prices, loaded, None, [], found)
    machine = machines.resolve(question.on)
    onward = _onward(question, machine, prices, _needed(question, loaded))
    ways = [_way(question, terms, prices, loaded, x) for x in onward]
    goal = plan_question(question, "", None, None).goal
    ways = [compared_with(ways[0], _with_break_even(terms, way, ways), goal) for way in ways]
    ways = core.with_front(ways)
    ways = with_catalog(ways) if question.is_frontier else ways
    return _answered(question, terms, prices, loaded, machine, ways, [])


def _needed(question: ScaleQuestion, loaded: Sequence[Model]) -> Needed:
    profile = PROFILES[plan_question(question, "", None, None).goal]
    return needed(
        loaded, question.context_tokens or profile.context_tokens or 1,
        question.users_count or profile.sequences_count or 1,
    )  # fmt: skip


def _onward(question: ScaleQuestion, machine: Machine, prices: Prices, need: Needed) -> list[Onward]:
    """The machine as it is and with one more card, what the user has a price for, and the best few of every
    other kind."""
    first = own_way(question.on, machine)
    more = same_card(question.on, machine)
    out = [first, *([more] if more else []), *(named(text, prices) for text in question.others)]
    seen = {x.id for x in out}
    bought, shared = cards(question.on, machine, prices, need), whole_machines(prices, need)
    kinds = [
        bought, unified(shared), servers(shared, need),
        _with_same(rented(prices, need), more or first, question.each_kind_count),
    ]  # fmt: skip
    for found in kinds:
        found = [x for x in found if x.id not in seen]
        yours = [x for x in found if prices.is_yours(x.device, "rent" if x.kind == "rent" else "buy")]
        others = [x for x in found if x not in yours]
        out += [*yours, *others[: question.each_kind_count]]
        for x in others[question.each_kind_count :]:
            prices.left_out[f"{x.label}: less memory bandwidth per money than those shown (--each N)"] = None
    return out


def _with_same(found: list[Onward], more: Onward, shown_count: int) -> list[Onward]:
    """Rented cards, those like one's own among the shown: what buying one more is compared with."""
    same = [x for x in found[shown_count:] if (x.device, x.count) == (more.device, more.count)]
    like = same or [x for x in found[shown_count:] if x.device == more.device]
    return [*like[:1], *(x for x in found if x not in like[:1])]


def _way(
    question: ScaleQuestion, terms: Terms, prices: Prices, loaded: Sequence[Model], onward: Onward
) -> Way:
    found = [
        possible(
            plan_question(question, name, onward.on, onward.vram_free_bytes), onward.machine, model
        )
        for name, model in zip(question.models, loaded, strict=True)
    ]  # fmt: skip
    if onward.kind in ("same card", "named"):
        found = with_copies(question, loaded, onward, found)
    machine, memory = onward.machine, sum(d.memory_bytes for d in onward.machine.devices)
    way = Way(
        id=onward.id, kind=onward.kind, label=onward.label, machine=onward.on or machine.name,
        device=onward.device, devices_count=onward.count, watts=onward.watts,
        memory_bytes=memory or machine.ram_bytes or 0,
        models=tuple(found), not_counted=onward.not_counted, notes=onward.notes,
        is_least=onward.is_least,
    )  # fmt: skip
    way = _rented(terms, prices, way, onward) if way.kind == "rent" else _owned(terms, prices, way, onward)
    cost = way.cost_per_month
    if cost is None:
        return way
    currency = terms.exchange.currency
    return replace(way, models=tuple(core.costed(m, cost, terms.hours, currency) for m in way.models))


def _rented(terms: Terms, prices: Prices, way: Way, onward: Onward) -> Way:
    offers = prices.offers(onward.device, onward.count, terms.hours)
    return replace(
        way, offers=offers, prices=tuple(o.price for o in offers),
        cost_per_month=offers[0].cost_per_month if offers else None,
    )  # fmt: skip


def _owned(terms: Terms, prices: Prices, way: Way, onward: Onward) -> Way:
    """Depreciation and electricity; what is there already costs electricity only."""
    currency, notes = terms.exchange.currency, list(way.notes)
    spent, costs = 0.0, []
    if way.watts and terms.price_per_kwh is not None:
        drawn = core.electricity(way.watts + terms.host_watts, terms.hours, terms.price_per_kwh, currency)
        spent, costs = drawn.value, [drawn]
    else:
        notes.append("electricity is not counted: its power or the price is not known")
    if way.kind == "own":
        cost = costs[0] if costs else None
        return replace(way, cost_per_month=cost, costs=tuple(costs), notes=tuple(notes))
    bought, used = prices.purchase(onward.parts)
    if bought is None:
        notes.append("no dated price to buy it is known: --prices FILE.toml")
        return replace(way, prices=used, costs=tuple(costs), notes=tuple(notes))
    month = core.owned_month(bought, terms.resale, terms.months, spent, currency)
    return replace(
        way, purchase=bought, prices=used, cost_per_month=month, costs=tuple(costs), notes=tuple(notes)
    )


def _with_break_even(terms: Terms, way: Way, ways: Sequence[Way]) -> Way:
    """Each model of a bought way against the same cards for rent, else against the cheapest that are."""
    if way.purchase is None:
        return way
    found = []
    for place, m in enumerate(way.models):
        there = ways[0].models[place] if way.kind == "same card" else None
        even = _break_even(terms, way, m, ways, there)
        more = m.as_copies
        if more:
            more = replace(more, break_even=_break_even(terms, way, more, ways, there))
        found.append(replace(m, break_even=even, as_copies=more))
    return replace(way, models=tuple(found))


def _break_even(
    terms: Terms, way: Way, model: Possible, ways: Sequence[Way], there: Possible | None
) -> BreakEven | None:
    """`there` is what the machine as it is does already: of one more card only what it adds counts."""
    costs = {
        r.id: m.cost_per_million.value
        for r in ways if r.kind == "rent" and r.offers
        for m in r.models if m.model == model.model and m.cost_per_million
    }  # fmt: skip
    able = [r for r in ways if r.id in costs]
    if not able or model.tokens_per_s is None:
        return None
    alike = [r for r in able if r.device == way.device]
    same = [r for r in alike if r.devices_count == way.devices_count] or alike
    rent = same[0] if same else min(able, key=lambda r: costs[r.id])
    there_speed = there.tokens_per_s.value if there and there.tokens_per_s else 0.0
    return core.break_even(
        way, model, rent, rent.offers[0], _running(terms, way), terms.hours,
        there_tokens_per_s=there_speed, there_running=_running(terms, ways[0]) if there_speed else 0.0,
    )  # fmt: skip


def _running(terms: Terms, way: Way) -> float:
    return running_per_hour((way.watts or 0.0) + terms.host_watts, terms.price_per_kwh or 0.0)


def _answered(
    question: ScaleQuestion, terms: Terms, prices: Prices, loaded: Sequence[Model], machine: Machine | None,
    ways: Sequence[Way], found: Sequence[Rented],
) -> ScaleAnswer:  # fmt: skip
    every = [m for w in ways for m in w.models] + [m for r in found for m in r.models]
    runs = any(m.part for m in every)
    is_unknown = not runs and any(m.verdict == "unknown" for m in every)
    verdict = "answered" if runs else "unknown" if is_unknown or not every else "does_not_fit"
    reason = "" if runs else next((m.reason for m in every), "no priced machine holds it")
    awaited, seen = ([], []) if machine is None else (announced(loaded[0], ways), trends(prices, ways))
    shown = [p for w in ways for p in (w.prices[:1] if w.kind == "rent" else w.prices)]
    shown += [o.price for r in found for o in r.offers]
    answer = ScaleAnswer(
        question="scale", asked=asked_of(question), verdict=verdict, reason=reason,
        machine=machine.name if machine else "", models=tuple(m.id for m in loaded),
        currency=terms.exchange.currency, hours_per_month=terms.hours, ways=tuple(ways), rented=tuple(found),
        announced=tuple(awaited), trends=tuple(seen), assumptions=terms.says,
        looked_at_count=len(ways) + len(found), left_out=tuple(prices.left_out),
        notes=tuple(dict.fromkeys([*_notes(question, every), *prices.old(shown)])),
        unknowns=_unknowns(ways, reason if verdict == "unknown" else ""),
        sources=_sources(loaded, machine), versions={"plimsoll": __version__},
    )  # fmt: skip
    answer = replace(answer, says=summary(answer))
    return replace(answer, chart=chart(answer)) if question.is_drawn and (ways or answer.rented) else answer


def _notes(question: ScaleQuestion, every: Sequence[Possible]) -> list[str]:
    tokens = {m.part.context_tokens for m in every if m.part}
    users = question.users_count or 1
    notes = []
    if not question.context_tokens and tokens:
        said = " or ".join(format_count(n) for n in sorted(tokens))
        notes.append(f"context: {said} tokens, because none was asked for (--context N)")
    if users > 1:
        notes.append(f"tokens/s of all {format_count(users)} sequences together, a full context each")
    notes.append("costs are of generation: hours in which prompts are read make fewer tokens")
    return notes


def _unknowns(ways: Sequence[Way], reason: str) -> tuple[str, ...]:
    """What keeps a way out of the ranking, and prompts that nobody timed."""
    out = [reason] if reason else []
    for way in ways:
        if way.cost_per_month is None:
            out.append(f"{way.label}: what it costs is not known")
        for m in way.models:
            out += [f"{way.label}: {words}" for words in _unknown_of(m)]
    return tuple(dict.fromkeys(out))


def _unknown_of(m: Possible) -> list[str]:
    if m.part is None:
        return []
    if m.tokens_per_s is None:
        return [f"the speed of {m.model} is not known"]
    if not m.is_measured:
        return [f"nobody measured {spelled(m.part.model.runtime)} there, its speed is what memory allows"]
    prompt = m.part.figures.get("prefill")
    known = prompt is not None and prompt.is_measured
    return [] if known else [f"how fast {spelled(m.part.model.runtime)} reads prompts there is not known"]


def _sources(loaded: Sequence[Model], machine: Machine | None) -> tuple[Source, ...]:
    found = [s for model in loaded for s in model.sources] + list(machine.sources if machine else ())
    return tuple(dict.fromkeys(found))
