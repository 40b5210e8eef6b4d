"""Every way to run a role on a machine: models x weight formats x sets of devices, with needs and speed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from plimsoll.ask import models
from plimsoll.ask.fit import FitQuestion, deploy, named_runtime, spelled
from plimsoll.ask.measured import NoCeiling
from plimsoll.ask.plan_rules import Compatibilities
from plimsoll.ask.rig import rig_of
from plimsoll.ask.timing import speeds_of
from plimsoll.catalog import embedders
from plimsoll.core import fit as core
from plimsoll.core import place
from plimsoll.core.plan_formats import nominal_bits, without_unit
from plimsoll.core.remedy import offload_flags
from plimsoll.domain.bill import HOST
from plimsoll.domain.deployment import Deployment
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.fleet import FleetRole, Way
from plimsoll.domain.machine import Device, Machine
from plimsoll.domain.model import Model
from plimsoll.errors import BadSetting, PlimsollError, UnknownModel
from plimsoll.runtimes import memory_of
from plimsoll.units import format_bytes, format_parameters

PUBLISHED = "published"
# Tried beside the published format where nobody named any.
_DEFAULT_WEIGHTS = ("q8_0", "q4_k_m")
_CLAIM = "gpu_memory_utilization"
# What share of a card these take when they are not alone on it is not modelled.
_ALONE_ONLY = ("sglang", "tensorrt_llm")
# Of the published bits per weight: what a format must stay under to be worth a try.
_WORTHWHILE_SHARE = 0.9
_EVERY_SUBSET_UP_TO = 4
# A way with weights in host memory comes after every format of its model that needs none.
_OFFLOADED = 50


@dataclass(slots=True, kw_only=True)
class Ways:
    """Finds ways and remembers what it loaded, and why ways were left out, by role."""

    offline: bool = False
    may_offload: bool = True
    is_timed: bool = True
    left_out: dict[str, dict[str, int]] = field(default_factory=dict)
    nearest_miss: dict[str, tuple[int, str]] = field(default_factory=dict)
    _models: dict[str, Model] = field(default_factory=dict)
    _rules: dict[tuple[str, str], Compatibilities] = field(default_factory=dict)
    _refused: dict[tuple[str, str], PlimsollError] = field(default_factory=dict)
    _judged: set[tuple[str, str]] = field(default_factory=set)

    def model(self, reference: str) -> Model:
        """A model of a role; UnknownModel says what else may be written."""
        if reference not in self._models:
            try:
                self._models[reference] = models.load(reference, offline=self.offline)
            except UnknownModel as error:
                if encoder := _encoder(reference):
                    raise encoder from error
                raise UnknownModel(
                    error.message, name=error.name, nearest=error.nearest,
                    hint=f'{error.hint}; or, of a model that no catalog knows, memory = "3GiB"',
                ) from error  # fmt: skip
        return self._models[reference]

    def quiet(self, *, may_offload: bool = True) -> Ways:
        """The same for what only must fit: no speeds, and other ways' reasons are not its own."""
        return Ways(
            offline=self.offline, may_offload=may_offload, is_timed=False, _models=self._models,
            _rules=self._rules,
        )  # fmt: skip

    def leave_out(self, role: str, reason: str) -> None:
        """Count a way that was not possible."""
        counts = self.left_out.setdefault(role, {})
        counts[reason] = counts.get(reason, 0) + 1

    def of(self, role: FleetRole, machine: Machine, name: str) -> list[Way]:
        """All ways of a role on a machine called `name` in the file."""
        if role.memory_bytes is not None:
            by_memory = list(_by_memory(role, machine, name))
            if not by_memory:
                self.leave_out(role.name, f"{name}: {format_bytes(role.memory_bytes)} are free nowhere")
            return by_memory
        for reference in role.models:
            self.model(reference)
        wanted = [
            (reference, weights, 100 * i + j)
            for i, reference in enumerate(role.models)
            for j, weights in enumerate(self.weights(role, reference))
        ]
        return [
            _moved(replace(first, rank=rank + _OFFLOADED * bool(first.offload)), machine, devices)
            for kind in subsets(machine, role)
            for reference, weights, rank in wanted
            for first in self._ways(role, machine, name, kind[0], reference, weights)
            for devices in kind
        ]

    def weights(self, role: FleetRole, reference: str) -> tuple[str, ...]:
        """The asked formats, or the published one and those that are clearly smaller."""
        if role.weights:
            return tuple("" if w == PUBLISHED else w.lower() for w in role.weights)
        published = self.model(reference).weight_format
        own = _WORTHWHILE_SHARE * nominal_bits(published)
        renamed = ("mxfp4_moe",) if published == "mxfp4" else ()
        return ("", *renamed, *(w for w in _DEFAULT_WEIGHTS if nominal_bits(w) < own))

    def _ways(
        self, role: FleetRole, machine: Machine, name: str, devices: Sequence[Device], reference: str,
        weights: str,
    ) -> list[Way]:  # fmt: skip
        """The way as it fits alone, if need be with weights in host memory; else nothing and a reason."""
        part = replace(machine, devices=tuple(devices))
        try:
            deployment = self._deployment(role, part, reference, weights)
            if not deployment:
                return []
            problems = core.problems_of([deployment])
            judgement = core.judge([deployment])
        except UnknownModel:
            raise
        except PlimsollError as error:
            self._refused.setdefault((role.name, weights), error)
            self.leave_out(role.name, f"{name}: {error.message}")
            return []
        self._judged.add((role.name, weights))
        if problems:
            self.leave_out(role.name, f"{name}: {problems[0]}")
            return []
        if judgement.verdict in ("fits", "tight"):
            return [way_of(role, name, deployment, is_timed=self.is_timed)]
        if judgement.verdict == "unknown":
            self.leave_out(role.name, f"{name}: how much host memory it has was not told")
            return []
        placed = _offloads(deployment) if self.may_offload else []
        if not placed:
            self._missed(role, name, deployment, judgement)
        return [way_of(role, name, d, is_timed=self.is_timed) for d in placed]

    def check(self, role: FleetRole) -> None:
        """Raise what was wrong with a format that could be judged on no machine: it is misspelt."""
        for (name, weights), error in self._refused.items():
            if name == role.name and (name, weights) not in self._judged:
                raise error

    def _deployment(self, role: FleetRole, part: Machine, reference: str, weights: str) -> Deployment | None:
        model = self.model(reference)
        runtime = role.runtime or place.natural_runtime(model, part, weights)[0]
        if not part.devices and named_runtime(runtime)[0] not in ("llama_cpp", "transformers"):
            self.leave_out(role.name, f"{spelled(runtime)} needs a card")
            return None
        if why := self._refusal(model, part, runtime, weights, role):
            self.leave_out(role.name, why)
            return None
        deployment, _ = deploy(model, part, question_of(role, reference, runtime, weights))
        return deployment

    def _refusal(self, model: Model, part: Machine, runtime: str, weights: str, role: FleetRole) -> str:
        """Why the rules refuse a way, or, where they say nothing, the hardware has no unit for it."""
        if not part.devices:
            return ""
        key = (model.id, part.devices[0].name)
        if key not in self._rules:
            self._rules[key] = Compatibilities(model, part, has_adapter=False)
        rules = self._rules[key]
        found = rules.of(runtime, weights, role.kv)
        if found.outcome == "unsupported":
            return rules.refusal(runtime, weights, role.kv, found)
        if found.outcome != "unknown" or named_runtime(runtime)[0] in ("llama_cpp", "mlx"):
            return ""
        why = without_unit(weights, part)
        return f"{weights} weights: {why}" if why else ""

    def _missed(self, role: FleetRole, name: str, deployment: Deployment, judgement: core.Judgement) -> None:
        """Remember the way that lacked least."""
        self.leave_out(role.name, f"{name}: does not fit alone")
        weights = deployment.weight_format or deployment.model.weight_format
        count = len(deployment.used_devices)
        where = f"{count} devices of {name}" if count > 1 else name
        told = f"{deployment.model.id} in {weights} lacks {format_bytes(judgement.missing_bytes)} on {where}"
        least = self.nearest_miss.get(role.name)
        if least is None or judgement.missing_bytes < least[0]:
            self.nearest_miss[role.name] = (judgement.missing_bytes, told)


def _encoder(reference: str) -> BadSetting | None:
    """What to say where the name is an embedder's: its weights are known, not what a process takes."""
    try:
        found = embedders.find(reference)
    except UnknownModel:
        return None
    weights = format_bytes(2 * found.parameters_count)
    return BadSetting(
        f"{found.id} turns text into vectors: what a process of it takes is not modelled",
        hint=f'memory = "..." instead of model: {format_parameters(found.parameters_count)} parameters are '
        f"{weights} in 16 bits, and a CUDA context and the activations of a batch come on top",
    )


def _offloads(deployment: Deployment) -> list[Deployment]:
    """With as little as possible in host memory, and of a model with experts with all of those there."""
    machine = deployment.machine
    if not place.can_offload(deployment) or machine.ram_bytes is None:
        return []
    lines = memory_of(deployment.runtime.id).lines(deployment)
    held = sum(x.size_bytes for x in lines if x.component == "weights")
    if held > sum(d.memory_bytes for d in machine.devices) + machine.ram_bytes:
        return []
    least = place.offload(deployment)
    layers = len(deployment.model.layers) if any(x.experts_count for x in deployment.model.layers) else 0
    most = replace(deployment, offload=replace(deployment.offload, cpu_expert_layers_count=layers))
    found = [least[0]] if least else []
    if layers and most not in found and core.judge([most]).verdict in ("fits", "tight"):
        found.append(most)
    return found


def question_of(role: FleetRole, reference: str, runtime: str, weights: str) -> FitQuestion:
    """The fit question of a role in one format; the runtime claims no more than it needs."""
    name = named_runtime(runtime)[0]
    claims = _CLAIM in memory_of(name).DEFAULTS if name else False
    return FitQuestion(
        models=(reference,), runtime=runtime, weights=weights, kv=role.kv, context_tokens=role.context_tokens,
        parallel_sequences_count=role.users, settings={_CLAIM: 1.0} if claims else {},
    )  # fmt: skip


def way_of(role: FleetRole, name: str, deployment: Deployment, *, is_timed: bool) -> Way:
    """The way that a deployment is: what it takes beside others, and, if timed, how fast it is alone."""
    needs, high, share = needs_of(deployment)
    speed, first, why = _speed(deployment, role) if is_timed else (None, None, "")
    trained = deployment.model.trained_context_tokens
    notes: tuple[str, ...] = ()
    if trained and role.context_tokens > trained:
        notes = (f"{deployment.model.id} was trained for {trained:,} tokens, not {role.context_tokens:,}",)
    return Way(
        role=role.name, machine=name, devices=tuple(d.id for d in _computing(deployment)),
        needs=needs, high_needs=high, model=deployment.model.id, runtime=deployment.runtime.id,
        weight_format=deployment.weight_format or deployment.model.weight_format,
        context_tokens=role.context_tokens, sequences_count=role.users, split=deployment.split.kind,
        offload=offload_flags(deployment) if place.is_offloaded(deployment) else "", claim_share=share,
        speed=speed, first_token=first, speed_reason=why, notes=notes,
        is_alone=role.is_alone or deployment.runtime.id in _ALONE_ONLY, deployments=(deployment,),
    )  # fmt: skip


def _computing(deployment: Deployment) -> tuple[Device, ...]:
    return deployment.used_devices if deployment.machine.devices else ()


def needs_of(deployment: Deployment) -> tuple[dict[str, int], dict[str, int], float | None]:
    """(bytes by place as stated, at the high ends, the claimed share of each card).

    A runtime that claims a share of the card is told the share that it needs at the high end, in whole
    hundredths as its flag is written, at most all that is free; it then holds that share whatever it needs.
    Where memory is unified, what the device holds is also held of host memory.
    """
    needs: dict[str, int] = {}
    high: dict[str, int] = {}
    for line in memory_of(deployment.runtime.id).lines(deployment):
        needs[line.device] = needs.get(line.device, 0) + line.size_bytes
        high[line.device] = high.get(line.device, 0) + line.high_bytes
    share = None
    devices = _computing(deployment)
    if devices and _CLAIM in memory_of(deployment.runtime.id).DEFAULTS:
        share = max(math.ceil(100 * high.get(d.id, 0) / d.memory_bytes) / 100 for d in devices)
        free = min(math.floor(100 * (1 - d.reserved_bytes / d.memory_bytes)) / 100 for d in devices)
        share = min(share, free)
        for d in devices:
            claimed = max(needs.get(d.id, 0), round(share * d.memory_bytes))
            needs[d.id] = high[d.id] = claimed
    unified = [d.id for d in devices if d.is_unified]
    for sizes in (needs, high):
        if unified:
            sizes[HOST] = sizes.get(HOST, 0) + sum(sizes.get(d, 0) for d in unified)
    return needs, high, share


def _speed(deployment: Deployment, role: FleetRole) -> tuple[Estimate | None, Estimate | None, str]:
    """(generation of each of its users, time to the first token, why one of them is not known)."""
    try:
        speeds, notes = speeds_of(rig_of(deployment), deployment, role.prompt_tokens)
    except NoCeiling as error:
        return None, None, str(error)
    told = {s.estimate.quantity: s.estimate for s in speeds}
    each = told.get("decode_per_sequence") or told.get("decode")
    missing = next((n for n in notes if n.startswith("no figure for the prompt")), "")
    return each, told.get("ttft"), missing


def subsets(machine: Machine, role: FleetRole) -> Iterator[list[tuple[Device, ...]]]:
    """Sets of devices in groups that are alike: of one card, of two, ..., and the processor alone.

    All sets of up to four alike cards; of more the blocks of 1, 2, 4, ... that lie side by side. Unlike cards
    are never mixed but all together.
    """
    if role.processor != "cpu":
        kinds = _kinds(machine.devices)
        for group in kinds:
            for size in _sizes(len(group)):
                yield list(_sets(group, size))
        if len(kinds) > 1:
            yield [machine.devices]
    has_choice = role.processor in ("any", "cpu") or not machine.devices
    is_apart = not any(d.is_unified for d in machine.devices)  # a processor has a memory of its own
    if role.processor != "gpu" and has_choice and is_apart and (not machine.devices or machine.ram_bytes):
        yield [()]


def _kinds(devices: Sequence[Device]) -> list[tuple[Device, ...]]:
    kinds: dict[tuple[object, ...], list[Device]] = {}
    for d in devices:
        kinds.setdefault((d.name, d.backend, d.memory_bytes, d.reserved_bytes), []).append(d)
    return [tuple(group) for group in kinds.values()]


def alike(devices: Sequence[Device]) -> list[tuple[str, ...]]:
    """Groups of devices that are free to change places: of those all sets are tried."""
    return [tuple(d.id for d in g) for g in _kinds(devices) if 1 < len(g) <= _EVERY_SUBSET_UP_TO]


def _sizes(count: int) -> list[int]:
    if count <= _EVERY_SUBSET_UP_TO:
        return list(range(1, count + 1))
    return sorted({*(2**n for n in range(count.bit_length()) if 2**n <= count), count})


def _sets(group: tuple[Device, ...], size: int) -> Iterator[tuple[Device, ...]]:
    if len(group) <= _EVERY_SUBSET_UP_TO:
        yield from itertools.combinations(group, size)
    else:
        yield from (group[i : i + size] for i in range(0, len(group) - size + 1, size))


def _moved(way: Way, machine: Machine, devices: tuple[Device, ...]) -> Way:
    """The same way on other devices of the same kind."""
    ids = tuple(d.id for d in devices)
    if ids == way.devices:
        return way
    to = dict(zip(way.devices, ids, strict=True))
    (old,) = way.deployments
    part = replace(machine, devices=devices)
    moved = replace(old, machine=part, split=replace(old.split, devices=ids))
    return replace(
        way, devices=ids, deployments=(moved,), needs={to.get(k, k): v for k, v in way.needs.items()},
        high_needs={to.get(k, k): v for k, v in way.high_needs.items()},
    )  # fmt: skip


def _by_memory(role: FleetRole, machine: Machine, name: str) -> Iterator[Way]:
    """Each device, and host memory, that such a memory fits on."""
    size = role.memory_bytes or 0
    for kind in subsets(machine, role):
        for devices in kind:
            if len(devices) > 1:
                continue
            where = devices[0].id if devices else HOST
            free = devices[0].memory_bytes - devices[0].reserved_bytes if devices else machine.ram_bytes
            if free is None or size > free:
                continue
            needs = {where: size, **({HOST: size} if devices and devices[0].is_unified else {})}
            yield Way(
                role=role.name, machine=name, devices=tuple(d.id for d in devices), needs=needs,
                high_needs=dict(needs), is_alone=role.is_alone, sequences_count=role.users,
                speed_reason="only its memory was told",
            )  # fmt: skip
