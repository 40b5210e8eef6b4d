"""What owning and renting cost: hand-made cases, and laws that hold for every case."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.formulas import ownership as own

MONEY = st.floats(1, 200_000)
SHARES = st.floats(0, 0.95)
MONTHS = st.floats(1, 120)
HOURS = st.floats(1, 730)
WATTS = st.floats(10, 10_000)
PRICES = st.floats(0.01, 1)
SPEEDS = st.floats(0.5, 5000)
RENTS = st.floats(0.05, 100)


def test_a_card_of_8600_over_36_months() -> None:
    assert own.depreciation(8600, 0.0, 36) == pytest.approx(238.89, abs=0.01)
    assert own.depreciation(8600, 0.5, 36) == pytest.approx(119.44, abs=0.01)
    assert own.total([11_500, 32], [1, 384]) == 23_788


def test_the_published_examples_of_the_straight_line() -> None:
    # VMware Cost Insight: 10,000 over five years, 2,000 a year; Tom's Hardware: (1,500 - 375) / 2 years.
    assert 12 * own.depreciation(10_000, 0.0, 60) == pytest.approx(2000)
    assert 12 * own.depreciation(1500, 375 / 1500, 24) == pytest.approx(562.5)


def test_a_kilowatt_for_a_month_of_work() -> None:
    assert own.month_hours(8) == pytest.approx(243.33, abs=0.01)
    assert own.busy_hours(1.0) == 730
    assert own.electricity(1000, 243, 0.2) == pytest.approx(48.6)


def test_rent_for_a_week_with_the_time_to_fetch_the_weights() -> None:
    assert own.transfer_hours(450_000_000_000, 125_000_000) == pytest.approx(1.0)
    assert own.period_rent(2.0, 168, 1.0) == 338


def test_it_never_pays_where_rent_costs_less_than_electricity() -> None:
    assert own.break_even_hours(100, 0.2, 0.1, 1.0) == math.inf
    assert own.break_even_total_hours(1000, 0.0, 0.2, 0.2) == math.inf


@given(price=MONEY, resale=SHARES, months=MONTHS, watts=WATTS, kwh=PRICES, speed=SPEEDS, hours=HOURS)
def test_more_work_never_makes_a_token_dearer(
    price: float, resale: float, months: float, watts: float, kwh: float, speed: float, hours: float
) -> None:
    def each(worked: float) -> float:
        month = own.owned_month(price, resale, months, own.electricity(watts, worked, kwh))
        return own.per_million(month, speed, worked)

    assert each(min(hours * 1.5, 730)) <= each(hours) * (1 + 1e-9)


@given(
    fixed=st.floats(1, 10_000), watts=WATTS, kwh=PRICES, rent=RENTS, mine=SPEEDS, other=SPEEDS
)  # fmt: skip
def test_at_the_break_even_both_cost_the_same_for_the_same_tokens(
    fixed: float, watts: float, kwh: float, rent: float, mine: float, other: float
) -> None:
    running = own.running_per_hour(watts, kwh)
    hours = own.break_even_hours(fixed, running, rent, mine / other)
    if not math.isfinite(hours) or hours > 1e9:
        return
    tokens = own.month_tokens(mine, hours)
    rented_hours = tokens / own.month_tokens(other, 1)
    assert own.rented_month(rent, rented_hours) == pytest.approx(fixed + running * hours, rel=1e-6)


@given(fixed=st.floats(1, 10_000), running=st.floats(0, 2), rent=RENTS, more=st.floats(1, 10))
def test_a_higher_rent_never_raises_the_break_even(
    fixed: float, running: float, rent: float, more: float
) -> None:
    assert own.break_even_hours(fixed, running, rent * more, 1.0) <= own.break_even_hours(
        fixed, running, rent, 1.0
    )


@given(price=MONEY, resale=SHARES, months=MONTHS, back=st.floats(0, 1))
def test_more_that_comes_back_or_longer_use_never_costs_more(
    price: float, resale: float, months: float, back: float
) -> None:
    more = resale + (1 - resale) * back
    cost = own.depreciation(price, resale, months)
    assert own.depreciation(price, more, months) <= cost * (1 + 1e-12)
    assert own.depreciation(price, resale, months + 1) <= cost


@given(price=MONEY, resale=SHARES, watts=WATTS, kwh=PRICES, rent=RENTS)
def test_after_the_break_even_of_a_period_rent_has_cost_the_machine(
    price: float, resale: float, watts: float, kwh: float, rent: float
) -> None:
    running = own.running_per_hour(watts, kwh)
    hours = own.break_even_total_hours(price, resale, running, rent)
    if not math.isfinite(hours) or hours > 1e9:
        return
    assert rent * hours == pytest.approx(price * (1 - resale) + running * hours, rel=1e-6)


@given(amount=MONEY, rate=st.floats(0.001, 1000), other=st.floats(0.001, 1000))
def test_there_and_back_is_the_same_amount(amount: float, rate: float, other: float) -> None:
    there = own.converted(amount, rate, other)
    assert own.converted(there, other, rate) == pytest.approx(amount)
