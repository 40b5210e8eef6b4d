"""What tokens cost."""

from __future__ import annotations

_HOURS = {"hour": 1.0, "day": 24.0, "month": 730.0, "year": 8760.0}


def hourly(amount: float, per: str) -> float:
    """A price per 'hour', 'day', 'month' (8,760 / 12 = 730 hours) or 'year', as one per hour."""
    return amount / _HOURS[per]


def monthly(rent_per_hour: float) -> float:
    """Rent of a month = rent per hour x 730 hours (8,760 / 12)."""
    return rent_per_hour * _HOURS["month"]


def tokens_per_hour(tokens_per_s: float) -> float:
    """3,600 s x tokens/s: what an hour of rent yields when the machine never idles."""
    return 3600 * tokens_per_s


def rent_per_million(rent_per_hour: float, tokens_per_s: float) -> float:
    """Rent of a million tokens = 10^6 x rent per hour / (3,600 x tokens/s), busy all the time."""
    return 1e6 * rent_per_hour / tokens_per_hour(tokens_per_s)


def electricity_per_million(watts: float, price_per_kwh: float, tokens_per_s: float) -> float:
    """Electricity of a million tokens = 10^6 x W / 1,000 x price per kWh / (3,600 x tokens/s)."""
    return 1e6 * watts / 1000 * price_per_kwh / (3600 * tokens_per_s)


def tokens_per_joule(watts: float, tokens_per_s: float) -> float:
    """tokens/s / W, as one watt is one joule per second."""
    return tokens_per_s / watts


def rent_of_hours(rent_per_hour: float, hours: float) -> float:
    """Rent of a month = rent per hour x hours that it is rented."""
    return rent_per_hour * hours


def electricity_of_hours(watts: float, busy_share: float, hours: float, price_per_kwh: float) -> float:
    """Electricity of a month = W / 1,000 x share of the time at that draw x hours x price per kWh.

    What is drawn in the rest of the time is not in it.
    """
    return watts / 1000 * busy_share * hours * price_per_kwh
