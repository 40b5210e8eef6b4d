import pytest

from plimsoll.errors import PlimsollError
from plimsoll.parse.prices_file import parse

GOOD = """
electricity = "0.30EUR/kWh"

[[price]]
device = "rtx-4090"
rent = "0.34 EUR/h"
provider = "my host"
date = 2026-11-01
"""


def test_a_good_file_is_read() -> None:
    found = parse(GOOD, where="own.toml")
    assert found.electricity is not None
    assert (found.electricity.amount, found.electricity.currency) == (0.30, "EUR")
    (price,) = found.prices
    assert (price.device, price.kind, price.price, price.currency, price.unit, price.date, price.source) == (
        "rtx-4090", "rent", 0.34, "EUR", "hour", "2026-11-01", "own.toml#price[0]",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[[price]]\ndevice = 'rtx-4090'\nrent = '0.34EURO/h'", "is not a price"),
        ("[[price]]\ndevice = 'rtx-4090'\nrent = '0.34XYZ/h'", "'XYZ' is no currency"),
        ("[[price]]\ndevice = 'rtx-4090'\nrent = '0EUR/h'", "above 0"),
        ("[[price]]\ndevice = 'rtx-4090'\nrent = '-1EUR/h'", "above 0"),
        ("[[price]]\ndevice = 'rtx-4090'\nrent = '1EUR'", "not a price per hour"),
        ("[[price]]\ndevice = 'rtx-4090'\nrent = 1.0", "in quotes"),
        ("[[price]]\ndevice = 'rtx-4090'", "either rent or buy"),
        ("[[price]]\ndevice = 'rtx-4090'\nrent = '1EUR/h'\nbuy = '1EUR'", "either rent or buy"),
        ("[[price]]\nrent = '1EUR/h'", "device missing"),
        ("[[price]]\ndevice = 7\nrent = '1EUR/h'", "text in quotes"),
        ("[[price]]\ndevice = 'x'\nrent = '1EUR/h'\ndevices = 0", "whole number"),
        ("[[price]]\ndevice = 'x'\nrent = '1EUR/h'\ndate = 'today'", "a day, month or year"),
        ("[[price]]\ndevice = 'x'\nrent = '1EUR/h'\ncolour = 'red'", "unknown key 'colour'"),
        ("price = 3", "as a [[price]] table"),
        ("electricity = '0.30EUR/h'", "not a price per kWh"),
        ("watts = 3", "unknown key 'watts'"),
        ("[[", "own.toml"),
    ],
)
def test_a_bad_file_is_refused_with_a_reason(text: str, wanted: str) -> None:
    with pytest.raises(PlimsollError) as found:
        parse(text, where="own.toml")
    assert wanted in found.value.message
    assert "own.toml" in found.value.message
