"""The bill: every byte on a line, each line with its formula and inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from plimsoll.domain.origin import Origin

Component = Literal[
    "weights", "kv", "state", "compute", "overhead", "adapters", "reserved", "gradients", "optimizer",
    "activations", "logits",
]  # fmt: skip
Basis = Literal["exact", "formula", "calibrated", "measured", "reported"]
HOST = "ram"


class Interval(NamedTuple):
    """What an estimating formula returns: the value with its low and high bound, in bytes."""

    value: int
    low: int
    high: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One position of the bill. Build it with `Line.of`, so that it can be replayed.

    `formula` is `module:function` below `plimsoll`; calling it with `inputs` gives the bytes again.
    `device` is a device id of the machine, or 'ram' for host memory.
    """

    component: Component
    label: str
    device: str
    model: str
    size_bytes: int
    low_bytes: int
    high_bytes: int
    basis: Basis
    formula: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    origins: tuple[Origin, ...] = ()

    def __post_init__(self) -> None:
        if not self.formula:
            raise ValueError("a line needs a formula")
        if not self.low_bytes <= self.size_bytes <= self.high_bytes:
            raise ValueError(f"{self.label}: not {self.low_bytes} <= {self.size_bytes} <= {self.high_bytes}")
        if self.basis == "exact" and self.low_bytes != self.high_bytes:
            raise ValueError("an exact line has no interval")

    @classmethod
    def of(
        cls,
        formula: Callable[..., int | Interval],
        inputs: Mapping[str, Any],
        *,
        component: Component,
        label: str,
        device: str,
        model: str,
        basis: Basis = "exact",
        origins: tuple[Origin, ...] = (),
    ) -> Line:
        """Compute the line: `formula(**inputs)` gives bytes, or an Interval of bytes."""
        result = formula(**inputs)
        value, low, high = result if isinstance(result, tuple) else (result, result, result)
        name = f"{formula.__module__.removeprefix('plimsoll.')}:{formula.__qualname__}"
        return cls(
            component=component, label=label, device=device, model=model, size_bytes=value,
            low_bytes=low, high_bytes=high, basis=basis, formula=name, inputs=inputs, origins=origins,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTotal:
    """What one device holds. `used_bytes` counts every line on it, also what others reserved;
    `origins` say where the capacity was read."""

    id: str
    name: str
    capacity_bytes: int
    used_bytes: int
    used_low_bytes: int
    used_high_bytes: int
    origins: tuple[Origin, ...] = ()

    @property
    def headroom_bytes(self) -> int:
        """Bytes left; negative when it does not fit."""
        return self.capacity_bytes - self.used_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """Lines and their totals per device; the totals are sums of the lines."""

    lines: tuple[Line, ...]
    devices: tuple[DeviceTotal, ...]
