"""Nouns of speed: the work of a model, what does it, and how long each part takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from plimsoll.domain.estimate import Estimate
from plimsoll.domain.model import LayerSpec

Bottleneck = Literal["bandwidth", "compute", "cpu", "pcie", "link", "launch overhead", "power"]
Phase = Literal["decode", "prefill", "ttft", "tpot", "throughput"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertGroup:
    """The routed experts of the layers that have equally many: bytes and values of all of them."""

    layers_count: int
    experts_count: int
    active_experts_count: int
    size_bytes: int
    values_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelWork:
    """What a pass through a model reads and multiplies, in one weight format.

    `block_bytes` are the weights of all blocks without routed experts, `output_bytes` the output matrix.
    `*_values_count` are the values that a token is multiplied by. `format_family` is the format that holds
    most of the bytes a token reads ('q4_k', '16bit', 'fp8', ...).
    """

    model: str
    architecture: str
    format_family: str
    layers: tuple[LayerSpec, ...]
    block_bytes: int
    block_values_count: int
    output_bytes: int
    output_values_count: int
    experts: tuple[ExpertGroup, ...] = ()

    @property
    def weights_bytes(self) -> int:
        """All weights that are ever multiplied."""
        return self.block_bytes + self.output_bytes + sum(g.size_bytes for g in self.experts)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedCase:
    """A model at work on devices of one kind, with the ceilings that bound it.

    `architecture` names the device's generation; `device` is its catalog id, '' for the processor alone.
    `split` is 'none', 'layer' or 'tensor'. `host_layers_count` layers lie in host memory with all they have,
    `host_expert_layers_count` with their experts only. `host_bytes_per_s` and `threads_count` 0 mean: not
    told. `is_unified`: the device's memory is the host's, too.
    """

    work: ModelWork
    runtime: str
    flavour: str
    era: str
    backend: str
    device: str
    architecture: str
    bandwidth_bytes_per_s: int
    flops_per_s: Mapping[str, float] = field(default_factory=dict)
    devices_count: int = 1
    split: str = "none"
    host: str = ""
    host_bytes_per_s: int = 0
    host_layers_count: int = 0
    host_expert_layers_count: int = 0
    threads_count: int = 0
    is_unified: bool = False
    kv_format: str = "f16"
    flash_attention: str = ""
    ubatch_tokens: int = 0
    power_share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One part of a pass: its time at the ceiling, and the calibrated effects that lengthen it.

    The part takes `seconds` x exp(sum of the coefficients of `effects`); a coefficient that was not learnt
    counts as 0, so that a device without measurements has its architecture's. `floor_share` x `seconds` is
    the least it can take, where a faster unit exists than the one usually used.
    """

    name: str
    bottleneck: Bottleneck
    seconds: float
    effects: tuple[str, ...]
    floor_share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """All parts of a pass, one after the other, and the effects on the whole."""

    phase: Phase
    parts: tuple[Term, ...]
    effects: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How far measured times lay from predicted ones, as logarithms: `low` and `high` enclose `coverage`."""

    low: float
    high: float
    samples_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Coefficients and spreads, as `plimsoll calibrate` produced them.

    `spreads` are keyed 'decode llama_cpp/cuda device' by phase, kind of case and what was new to the fit: ''
    (this model was measured on this device), 'pair' (either was), 'device', 'model' or 'both'. `devices` and
    `models` list what the fit has seen, by phase.
    """

    version: str
    measurements_count: int
    measurements_digest: str
    coverage: float
    coefficients: Mapping[str, float]
    spreads: Mapping[str, Spread]
    devices: Mapping[str, tuple[str, ...]]
    models: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartShare:
    """A part of a pass as an answer shows it: its time at the ceiling, what lengthens it, its share."""

    name: str
    bottleneck: Bottleneck
    ceiling_seconds: float
    factor: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """One rate or time, with what bounds it. `new` is what the calibration had not seen ('' = nothing)."""

    estimate: Estimate
    label: str
    sequences_count: int
    bottleneck: Bottleneck
    parts: tuple[PartShare, ...]
    new: str
