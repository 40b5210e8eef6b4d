"""Amounts in one currency, at rates that the user gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from plimsoll.errors import BadSetting
from plimsoll.formulas.ownership import converted
from plimsoll.units import CURRENCIES

# What --rate is told in: EUR=1.08 says that a euro is worth 1.08 of it.
BASE = "USD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """`rates` are US dollars per unit of a currency; without one nothing of that currency is converted."""

    currency: str = BASE
    rates: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for code, rate in self.rates.items():
            if code not in CURRENCIES:
                raise BadSetting(f"{code!r} is no currency I know", hint=f"one of {', '.join(CURRENCIES)}")
            if not 0 < rate < float("inf"):
                raise BadSetting(f"a rate of {rate:g} is no rate", hint=f"--rate {code}=1.08, in {BASE}")
            if code == BASE and rate != 1:
                raise BadSetting(f"rates are told in {BASE}, so its own is 1", hint="--rate EUR=1.08")
        if self.currency not in CURRENCIES:
            raise BadSetting(
                f"{self.currency!r} is no currency I know", hint=f"one of {', '.join(CURRENCIES)}"
            )

    def knows(self, currency: str) -> bool:
        """Whether an amount in this currency can be told in the answer's."""
        return currency == self.currency or {currency, self.currency} <= {BASE, *self.rates}

    def into(self, amount: float, currency: str, what: str) -> float:
        """The amount in the answer's currency; raises BadSetting where no rate was given."""
        if currency == self.currency:
            return amount
        for code in (currency, self.currency):
            if code != BASE and code not in self.rates:
                raise BadSetting(
                    f"{what} is in {currency}, the answer in {self.currency}, and no rate was given",
                    hint=f"--rate {code}=X, with X the worth of 1 {code} in {BASE}",
                )
        rates = {BASE: 1.0, **self.rates}
        return converted(amount, rates[currency], rates[self.currency])
