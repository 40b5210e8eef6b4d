"""The only place where bytes, tokens, counts, watts and money are parsed from text or printed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from plimsoll.errors import BadSetting

KIB, MIB, GIB, TIB = 1024, 1024**2, 1024**3, 1024**4

_BYTES = {
    "": 1, "b": 1,
    "k": KIB, "kib": KIB, "m": MIB, "mib": MIB, "g": GIB, "gib": GIB, "t": TIB, "tib": TIB,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
}  # fmt: skip
CURRENCIES = (
    "AED", "AUD", "BRL", "CAD", "CHF", "CLP", "CNY", "CZK", "DKK", "EUR", "GBP", "HKD", "HUF",
    "IDR", "ILS", "INR", "JPY", "KRW", "KZT", "MXN", "MYR", "NOK", "NZD", "PHP", "PLN", "RON",
    "RUB", "SEK", "SGD", "THB", "TRY", "TWD", "UAH", "USD", "VND", "ZAR",
)  # fmt: skip
_SIGNS = {"$": "USD", "€": "EUR", "£": "GBP", "₽": "RUB", "₴": "UAH", "₹": "INR"}
# What a price may be for, and how people write it.
_PER = {
    "hour": ("h", "hr", "hour"), "day": ("d", "day"), "month": ("mo", "month"), "year": ("y", "yr", "year"),
    "kWh": ("kwh",),
}  # fmt: skip
_MONEY = re.compile(
    r"\s*([$€£₽₴₹]?)\s*(-?[0-9]+(?:[._,][0-9]+)*)\s*([a-zA-Z]{3}|[$€£₽₴₹])?\s*(?:(?:/|per)\s*([a-zA-Z]+))?\s*"
)
_LARGEST = 1e18
_ARRIVALS = re.compile(r"\s*([0-9]+(?:[._,][0-9]+)*)\s*(?:/\s*(s|min|h))?\s*")
_ARRIVALS_PER = {"s": 1, "min": 60, "h": 3600}
_NUMBER = re.compile(r"\s*([0-9]+(?:[._,][0-9]+)*)\s*([a-zA-Z]*)\s*")


def parse_bytes(text: str) -> int:
    """Bytes from '80GiB', '24576 MiB', '64GB' (decimal) or '1024'; raises BadSetting."""
    match = _NUMBER.fullmatch(text)
    unit = match.group(2).lower() if match else "?"
    if match is None or unit not in _BYTES:
        raise BadSetting(f"{text!r} is not a size", hint="write a size such as 80GiB, 24576MiB or 64GB")
    return round(_decimal(match.group(1), text) * _BYTES[unit])


def parse_tokens(text: str) -> int:
    """Tokens from '131072', '128k' (131,072) or '1m' (1,048,576); raises BadSetting."""
    match = _NUMBER.fullmatch(text)
    scale = {"": 1, "k": KIB, "m": MIB}.get(match.group(2).lower()) if match else None
    if match is None or scale is None:
        raise BadSetting(f"{text!r} is not a number of tokens", hint="write 32768 or 32k")
    count = round(_decimal(match.group(1), text) * scale)
    if count < 1:
        raise BadSetting("the context must be at least 1 token", hint="write 32768 or 32k")
    return count


def parse_count(text: str) -> int:
    """A count of things from '1_000_000', '1,000,000', '1M' or '200k' (decimal); raises BadSetting."""
    match = _NUMBER.fullmatch(text)
    scale = {"": 1, "k": 10**3, "m": 10**6}.get(match.group(2).lower()) if match else None
    if match is None or scale is None:
        raise BadSetting(f"{text!r} is not a count", hint="write 1_000_000, 1M or 200k")
    count = round(_decimal(match.group(1), text) * scale)
    if count < 1:
        raise BadSetting("a count is at least 1", hint="write 1_000_000, 1M or 200k")
    return count


def parse_per_second(text: str) -> float:
    """Things per second from '2/s', '120/min', '500/h' or '2'; raises BadSetting."""
    number, slash, per = text.partition("/")
    match = _NUMBER.fullmatch(number)
    scale = {"": 1.0, "s": 1.0, "min": 60.0, "h": 3600.0}.get(per.strip().lower() if slash else "")
    if match is None or match.group(2) or scale is None:
        raise BadSetting(f"{text!r} is not a rate", hint="write 2/s, 120/min or 500/h")
    rate = _decimal(match.group(1), text) / scale
    if rate <= 0:
        raise BadSetting("a rate is above 0", hint="write 2/s, 120/min or 500/h")
    return rate


def parse_seconds(text: str) -> float:
    """Seconds from '2s', '500ms', '1.5min' or '2'; raises BadSetting."""
    match = _NUMBER.fullmatch(text)
    scale = {"": 1.0, "s": 1.0, "ms": 1e-3, "min": 60.0}.get(match.group(2).lower()) if match else None
    if match is None or scale is None:
        raise BadSetting(f"{text!r} is not a time", hint="write 2s or 500ms")
    seconds = _decimal(match.group(1), text) * scale
    if seconds <= 0:
        raise BadSetting("a wait is longer than nothing", hint="write 2s or 500ms")
    return seconds


def parse_rate(text: str) -> int:
    """Bytes per second from '7GB/s', '3.5 GiB/s' or '550MB/s'; raises BadSetting."""
    size, slash, per = text.partition("/")
    if slash and per.strip().lower() != "s":
        raise BadSetting(f"{text!r} is not a rate", hint="write it per second, such as 7GB/s")
    rate = parse_bytes(size)
    if rate <= 0:
        raise BadSetting("a disk reads more than nothing", hint="such as 7GB/s")
    return rate


# Hours of a stretch of time; a month is a twelfth of 365 days.
_PERIODS = {
    "h": 1.0, "hour": 1.0, "hours": 1.0, "d": 24.0, "day": 24.0, "days": 24.0, "w": 168.0, "week": 168.0,
    "weeks": 168.0, "mo": 730.0, "month": 730.0, "months": 730.0, "y": 8760.0, "year": 8760.0,
    "years": 8760.0,
}  # fmt: skip


def parse_period(text: str, *, into: str) -> float:
    """A stretch of time from '1week', '3 days', '40h', '24mo' or '3y', in hours or months; BadSetting."""
    match = _NUMBER.fullmatch(text)
    hours = _PERIODS.get(match.group(2).lower()) if match else None
    if match is None or hours is None:
        raise BadSetting(f"{text!r} is no stretch of time", hint="write 24mo, 3y, 1week, 3days or 40h")
    found = _decimal(match.group(1), text) * hours / _PERIODS[into]
    if found <= 0:
        raise BadSetting(f"{text!r} is no time at all", hint="write 24mo, 1week or 40h")
    return found


def parse_exchange_rate(text: str) -> tuple[str, float]:
    """('EUR', 1.08) from 'EUR=1.08': what one unit is worth in US dollars; raises BadSetting."""
    code, _, worth = text.partition("=")
    match = re.fullmatch(r"\s*([0-9]{1,12}(?:\.[0-9]{1,12})?)\s*", worth)
    if match is None or not code.strip().isalpha():
        raise BadSetting(f"{text!r} is no rate", hint="write EUR=1.08 for 1 EUR = 1.08 USD")
    if float(match[1]) <= 0:
        raise BadSetting(f"{text!r}: a rate is above 0", hint="write EUR=1.08 for 1 EUR = 1.08 USD")
    return code.strip().upper(), float(match[1])


def parse_bit_rate(text: str) -> float:
    """Bytes per second from '1Gbit/s', '100 Mbit/s' or '500MB/s'; raises BadSetting."""
    match = re.fullmatch(r"\s*([0-9]{1,6}(?:\.[0-9]{1,6})?)\s*([kmg])bit(?:/s)?\s*", text.lower())
    if match is None:
        return float(parse_rate(text))
    rate = float(match[1]) * {"k": 1e3, "m": 1e6, "g": 1e9}[match[2]] / 8
    if rate <= 0:
        raise BadSetting("a line carries more than nothing", hint="such as 1Gbit/s")
    return rate


def format_seconds(seconds: float) -> str:
    """'62 ms', '0.69 s', '12.3 s', '4.2 min', '7.5 h', '12.3 days'."""
    if seconds < 0.1:
        return f"{seconds * 1e3:.2g} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    if seconds < 7200:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3600:.3g} h" if seconds < 72 * 3600 else f"{seconds / 86400:,.3g} days"


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """An amount in a currency, for a piece ('') or per 'hour', 'day', 'month', 'year', 'kWh'."""

    amount: float
    currency: str
    per: str = ""


def parse_money(text: str, *, per: tuple[str, ...] = ("",)) -> Money:
    """Money from '2.65USD/h', '400 USD/month', '€0.30/kWh' or '1,999 USD'; raises BadSetting.

    `per` are the units that make sense here, the first one the example of the hint. '$' is USD; nothing is
    ever converted from one currency into another.
    """
    example = (
        f"such as 2.65USD{'/' + _PER[per[0]][0] if per[0] not in ('', 'kWh') else '/kWh' if per[0] else ''}"
    )
    match = _MONEY.fullmatch(text)
    if match is None:
        raise BadSetting(f"{text!r} is not a price", hint=f"write an amount and its currency, {example}")
    before, digits, after, unit = match.groups()
    if bool(before) == bool(after):
        what = "names two currencies" if before else "names no currency"
        raise BadSetting(f"{text!r} {what}", hint=f"write an amount and its currency, {example}")
    currency = _SIGNS.get(before or after, (before or after).upper())
    if currency not in CURRENCIES:
        raise BadSetting(f"{currency!r} is no currency I know", hint=f"one of {', '.join(CURRENCIES)}")
    named = next((name for name, ways in _PER.items() if (unit or "").lower() in ways), unit or "")
    if named not in per:
        wanted = " or ".join("for a piece" if p == "" else f"per {p}" for p in per)
        raise BadSetting(f"{text!r} is not a price {wanted}", hint=f"write it {example}")
    amount = _decimal(digits.lstrip("-"), text)
    if amount <= 0 or digits.startswith("-"):
        raise BadSetting(f"{text!r}: a price is above 0", hint=f"write it {example}")
    return Money(amount=amount, currency=currency, per=named)


def format_money(amount: float, currency: str) -> str:
    """'2.65 USD', '0.0041 USD', '1,234 USD': cents, or three digits where cents would say nothing."""
    if amount >= 1000:
        return f"{amount:,.0f} {currency}"
    return f"{amount:.2f} {currency}" if amount >= 0.995 else f"{amount:.3g} {currency}"


def parse_share(text: str) -> tuple[float, float]:
    """A share, or a range of shares, from '0.7', '70%' or '0.6..0.8'; raises BadSetting."""
    ends = []
    for part in re.split(r"\s*(?:\.\.|…)\s*", text.strip()):
        match = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]+)?)\s*(%?)", part)
        share = float(match[1]) / (100 if match[2] else 1) if match else -1.0
        if not 0 <= share <= 1:
            raise BadSetting(f"{text!r} is not a share from 0 to 1", hint="write 0.7, 70% or 0.6..0.8")
        ends.append(share)
    if len(ends) > 2 or ends != sorted(ends):
        raise BadSetting(f"{text!r} is not a range", hint="write the smaller end first, such as 0.6..0.8")
    return ends[0], ends[-1]


def parse_watts(text: str) -> int:
    """Watts from '300', '300W' or '0.3 kW'; raises BadSetting."""
    match = _NUMBER.fullmatch(text)
    scale = {"": 1, "w": 1, "kw": 1000}.get(match.group(2).lower()) if match else None
    watts = round(_decimal(match.group(1), text) * scale) if match and scale else 0
    if watts < 1:
        raise BadSetting(f"{text!r} is not a power", hint="write watts, such as 300 or 300W")
    return watts


def _decimal(digits: str, text: str) -> float:
    """A number whose thousands may be grouped by ',' or '_' ('131,072')."""
    plain = re.sub(r"[,_](?=[0-9]{3}(?:[,_.]|$))", "", digits)
    try:
        number = float(plain.replace("_", ""))
    except ValueError:
        raise BadSetting(f"{text!r} is not a number", hint="write 0.5, 32768 or 131,072") from None
    if number > _LARGEST:
        raise BadSetting(f"{text[:20]!r}... is larger than anything here", hint="write 0.5, 32768 or 131,072")
    return number


def format_bytes(count: int) -> str:
    """'61.20 GiB', '216.0 MiB', '12 B'; negative counts keep their sign."""
    sign, size = ("-" if count < 0 else ""), abs(count)
    if size >= TIB:
        return f"{sign}{size / TIB:.2f} TiB"
    if size >= GIB:
        return f"{sign}{size / GIB:.2f} GiB"
    if size >= MIB:
        return f"{sign}{size / MIB:.1f} MiB"
    if size >= KIB:
        return f"{sign}{size / KIB:.1f} KiB"
    return f"{sign}{size} B"


def format_count(count: int) -> str:
    """'131,072'."""
    return f"{count:,}"


def format_parameters(count: int) -> str:
    """'116.83 B', '620.1 M'."""
    if count >= 10**9:
        return f"{count / 10**9:.2f} B"
    return f"{count / 10**6:.1f} M"


def format_share(part: int, whole: int) -> str:
    """'12.3%', '<0.1%' for what would round to nothing, '0%' for nothing."""
    share = part / whole if whole else 0.0
    return f"{share:.1%}" if share >= 0.0005 else "<0.1%" if share > 0 else "0%"


def parse_arrivals(text: str) -> float:
    """Requests per second from '0.5/s', '30/min', '100/h' or '2' (per second); raises BadSetting."""
    match = _ARRIVALS.fullmatch(text)
    if match is None:
        raise BadSetting(f"{text!r} is not how often requests come", hint="write 0.5/s, 30/min or 100/h")
    rate = _decimal(match.group(1), text) / _ARRIVALS_PER[match.group(2) or "s"]
    if rate <= 0:
        raise BadSetting("requests that never come need no server", hint="write 0.5/s, 30/min or 100/h")
    return rate


def format_arrivals(per_s: float) -> str:
    """'12 requests/s', '0.5 requests/s', '3.2 requests/min', '1.5 requests/h'."""
    for unit, seconds in (("s", 1), ("min", 60), ("h", 3600)):
        if per_s * seconds >= 0.1 or unit == "h":
            break
    return f"{per_s * seconds:,.3g} requests/{unit}"
