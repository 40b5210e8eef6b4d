"""What does the work: the cards of a deployment with their layers, their power limit, and the calibration."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from plimsoll.ask.measured import NoCeiling, architecture_of, era_of, work_in
from plimsoll.catalog import calibration as shipped
from plimsoll.core import speed as core
from plimsoll.core.unlike import Stage, as_one, stage_terms
from plimsoll.domain.deployment import Deployment, SplitKind
from plimsoll.domain.machine import Device, Machine
from plimsoll.domain.power import PowerFactor
from plimsoll.domain.speed import Calibration, Phase, SpeedCase, Terms
from plimsoll.errors import BadSetting

_KV_FORMATS = {"auto": "f16", "fp8": "fp8_e4m3", "q8": "q8_0", "q4": "q4_0", "q6": "q6_k", "q5": "q5_0"}
_FULL = PowerFactor(value=1.0, low=1.0, high=1.0, is_own=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """A deployment ready to be timed. `case` stands for all stages; `watts` is of all cards, if known."""

    stages: tuple[Stage, ...]
    case: SpeedCase
    calibration: Calibration
    watts: float | None = None
    power: Mapping[Phase, PowerFactor] = field(default_factory=dict)

    def terms(self, each: Callable[[SpeedCase], Terms]) -> Terms:
        """The parts of a pass that `each` finds for one kind of card, over all stages."""
        return stage_terms(self.stages, each)

    @property
    def is_host_untold(self) -> bool:
        """Whether part of the model lies in host memory of a speed that nobody told."""
        case = self.case
        return bool(case.host_layers_count or case.host_expert_layers_count) and not case.host_bytes_per_s

    def limited(self, phase: Phase) -> PowerFactor:
        """What the power limit leaves of the speed."""
        return self.power.get(phase, _FULL)


def rig_of(
    deployment: Deployment, *, power_watts: int | None = None, calibration: Calibration | None = None
) -> Rig:
    """The deployment's cards; `power_watts` is a limit set on each of them, `calibration` the shipped one
    where it was read before.

    Raises NoCeiling where no model holds or a ceiling is not known, BadSetting for an impossible limit.
    """
    stages = _stages(deployment)
    case = as_one(stages)
    for stage in stages:
        reason = core.measure_only(stage.case)
        if reason:
            raise NoCeiling(f"measure only: {reason}")
    devices = deployment.used_devices
    limits = [d.power_limit_watts for d in devices]
    watts = float(sum(w for w in limits if w)) if limits and all(limits) else None
    calibration = calibration or shipped.load()
    if power_watts is None:
        return Rig(stages=stages, case=case, calibration=calibration, watts=watts)
    return Rig(
        stages=stages, case=case, calibration=calibration, watts=float(power_watts * len(devices)),
        power=_power(devices, power_watts),
    )  # fmt: skip


def _power(devices: tuple[Device, ...], watts: int) -> dict[Phase, PowerFactor]:
    """What the limit leaves of each card's speed; of unlike cards the least."""
    from plimsoll.catalog import measurements
    from plimsoll.core.power import factor, sweeps

    if not devices:
        raise BadSetting("there is no card whose power could be limited", hint="leave out --power")
    found = sweeps(measurements.load())
    out: dict[Phase, PowerFactor] = {}
    phases: tuple[Phase, ...] = ("decode", "prefill")
    for device in devices:
        if not device.power_limit_watts:
            raise NoCeiling(f"the power limit of {device.name} is not known, so no share of it either")
        if watts > device.power_limit_watts:
            raise BadSetting(
                f"{device.name} has a power limit of {device.power_limit_watts} W, not {watts} W",
                hint=f"--power {device.power_limit_watts} or less",
            )
        for phase in phases:
            share = watts / device.power_limit_watts
            one = factor(found, _chip(device), phase, share)
            if one is None:
                raise NoCeiling(f"no card was measured at {share:.0%} of its power")
            out[phase] = min(out.get(phase, one), one, key=lambda f: f.value)
    return out


def _stages(deployment: Deployment) -> tuple[Stage, ...]:
    """One stage for cards of one kind; of unlike cards each with its share of llama.cpp's layers."""
    used = deployment.used_devices
    if len({(d.name, d.backend) for d in used}) <= 1:
        return (Stage(case=_case(deployment, used[0] if used else None, len(used))),)
    if deployment.split.kind != "layer" or deployment.runtime.id != "llama_cpp":
        raise NoCeiling("cards of different kinds have a speed model in a layer split of llama.cpp only")
    from plimsoll.runtimes.llama_cpp.placement import place

    count = len(deployment.model.layers)
    placed = place(deployment, count).layers
    cases = [(_case(deployment, d, len(used)), placed.count(d.id)) for d in used]
    if any(c.host_layers_count or c.host_expert_layers_count for c, _ in cases):
        raise NoCeiling("cards of different kinds with part of the model in host memory have no speed model")
    return tuple(Stage(case=case, share=layers / count) for case, layers in cases if layers)


def case_from(deployment: Deployment) -> SpeedCase:
    """The deployment's model and devices with their ceilings; raises NoCeiling where none is modelled."""
    return as_one(_stages(deployment))


def _case(deployment: Deployment, device: Device | None, count: int) -> SpeedCase:
    """The model on `count` devices like this one, or on the processor alone."""
    machine, offload = deployment.machine, deployment.offload
    work = work_in(deployment.model, deployment.runtime.id, deployment.weight_format)
    layers = len(work.layers)
    on_gpu = layers + 1 if offload.gpu_layers_count is None else offload.gpu_layers_count
    host = max(0, layers + 1 - on_gpu) if device else 0
    kv, host_rate = deployment.kv_format_k, machine.ram_bandwidth_bytes_per_s
    return SpeedCase(
        work=work, runtime=deployment.runtime.id, flavour="",
        era=era_of(deployment.runtime.id, deployment.runtime.version) if deployment.runtime.version else "",
        backend=(deployment.runtime.backend or device.backend) if device else "cpu",
        device=_chip(device) if device else "", architecture=architecture_of(device) if device else "cpu",
        bandwidth_bytes_per_s=(device.bandwidth_bytes_per_s if device else host_rate) or 0,
        flops_per_s=device.flops_per_s if device else {}, devices_count=max(count, 1),
        split=_split(deployment.split.kind, count),
        host=machine.name if not device else _host(machine), host_bytes_per_s=host_rate or 0,
        host_layers_count=min(host, layers),
        host_expert_layers_count=max(0, min(offload.cpu_expert_layers_count, layers) - host) if device else 0,
        kv_format=_KV_FORMATS.get(kv, kv), ubatch_tokens=int(deployment.settings.get("ubatch", 0)),
        is_unified=bool(device and device.is_unified),
    )  # fmt: skip


def _split(kind: SplitKind, count: int) -> str:
    """'tensor' where all cards work on one token at a time, 'layer' where one after the other does."""
    if count < 2:
        return "none"
    return "tensor" if kind in ("tensor", "expert") else "layer"


def _host(machine: Machine) -> str:
    """The host processor's name: what is left of the machine's when the cards are taken away."""
    parts = [p for p in machine.name.split(" + ") if not p.endswith("RAM")]
    return parts[-1] if len(parts) > 1 else ""


def _chip(device: Device) -> str:
    """The catalog id without the size of a shared memory, as measurements name it."""
    return re.sub(r"-\d+gb$", "", device.catalog_id) if device.is_unified else device.catalog_id
