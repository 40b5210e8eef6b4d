import pytest

from plimsoll.formulas.cost import (
    electricity_per_million,
    hourly,
    rent_per_million,
    tokens_per_hour,
    tokens_per_joule,
)


def test_an_hour_at_100_tokens_per_second_is_360_000_tokens() -> None:
    assert tokens_per_hour(100) == 360_000
    assert rent_per_million(3.6, 100) == pytest.approx(10)


def test_a_kilowatt_for_an_hour_is_a_kilowatt_hour() -> None:
    # 1,000 W for the 10,000 s that a million tokens take at 100 tokens/s.
    assert electricity_per_million(1000, 0.30, 100) == pytest.approx(0.30 * 10_000 / 3600)
    assert tokens_per_joule(500, 100) == 0.2


@pytest.mark.parametrize(("per", "hours"), [("hour", 1), ("day", 24), ("month", 730), ("year", 8760)])
def test_a_longer_price_is_spread_over_its_hours(per: str, hours: int) -> None:
    assert hourly(hours, per) == 1
