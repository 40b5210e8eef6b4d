"""One exact thing one could launch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from plimsoll.domain.machine import Device, Machine
from plimsoll.domain.model import Model

SplitKind = Literal["none", "layer", "tensor", "pipeline", "expert"]
Setting = int | float | str | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A program that runs models; `version` is '' when the newest known one is meant."""

    id: str
    version: str = ""
    backend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What the model is asked to do. `context_tokens` is per sequence."""

    context_tokens: int
    parallel_sequences_count: int = 1

    def __post_init__(self) -> None:
        if self.context_tokens < 1 or self.parallel_sequences_count < 1:
            raise ValueError("context and parallel sequences are at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """How a model is spread over `devices` (ids of the machine, in order).

    `shares` are proportions for a layer split (same length as `devices`), empty for even.
    """

    kind: SplitKind = "none"
    devices: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Offload:
    """What stays in host memory.

    `gpu_layers_count` counts as llama.cpp's -ngl does (blocks + 1 for the output); None = all.
    `cpu_expert_layers_count` is --n-cpu-moe: the experts of that many first layers stay in RAM.
    `overrides` are (regex, buffer) pairs as in -ot.
    """

    gpu_layers_count: int | None = None
    cpu_expert_layers_count: int = 0
    overrides: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """A LoRA adapter served beside the model.

    `size_bytes` is what the runtime of the deployment keeps of its tensors, where it keeps them as they
    are; `targets` are the last names of the modules it adapts.
    """

    id: str
    rank: int
    size_bytes: int
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Model + machine + runtime + workload + formats + placement + settings.

    `weight_format` is a format or recipe name ('bf16', 'awq', 'q4_k_m'); '' = as published.
    `settings` are the runtime's own, by its own names ('ubatch', 'gpu_memory_utilization').
    """

    model: Model
    machine: Machine
    runtime: Runtime
    workload: Workload
    weight_format: str = ""
    kv_format_k: str = "f16"
    kv_format_v: str = "f16"
    split: Split = field(default_factory=Split)
    offload: Offload = field(default_factory=Offload)
    adapters: tuple[Adapter, ...] = ()
    settings: Mapping[str, Setting] = field(default_factory=dict)

    @property
    def used_devices(self) -> tuple[Device, ...]:
        """The devices that the model lies on; none for the processor alone."""
        used = tuple(d for d in self.machine.devices if d.id in self.split.devices)
        return used or self.machine.devices[:1]

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change whenever what would be launched changes."""
        import hashlib
        import json

        facts = [
            self.model.id, self.model.revision, self.runtime.id, self.runtime.version, self.runtime.backend,
            self.weight_format, self.kv_format_k, self.kv_format_v,
            self.workload.context_tokens, self.workload.parallel_sequences_count,
            [(d.id, d.catalog_id, d.memory_bytes) for d in self.machine.devices], self.machine.ram_bytes,
            self.split.kind, self.split.devices, self.split.shares,
            self.offload.gpu_layers_count, self.offload.cpu_expert_layers_count, self.offload.overrides,
            [(a.id, a.rank) for a in self.adapters], sorted(self.settings.items()),
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
