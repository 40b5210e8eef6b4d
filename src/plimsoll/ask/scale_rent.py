"""So many cards for a while: what fits on them, what every provider takes, and when buying would pay."""

from __future__ import annotations

from collections.abc import Sequence

from plimsoll.ask.scale_candidates import Needed, Onward, needed, rented
from plimsoll.ask.scale_copies import with_copies
from plimsoll.ask.scale_money import Prices
from plimsoll.ask.scale_question import ScaleQuestion, Terms, plan_question
from plimsoll.ask.scale_ways import possible
from plimsoll.catalog import devices as catalog
from plimsoll.catalog.candidates import PricedPart
from plimsoll.core import scale as core
from plimsoll.core.goals import PROFILES
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.model import Model
from plimsoll.domain.price import Price
from plimsoll.domain.scale import PeriodOffer, Possible, Rented
from plimsoll.errors import BadSetting
from plimsoll.formulas import ownership

# How many kinds of cards are shown for each --each N.
_SHOWN_SHARE = 2


def for_a_while(
    question: ScaleQuestion, terms: Terms, prices: Prices, loaded: Sequence[Model]
) -> list[Rented]:
    """The asked cards, else of all cards for rent the ones with the most memory bandwidth per money."""
    wanted = tuple(catalog.find(name).id for name in question.devices)
    counts = (question.devices_count,) if question.devices_count else (1, 2, 4, 8)
    need = _needed(question, loaded) if not wanted else Needed(each=(0.0,), whole=(0.0,))
    found = [x for x in rented(prices, need, counts) if not wanted or x.device in wanted]
    if wanted and not found:
        raise BadSetting(
            f"no dated rent of {question.devices_count or 1} x {' or '.join(wanted)} is known",
            hint='--prices FILE.toml with [[price]] device = "..." and rent = "2.50USD/h"',
        )
    limit = len(found) if wanted else _SHOWN_SHARE * question.each_kind_count
    for x in found[limit:]:
        prices.left_out[f"{x.label}: less memory bandwidth per money than those shown (--each N)"] = None
    return sorted(
        (_rented(question, terms, prices, loaded, x) for x in found[:limit]),
        key=lambda r: min(o.cost.value for o in r.offers),
    )


def _needed(question: ScaleQuestion, loaded: Sequence[Model]) -> Needed:
    profile = PROFILES[plan_question(question, "", None, None).goal]
    context = question.context_tokens or profile.context_tokens or 1
    return needed(loaded, context, question.users_count or profile.sequences_count or 1)


def _rented(
    question: ScaleQuestion, terms: Terms, prices: Prices, loaded: Sequence[Model], onward: Onward
) -> Rented:
    models = [
        possible(plan_question(question, name, onward.on, None), onward.machine, model)
        for name, model in zip(question.models, loaded, strict=True)
    ]
    models = with_copies(question, loaded, onward, models)
    moved = _transfer(terms, models)
    hours = question.rent_for_hours or 0.0
    offers = [
        _offer(terms, prices, onward, models[0], price, hours, moved.value if moved else 0.0)
        for price in prices.rents(onward.device, onward.count)
    ]
    return Rented(
        id=onward.id, label=onward.label, machine=onward.on or onward.machine.name,
        memory_bytes=sum(d.memory_bytes for d in onward.machine.devices), models=tuple(models),
        transfer=moved, offers=tuple(sorted(offers, key=lambda o: o.cost.value)),
    )  # fmt: skip


def _transfer(terms: Terms, models: Sequence[Possible]) -> Estimate | None:
    """Hours to fetch the weights of all models, once."""
    size = sum(m.part.weights_bytes for m in models if m.part)
    if not size:
        return None
    at = [{"size_bytes": size, "bytes_per_s": terms.transfer_bytes_per_s}]
    return core.priced("transfer_hours", "hours", ownership.transfer_hours, at)


def _offer(
    terms: Terms, prices: Prices, onward: Onward, model: Possible, price: Price, hours: float,
    moved_hours: float,
) -> PeriodOffer:  # fmt: skip
    currency = terms.exchange.currency
    rent = prices.hourly(price, onward.count)
    at = [{"rent_per_hour": rent, "hours": hours, "transfer_hours": moved_hours}]
    cost = core.priced("cost_of_period", currency, ownership.period_rent, at)
    bought, _ = prices.purchase((PricedPart(device=onward.device, count=onward.count),))
    even, says = None, "no dated price to buy it is known"
    if bought is not None:
        even = _break_even(terms, onward, bought, rent)
        says = "" if even else "never: an hour of rent costs less than the electricity"
    each = None
    speed = (model.as_copies or model).tokens_per_s
    if speed:
        each = core.per_million(core.rented_month(rent, 1.0, currency), speed, 1.0, currency)
    return PeriodOffer(
        price=price, rent_per_hour=rent, cost=cost, cost_per_million=each, break_even=even,
        break_even_says=says,
    )  # fmt: skip


def _break_even(terms: Terms, onward: Onward, bought: Estimate, rent: float) -> Estimate | None:
    """Hours of rent, all together, that the purchase costs: between the ends of price and resale."""
    limits = [d.power_limit_watts or 0 for d in onward.machine.devices]
    running = ownership.running_per_hour(sum(limits) + terms.host_watts, terms.price_per_kwh or 0.0)
    low, high = terms.resale
    ends = ((bought.value, (low + high) / 2), (bought.low, high), (bought.high, low))
    at = [
        {
            "price": price, "resale_share": share, "running_per_hour": running, "rent_per_hour": rent,
        }
        for price, share in ends
    ]  # fmt: skip
    found = core.priced("break_even_total_hours", "hours", ownership.break_even_total_hours, at)
    return found if found.value != float("inf") else None
