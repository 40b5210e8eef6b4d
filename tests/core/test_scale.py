"""Break-even, the front and the trend, on made-up ways."""

from __future__ import annotations

import pytest

from plimsoll.core import scale
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.price import Price
from plimsoll.domain.scale import Offer, Possible, Way, WayKind


def speed(value: float, low: float = 0.0, high: float = 0.0) -> Estimate:
    return Estimate(
        quantity="decode", unit="tokens/s", value=value, low=low or value, high=high or value,
        basis="calibrated", formula="core.speed:seconds", coverage=0.8, samples_count=9,
    )  # fmt: skip


def way(kind: WayKind, cost: float | None, rate: float | None, *, measured: bool = True) -> Way:
    month = scale.rented_month(cost / 100, 100, "USD") if cost is not None else None
    model = Possible(
        model="m", verdict="fits", reason="", is_whole=True, is_measured=measured, part=None,
        tokens_per_s=speed(rate) if rate else None,
    )  # fmt: skip
    return Way(
        id=kind, kind=kind, label=kind, machine="x", device="card", devices_count=1,
        memory_bytes=1, watts=100.0, models=(model,), cost_per_month=month,
    )  # fmt: skip


def price(value: float, date: str, *, upper: float | None = None) -> Price:
    return Price(
        device="card", kind="buy", tier="used", provider="market", price=value, price_max=upper,
        currency="USD", unit="card", date=date, source="https://example.org",
    )  # fmt: skip


def test_a_range_of_prices_is_its_middle_and_its_ends() -> None:
    found = scale.purchase([(8000, 9200), (10, 10)], [2, 5], "USD")
    assert (found.value, found.low, found.high) == (17_250, 16_050, 18_450)


def test_the_dearest_month_has_the_dearest_price_and_nothing_back() -> None:
    bought = scale.purchase([(1000, 2000)], [1], "USD")
    month = scale.owned_month(bought, (0.0, 0.5), 10, 7.0, "USD")
    assert month.low == pytest.approx(1000 * 0.5 / 10 + 7)
    assert month.value == pytest.approx(1500 * 0.75 / 10 + 7)
    assert month.high == pytest.approx(2000 / 10 + 7)


def test_a_million_tokens_is_cheapest_at_the_fast_end() -> None:
    month = scale.rented_month(3.6, 100, "USD")
    found = scale.per_million(month, speed(100, 50, 200), 100, "USD")
    assert (found.low, found.value, found.high) == pytest.approx((5, 10, 20))
    assert (found.basis, found.coverage, found.samples_count) == ("calibrated", 0.8, 9)


def test_break_even_takes_the_speeds_of_both_into_account() -> None:
    mine, rented = way("card", 110.0, 50.0), way("rent", 200.0, 100.0)
    offer = Offer(
        price=price(2, "2026-09-01"), rent_per_hour=2.0, cost_per_month=scale.rented_month(2, 100, "USD")
    )
    found = scale.break_even(mine, mine.first, rented, offer, running=0.1, hours=100)
    # 110 a month of which 10 are electricity; an hour of mine is half an hour of rent.
    assert found.hours is not None
    assert found.hours.value == pytest.approx(100 / (2.0 * 0.5 - 0.1))
    assert found.tokens is not None
    assert found.tokens.value == pytest.approx(found.hours.value * 50 * 3600)
    assert found.says == "renting is cheaper at your hours"
    assert scale.break_even(mine, mine.first, rented, offer, running=0.1, hours=120).says.startswith("buying")
    never = scale.break_even(mine, mine.first, rented, offer, running=1.1, hours=100)
    assert (never.hours, never.says[:6]) == (None, "never:")


def test_what_is_not_known_has_no_break_even() -> None:
    offer = Offer(price=price(2, ""), rent_per_hour=2.0, cost_per_month=scale.rented_month(2, 100, "USD"))
    mine = way("card", None, 50.0)
    found = scale.break_even(mine, mine.first, way("rent", 200.0, 100.0), offer, running=0.1, hours=100)
    assert (found.hours, found.says) == (None, "a price or a speed is not known")


def test_the_front_holds_what_nothing_beats_in_both_and_never_what_nobody_measured() -> None:
    good, slower, fast = way("card", 100, 50), way("cpu", 100, 40), way("rent", 300, 90)
    unmeasured, unpriced = way("unified", 10, 900, measured=False), way("own", None, 900)
    ways = scale.with_front([good, slower, fast, unmeasured, unpriced])
    assert [w.id for w in ways if w.is_on_front] == ["card", "rent"]


def test_a_trend_tells_its_ends_and_no_forecast() -> None:
    told = scale.trend(
        "card", "buy", "used", [price(600, "2026-06-29", upper=800), price(800, "2025-12"), price(1, "2026")]
    )
    assert told.says == "800 USD in 2025-12, 600 to 800 in 2026-06-29; what comes next is unknown"
    assert len(told.prices) == 2
    assert scale.trend("card", "buy", "new", [price(8000, "2026-04-06")]).says.startswith(
        "unknown: one dated"
    )
    assert scale.trend("card", "buy", "new", []).says.startswith("unknown: no price")


def test_of_what_is_there_neither_tokens_nor_electricity_count() -> None:
    offer = Offer(
        price=price(2, "2026-09-01"), rent_per_hour=2.0, cost_per_month=scale.rented_month(2, 100, "USD")
    )
    mine, rented = way("same card", 120.0, 150.0), way("rent", 200.0, 100.0)
    found = scale.break_even(
        mine, mine.first, rented, offer, running=0.2, hours=100, there_tokens_per_s=100.0, there_running=0.1
    )
    assert found.hours is not None
    assert found.hours.value == pytest.approx((120 - 20) / (2.0 * 0.5 - 0.1))
    assert found.tokens is not None
    assert found.tokens.value == pytest.approx(found.hours.value * 50 * 3600)
    slower = scale.break_even(
        mine, mine.first, rented, offer, running=0.2, hours=100, there_tokens_per_s=150.0, there_running=0.1
    )
    assert (slower.hours, slower.says) == (None, scale.NO_FASTER)


def test_copies_make_as_much_more_and_are_none_where_one_card_does_not_hold_it() -> None:
    assert scale.copies(way("own", 1.0, 50.0).first, 2) is None
