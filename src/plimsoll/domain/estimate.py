"""A number that is not a line of the bill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from plimsoll.domain.bill import Basis
from plimsoll.domain.origin import Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A quantity with its unit, interval and basis ('kv_cache_tokens', 'tokens', 131072, ...)."""

    quantity: str
    unit: str
    value: float
    low: float
    high: float
    basis: Basis
    formula: str
    coverage: float | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    origins: tuple[Origin, ...] = ()
    samples_count: int | None = None
