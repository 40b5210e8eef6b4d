"""What a model runs on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from plimsoll.domain.origin import Origin, Source

Backend = Literal["cuda", "rocm", "metal", "vulkan", "sycl", "cpu"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One accelerator. Bytes are what the driver reports, not what the box says.

    `id` is unique in its machine ('gpu0'); `catalog_id` names the fact file or is empty.
    `reserved_bytes` is taken by others (desktop, other processes, the driver); `driver_reserved_bytes`
    is the driver's part of it: programs see memory_bytes - driver_reserved_bytes. For unified memory
    `memory_bytes` is what the accelerator may use by default and `memory_limit_bytes` what it may
    be raised to.
    """

    id: str
    name: str
    vendor: str
    architecture: str
    backend: Backend
    memory_bytes: int
    catalog_id: str = ""
    reserved_bytes: int = 0
    driver_reserved_bytes: int = 0
    memory_limit_bytes: int | None = None
    bandwidth_bytes_per_s: int | None = None
    flops_per_s: Mapping[str, float] = field(default_factory=dict)
    power_limit_watts: int | None = None
    compute_capability: str = ""
    is_unified: bool = False
    origins: Mapping[str, Origin] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A connection between two devices, or a device and the host."""

    kind: str
    bandwidth_bytes_per_s: int
    ends: tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Devices, host memory and what joins them. `ram_bytes` None means: not told."""

    name: str
    devices: tuple[Device, ...]
    links: tuple[Link, ...] = ()
    ram_bytes: int | None = None
    ram_reserved_bytes: int = 0
    ram_bandwidth_bytes_per_s: int | None = None
    os: str = ""
    driver: str = ""
    cuda: str = ""
    origins: Mapping[str, Origin] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    notes: tuple[str, ...] = ()
