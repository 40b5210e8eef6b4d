"""What a million tokens cost, from speeds with intervals and prices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from plimsoll.domain.estimate import Estimate
from plimsoll.domain.speed import Speed
from plimsoll.domain.speed_answer import Cost
from plimsoll.formulas.cost import electricity_per_million, rent_per_million, tokens_per_hour
from plimsoll.units import Money

_WORDS = {"prefill": "prompt", "decode": "generated", "decode_total": "generated",
    "decode_speculative": "generated", "throughput": "generated",
}  # fmt: skip


def rent_costs(speeds: Sequence[Speed], rent: Money) -> tuple[Cost, ...]:
    """Rent of a million prompt and generated tokens, and generated tokens in an hour of it.

    `rent` is per hour, for the whole machine.
    """
    inputs = {"rent_per_hour": rent.amount}
    made = [_cost(s, "rent", rent, rent_per_million, inputs) for s in billed(speeds)]
    yields = [_yield(s) for s in billed(speeds) if s.estimate.quantity != "prefill"]
    return (*made, *yields)


def electricity_costs(speeds: Sequence[Speed], price: Money, watts: float) -> tuple[Cost, ...]:
    """Electricity of a million prompt and generated tokens at a draw of `watts`; `price` is per kWh."""
    inputs = {"watts": watts, "price_per_kwh": price.amount}
    return tuple(_cost(s, "electricity", price, electricity_per_million, inputs) for s in billed(speeds))


# The rate that generated tokens are bought at: the first of these that was asked for.
_GENERATED = ("decode_speculative", "throughput", "decode_total", "decode")


def billed(speeds: Sequence[Speed]) -> list[Speed]:
    """The rates that tokens are bought at: of the prompt, and of generation by all sequences together.

    Where requests were asked for it is what they generate with their prompts in between.
    """
    told = {s.estimate.quantity: s for s in speeds}
    generated = next(q for q in _GENERATED if q in told)
    return [told[q] for q in ("prefill", generated) if q in told]


def _cost(
    speed: Speed, what: str, price: Money, formula: Callable[..., float], inputs: Mapping[str, float]
) -> Cost:
    """The fastest end of the speed's interval is the cheapest of the cost's."""
    e, word = speed.estimate, _WORDS[speed.estimate.quantity]
    value, low, high = (formula(**inputs, tokens_per_s=rate) for rate in (e.value, e.high, e.low))
    estimate = Estimate(
        quantity=f"{what}_per_million_{word}_tokens", unit=f"{price.currency} per million tokens",
        value=value, low=low, high=high, basis=e.basis, formula=f"formulas.cost:{formula.__name__}",
        coverage=e.coverage, samples_count=e.samples_count, inputs={**inputs, "tokens_per_s": e.value},
    )  # fmt: skip
    return Cost(label=f"{what}, million {word} tokens", estimate=estimate, currency=price.currency)


def _yield(speed: Speed) -> Cost:
    e = speed.estimate
    estimate = Estimate(
        quantity="generated_tokens_per_hour", unit="tokens per hour", value=tokens_per_hour(e.value),
        low=tokens_per_hour(e.low), high=tokens_per_hour(e.high), basis=e.basis,
        formula="formulas.cost:tokens_per_hour", coverage=e.coverage, samples_count=e.samples_count,
        inputs={"tokens_per_s": e.value},
    )  # fmt: skip
    return Cost(label="generated tokens in an hour of rent", estimate=estimate, currency="")
