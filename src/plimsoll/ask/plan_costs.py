"""What the devices of a way cost per month, and which ways a budget allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from plimsoll.ask.cost import own_prices, rent_of
from plimsoll.ask.plan_question import PlanQuestion
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.machine import Device
from plimsoll.domain.plan import Choice
from plimsoll.domain.price import Price
from plimsoll.errors import BadSetting
from plimsoll.formulas.cost import hourly, monthly
from plimsoll.units import Money, format_money


def priced(question: PlanQuestion, choices: Sequence[Choice]) -> tuple[list[Choice], list[str]]:
    """The choices with the rent of the devices they use, and what to say about it; as they are where nobody
    asked about money. Raises BadSetting where budget and rent are in different currencies."""
    if not (question.budget or question.rent or question.prices_file):
        return list(choices), []
    own = own_prices(question.prices_file)[0] if question.prices_file else ()
    found: dict[tuple[str, ...], Money | None] = {}
    notes: list[str] = []
    out = []
    for choice in choices:
        devices = _devices(choice)
        key = tuple(d.id for d in devices)
        if key not in found:
            found[key], said = _rent(question, devices, own)
            notes += said
        out.append(replace(choice, cost_per_month=_month(found[key], key)))
    return out, notes


def _devices(choice: Choice) -> list[Device]:
    used = {d.id: d for part in choice.parts for x in part.deployments for d in x.used_devices}
    return list(used.values())


def _rent(
    question: PlanQuestion, devices: Sequence[Device], own: tuple[Price, ...]
) -> tuple[Money | None, list[str]]:
    """The rent per hour: the asked one for the whole machine, else what the devices cost."""
    rent, notes = question.rent, list[str]()
    if rent:
        rent = Money(amount=hourly(rent.amount, rent.per), currency=rent.currency, per="hour")
    else:
        rent, _, notes = rent_of(devices, own)
    budget = question.budget
    if rent and budget and rent.currency != budget.currency:
        raise BadSetting(
            f"the rent is in {rent.currency}, the budget in {budget.currency}; nothing is converted",
            hint=f"--budget in {rent.currency}, or --rent in {budget.currency}",
        )
    return rent, notes


def _month(rent: Money | None, devices: tuple[str, ...]) -> Estimate | None:
    if rent is None:
        return None
    value = monthly(rent.amount)
    return Estimate(
        quantity="cost_per_month", unit=f"{rent.currency} per month", value=value, low=value, high=value,
        basis="reported", formula="formulas.cost:monthly",
        inputs={"rent_per_hour": rent.amount, "devices": list(devices)},
    )  # fmt: skip


def within(budget: Money, choices: Sequence[Choice]) -> tuple[str, str, list[Choice]]:
    """(verdict, reason, choices) of those that cost at most the budget; else the cheapest, or unknown."""
    known = [(c, c.cost_per_month.value) for c in choices if c.cost_per_month]
    good = [c for c, cost in known if cost <= budget.amount]
    if good:
        return "planned", "", good
    asked = format_money(budget.amount, budget.currency)
    if not known:
        return (
            "unknown",
            "what these devices cost is not known: --rent PRICE/h or --prices FILE",
            list(choices),
        )
    least = min(cost for _, cost in known)
    near = [c for c, cost in known if cost == least]
    cheapest = format_money(least, budget.currency)
    return "no_plan", f"no plan costs at most {asked} a month; the nearest costs {cheapest}", near
