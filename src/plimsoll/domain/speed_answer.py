"""The answer of `speed`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from plimsoll.domain.answer import ModelFacts
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.measurement import Measurement
from plimsoll.domain.origin import Source
from plimsoll.domain.plot import Curve
from plimsoll.domain.price import Price
from plimsoll.domain.speculation import Speculation
from plimsoll.domain.speed import Speed


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a million tokens cost in `currency`, or ('') how many tokens an hour of rent yields."""

    label: str
    estimate: Estimate
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedAnswer:
    """The answer of `speed`. Without `speeds`, `reason` says why there is none.

    `measured` are the nearest measurements that others published of this model on this device.
    """

    question: str
    asked: Mapping[str, object]
    verdict: str
    reason: str
    model: tuple[ModelFacts, ...]
    machine: str
    placement: tuple[str, ...]
    speeds: tuple[Speed, ...]
    tokens_per_joule: float | None
    notes: tuple[str, ...]
    unknowns: tuple[str, ...]
    sources: tuple[Source, ...]
    versions: Mapping[str, str]
    costs: tuple[Cost, ...] = ()
    prices: tuple[Price, ...] = ()
    speculation: Speculation | None = None
    curves: tuple[Curve, ...] = ()
    measured: tuple[Measurement, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 answered, 1 does not fit, 3 unknown."""
        return {"does_not_fit": 1, "unknown": 3}.get(self.verdict, 0)
