from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll import units
from plimsoll.errors import BadSetting
from plimsoll.units import (
    CURRENCIES,
    Money,
    format_bytes,
    format_money,
    format_parameters,
    parse_bit_rate,
    parse_bytes,
    parse_exchange_rate,
    parse_money,
    parse_period,
    parse_share,
    parse_tokens,
    parse_watts,
)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("80GiB", 80 * 2**30),
        ("80 gib", 80 * 2**30),
        ("80G", 80 * 2**30),
        ("64GB", 64 * 10**9),
        ("24576MiB", 24576 * 2**20),
        ("1024", 1024),
        ("0.5GiB", 2**29),
        ("1,024 MiB", 2**30),
    ],
)
def test_sizes_are_read_with_their_unit(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize(
    ("text", "count"), [("131072", 131072), ("128k", 131072), ("1m", 2**20), ("131,072", 131072), ("1", 1)]
)
def test_tokens_are_read(text: str, count: int) -> None:
    assert parse_tokens(text) == count


@pytest.mark.parametrize("text", ["", "GiB", "-1", "1.2.3", "12 parsecs", "nan", "1e3", "0x10", "1,2,3", "٣"])
def test_what_is_not_a_size_is_refused(text: str) -> None:
    with pytest.raises(BadSetting):
        parse_bytes(text)


@pytest.mark.parametrize("text", ["0", "0k", "-5", "lots", "4kb"])
def test_what_is_not_a_context_is_refused(text: str) -> None:
    with pytest.raises(BadSetting):
        parse_tokens(text)


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        size_bytes = parse_bytes(text)
    except BadSetting as refused:
        size_bytes = 0 if refused.hint else -1
    assert size_bytes >= 0


@given(st.integers(min_value=-(2**60), max_value=2**60))
def test_printed_sizes_keep_sign_and_magnitude(count: int) -> None:
    text = format_bytes(count)
    sign = -1 if text.startswith("-") else 1
    size = parse_bytes(text.lstrip("-").replace(" B", ""))
    assert abs(sign * size - count) <= max(1, abs(count) * 0.05)


def test_parameters_are_printed_in_billions_or_millions() -> None:
    assert format_parameters(116_829_156_672) == "116.83 B"
    assert format_parameters(620_100_000) == "620.1 M"


@pytest.mark.parametrize(
    ("text", "amount", "currency", "per"),
    [
        ("2.65USD/h", 2.65, "USD", "hour"),
        ("2.65 usd per hour", 2.65, "USD", "hour"),
        ("$2.65/hr", 2.65, "USD", "hour"),
        ("400USD/month", 400, "USD", "month"),
        ("0.30€/kWh", 0.30, "EUR", "kWh"),
        ("1,999 GBP", 1999, "GBP", ""),
        ("12.5 RUB / day", 12.5, "RUB", "day"),
    ],
)
def test_money_is_read_with_its_currency_and_what_it_is_for(
    text: str, amount: float, currency: str, per: str
) -> None:
    assert parse_money(text, per=(per,)) == Money(amount=amount, currency=currency, per=per)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2.65", "no currency"), ("$2.65USD", "two currencies"), ("2.65XYZ/h", "'XYZ' is no currency"),
        ("0USD/h", "above 0"), ("-1USD/h", "above 0"),
        ("2.65USD/fortnight", "per hour"), ("2.65USD", "per hour"),
        ("money", "is not a price"), ("1.2.3USD/h", "is not a number"), ("", "is not a price"),
    ],
)  # fmt: skip
def test_what_is_not_a_price_is_refused_with_a_hint(text: str, why: str) -> None:
    with pytest.raises(BadSetting, match=why) as found:
        parse_money(text, per=("hour",))
    assert found.value.hint


@given(st.floats(0.01, 1e6), st.sampled_from(CURRENCIES))
def test_money_reads_back_what_it_printed(amount: float, currency: str) -> None:
    again = parse_money(format_money(amount, currency))
    assert again.currency == currency
    assert again.amount == pytest.approx(amount, rel=0.01)


@pytest.mark.parametrize(
    ("amount", "text"),
    [(1234.5, "1,234 USD"), (2.0, "2.00 USD"), (0.061, "0.061 USD"), (0.00412, "0.00412 USD")],
)
def test_small_amounts_keep_three_digits(amount: float, text: str) -> None:
    assert format_money(amount, "USD") == text


@pytest.mark.parametrize(("text", "watts"), [("300", 300), ("300W", 300), ("0.3 kW", 300), ("1,200 w", 1200)])
def test_watts_are_read(text: str, watts: int) -> None:
    assert parse_watts(text) == watts


@pytest.mark.parametrize(
    ("text", "ends"),
    [("0.7", (0.7, 0.7)), ("70%", (0.7, 0.7)), ("0.6..0.8", (0.6, 0.8)), ("60% … 80%", (0.6, 0.8))],
)
def test_shares_are_read(text: str, ends: tuple[float, float]) -> None:
    assert parse_share(text) == pytest.approx(ends)


@pytest.mark.parametrize("text", ["1.2", "-0.1", "170%", "0.8..0.6", "0.1..0.2..0.3", "much", ""])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(BadSetting):
        parse_share(text)


@given(
    st.sampled_from([parse_bytes, parse_money, parse_share, parse_tokens, parse_watts]),
    st.text(max_size=30) | st.from_regex(r"[0-9.,_]{1,400}[a-zA-Z%€$/]{0,8}", fullmatch=True),
)
def test_whatever_is_typed_is_read_or_refused(parse: Callable[[str], object], text: str) -> None:
    with suppress(BadSetting):
        assert parse(text) is not None


@pytest.mark.parametrize(
    ("text", "into", "value"),
    [("1week", "hour", 168), ("3 days", "hour", 72), ("40h", "hour", 40), ("24mo", "month", 24),
     ("3y", "month", 36)],
)  # fmt: skip
def test_a_stretch_of_time_is_read_in_hours_or_months(text: str, into: str, value: float) -> None:
    assert parse_period(text, into=into) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "week", "0d", "-1d", "3 fortnights", "24"])
def test_what_is_no_stretch_of_time_is_refused(text: str) -> None:
    with pytest.raises(BadSetting):
        parse_period(text, into="hour")


def test_rates_of_money_and_of_lines() -> None:
    assert parse_exchange_rate("eur = 1.08") == ("EUR", 1.08)
    assert parse_bit_rate("1Gbit/s") == 125_000_000
    assert parse_bit_rate("500MB/s") == 500_000_000
    for parse, text in (
        (parse_exchange_rate, "EUR=-1"),
        (parse_exchange_rate, "=1"),
        (parse_bit_rate, "fast"),
    ):
        with pytest.raises(BadSetting):
            parse(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [("1_000_000", 10**6), ("1,000,000", 10**6), ("1M", 10**6), ("200k", 200_000), ("7", 7)],
)
def test_counts_are_decimal(text: str, count: int) -> None:
    assert units.parse_count(text) == count


@pytest.mark.parametrize("text", ["0", "-1", "many", "1G", ""])
def test_no_counts(text: str) -> None:
    with pytest.raises(BadSetting):
        units.parse_count(text)


@pytest.mark.parametrize(("text", "rate"), [("2/s", 2.0), ("120/min", 2.0), ("1800/h", 0.5), ("0.5", 0.5)])
def test_things_per_second(text: str, rate: float) -> None:
    assert units.parse_per_second(text) == rate


@pytest.mark.parametrize("text", ["0/s", "2/day", "fast", "2k/s"])
def test_no_things_per_second(text: str) -> None:
    with pytest.raises(BadSetting):
        units.parse_per_second(text)


def test_long_times_are_hours_and_days() -> None:
    assert [units.format_seconds(s) for s in (90, 3600, 36_000, 864_000)] == [
        "90 s",
        "60 min",
        "10 h",
        "10 days",
    ]
