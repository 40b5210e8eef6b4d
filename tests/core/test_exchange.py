"""Amounts in one currency, or a sentence why not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.core.exchange import Exchange
from plimsoll.errors import BadSetting


def test_a_euro_at_1_08_dollars() -> None:
    assert Exchange(rates={"EUR": 1.08}).into(100, "EUR", "it") == pytest.approx(108)
    assert Exchange(currency="EUR", rates={"EUR": 1.08}).into(108, "USD", "it") == pytest.approx(100)
    assert Exchange(currency="EUR").into(5, "EUR", "it") == 5


def test_two_currencies_over_the_dollar() -> None:
    both = Exchange(currency="GBP", rates={"EUR": 1.08, "GBP": 1.35})
    assert both.into(100, "EUR", "it") == pytest.approx(80)


def test_without_a_rate_it_is_refused_with_the_option() -> None:
    with pytest.raises(BadSetting) as refused:
        Exchange().into(5, "EUR", "electricity")
    assert "electricity is in EUR, the answer in USD" in refused.value.message
    assert "--rate EUR=" in refused.value.hint
    assert not Exchange().knows("EUR")
    assert not Exchange(currency="EUR").knows("USD")


@pytest.mark.parametrize(
    ("currency", "rates"),
    [("USD", {"EUR": 0.0}), ("USD", {"EUR": -1.0}), ("USD", {"EUR": float("inf")}),
     ("USD", {"EUR": float("nan")}), ("USD", {"XYZ": 1.0}), ("USD", {"USD": 2.0}), ("QQQ", {})],
)  # fmt: skip
def test_what_is_no_rate_or_currency(currency: str, rates: dict[str, float]) -> None:
    with pytest.raises(BadSetting):
        Exchange(currency=currency, rates=rates)


@given(amount=st.floats(0.01, 1e6), euro=st.floats(0.01, 100), pound=st.floats(0.01, 100))
def test_there_and_back(amount: float, euro: float, pound: float) -> None:
    rates = {"EUR": euro, "GBP": pound}
    there = Exchange(currency="EUR", rates=rates).into(amount, "GBP", "it")
    assert Exchange(currency="GBP", rates=rates).into(there, "EUR", "it") == pytest.approx(amount)
