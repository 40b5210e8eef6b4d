"""What a machine costs that one buys, and when buying is cheaper than renting.

Total cost of ownership as depreciation plus running costs: the straight-line method, (cost - salvage value) /
life of the system (http://www.tomshardware.com/faq/id-1861838/calculate-estimated-sales-system.html; VMware's
Cost Insight takes the same method and divides the year by 12), and energy = power x hours x price.
"""

from __future__ import annotations

from collections.abc import Sequence

_HOURS_OF_MONTH = 730.0


def busy_hours(utilisation: float) -> float:
    """Hours of a month = utilisation x 730 hours (8,760 / 12)."""
    return utilisation * _HOURS_OF_MONTH


def month_hours(hours_per_day: float) -> float:
    """Hours of a month = hours per day x 365 / 12 days."""
    return hours_per_day * 365 / 12


def converted(amount: float, rate: float, into_rate: float) -> float:
    """Amount x what one unit of its currency is worth / what one unit of the other is worth, both in one
    third currency."""
    return amount * rate / into_rate


def total(prices: Sequence[float], counts: Sequence[int]) -> float:
    """Purchase = sum of price x count over the parts."""
    return sum(price * count for price, count in zip(prices, counts, strict=True))


def depreciation(price: float, resale_share: float, months: float) -> float:
    """Per month = price x (1 - share of it that comes back) / months of use (straight line)."""
    return price * (1 - resale_share) / months


def electricity(watts: float, hours: float, price_per_kwh: float) -> float:
    """Per month = W / 1,000 x hours of the month x price per kWh."""
    return watts / 1000 * hours * price_per_kwh


def running_per_hour(watts: float, price_per_kwh: float) -> float:
    """Electricity of an hour at work = W / 1,000 x price per kWh."""
    return watts / 1000 * price_per_kwh


def owned_month(price: float, resale_share: float, months: float, electricity_per_month: float) -> float:
    """A month of a bought machine = price x (1 - resale) / months + electricity."""
    return depreciation(price, resale_share, months) + electricity_per_month


def rented_month(rent_per_hour: float, hours: float) -> float:
    """A month of a rented machine that is given back when it is not needed = rent per hour x hours."""
    return rent_per_hour * hours


def month_tokens(tokens_per_s: float, hours: float) -> float:
    """Tokens of a month = tokens/s x 3,600 x hours at work."""
    return tokens_per_s * 3600 * hours


def copies_tokens(tokens_per_s: float, count: int) -> float:
    """Tokens/s of so many copies of a model, each on a card of its own = count x tokens/s of one; what they
    share of the host is not modelled."""
    return count * tokens_per_s


def per_million(cost_per_month: float, tokens_per_s: float, hours: float) -> float:
    """Cost of a million tokens = 10^6 x cost per month / (tokens/s x 3,600 x hours at work)."""
    return 1e6 * cost_per_month / month_tokens(tokens_per_s, hours)


def break_even_hours(
    fixed_per_month: float, running_per_hour: float, rent_per_hour: float, speed_share: float
) -> float:
    """Hours of work per month at which buying and renting cost the same for the same tokens; beyond them
    buying is cheaper. Infinite where an hour of rent costs no more than the electricity.

    fixed + running x h = rent x h x s, with s = own tokens/s / rented tokens/s: to make what the own machine
    makes in h hours the rented one needs s x h. So h = fixed / (rent x s - running).
    """
    saved = rent_per_hour * speed_share - running_per_hour
    return fixed_per_month / saved if saved > 0 else float("inf")


def break_even_total_hours(
    price: float, resale_share: float, running_per_hour: float, rent_per_hour: float
) -> float:
    """Hours of rent, all together, that cost what the machine costs to buy and run for as long:
    price x (1 - resale) / (rent - running); infinite where rent costs no more than electricity."""
    saved = rent_per_hour - running_per_hour
    return price * (1 - resale_share) / saved if saved > 0 else float("inf")


def period_rent(rent_per_hour: float, hours: float, transfer_hours: float) -> float:
    """Rent of a period = rent per hour x (hours wanted + hours in which the weights are fetched)."""
    return rent_per_hour * (hours + transfer_hours)


def transfer_hours(size_bytes: int, bytes_per_s: float) -> float:
    """Hours to fetch the weights = bytes / bytes per second / 3,600."""
    return size_bytes / bytes_per_s / 3600
