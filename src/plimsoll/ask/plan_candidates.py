"""Every way to run one model on a machine that fits, with its predicted figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from plimsoll.ask.fit import FitQuestion, deploy, named_runtime, spelled
from plimsoll.ask.plan_losses import Losses
from plimsoll.ask.plan_question import PlanQuestion, asked_of, flags_of
from plimsoll.ask.plan_rules import Compatibilities
from plimsoll.ask.rig import Rig, rig_of
from plimsoll.ask.serving import load_for
from plimsoll.ask.timing import timed
from plimsoll.core import fit as core
from plimsoll.core import place
from plimsoll.core.fit import Judgement
from plimsoll.core.goals import Profile
from plimsoll.core.plan import never_better
from plimsoll.core.plan_figures import Timed, Timer, bound_by, figures
from plimsoll.core.plan_formats import kv_formats, nominal_bits, split_kinds, weight_formats, without_unit
from plimsoll.core.plan_serving import batch_figures, most_measured, turn_figures, turn_load
from plimsoll.core.remedy import offload_flags
from plimsoll.core.speed import NoCeiling
from plimsoll.domain.answer import ModelFacts
from plimsoll.domain.bill import Bill
from plimsoll.domain.deployment import Deployment, SplitKind
from plimsoll.domain.machine import Machine
from plimsoll.domain.model import Model
from plimsoll.domain.plan import Compatibility, Figure, Part
from plimsoll.domain.speed import Calibration, SpeedCase, Terms
from plimsoll.errors import PlimsollError
from plimsoll.formulas.weights import active_parameters_count, parameters_count
from plimsoll.runtimes import RUNTIMES

_LEAST_CONTEXT_TOKENS = 2048
# Not tried unless asked for: it is bound by Python, no model of its speed holds.
_NOT_TRIED = ("transformers",)
_WORTHWHILE_SHARE = 0.9
_UNPACKS = ("llama_cpp", "mlx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A part with what it was judged by."""

    part: Part
    deployment: Deployment
    judgement: Judgement


@dataclass(slots=True, kw_only=True)
class Search:
    """One model's search: what it is for, and what it saw on the way."""

    name: str
    model: Model
    machine: Machine
    question: PlanQuestion
    profile: Profile
    calibration: Calibration
    serving: Calibration
    context_tokens: int | None
    considered_count: int = 0
    judged_count: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    is_first: bool = True
    is_published_only: bool = False
    losses: Losses = field(init=False)
    rules: Compatibilities = field(init=False)
    parameters_count: int = field(init=False)
    active_parameters_count: int = field(init=False)

    def __post_init__(self) -> None:
        self.parameters_count = parameters_count(self.model.tensors)
        self.active_parameters_count = active_parameters_count(self.model.tensors, self.model.layers)
        self.losses = Losses(self.model, self.parameters_count)
        has_adapter = bool(self.question.adapters) and self.is_first
        self.rules = Compatibilities(self.model, self.machine, has_adapter=has_adapter)

    def leave_out(self, reason: str) -> None:
        """Count a way that was not tried or is refused, by its reason."""
        self.left_out[reason] = self.left_out.get(reason, 0) + 1


def candidates(search: Search, tried: Iterable[FitQuestion] | None = None) -> list[Candidate]:
    """All that fit of the ways `tried` (default: every one); the longest contexts where the goal asks for
    them, else the asked one.

    Raises what the first refused way raises where none could be judged at all: then the question is wrong.
    """
    found: list[Candidate] = []
    refused: list[PlimsollError] = []
    for asked in ways(search) if tried is None else tried:
        if found and _is_needless(search, asked, found[-1]):
            continue
        search.considered_count += 1
        try:
            candidate = _candidate(search, asked)
        except PlimsollError as error:
            search.leave_out(f"{spelled(asked.runtime)}: {error.message}")
            refused.append(error)
            continue
        if candidate:
            found.append(candidate)
    if refused and not search.judged_count:
        raise refused[0]
    kept = [c for c in found if _is_worthwhile(search, c, found)]
    parts = [c.part for c in kept]
    return [replace(c, part=never_better(c.part, parts)) for c in kept]


def _is_needless(search: Search, asked: FitQuestion, last: Candidate) -> bool:
    """A smaller cache for a batch whose whole one holds as many sequences as anybody measured."""
    if search.profile.sequences_count is not None or not asked.kv or search.question.kv:
        return False
    d = last.deployment
    same = (d.runtime.id, d.weight_format) == (asked.runtime.partition("==")[0], asked.weights)
    is_full = d.workload.parallel_sequences_count >= most_measured(d.runtime.id)
    return same and d.split.kind == (asked.split or d.split.kind) and is_full


def _is_worthwhile(search: Search, candidate: Candidate, found: list[Candidate]) -> bool:
    """Requantising a model that is published quantised must save a tenth of what its own weights take there.
    The format that only renames them (MXFP4 in a GGUF) is no requantising."""
    part, wanted = candidate.part, candidate.deployment.weight_format
    if search.question.weights or search.model.quantisation is None or "mxfp4" in wanted or not wanted:
        return True
    own = [
        c.part for c in found if not c.deployment.weight_format and c.part.model.runtime == part.model.runtime
    ]
    if own and part.bits_per_weight > _WORTHWHILE_SHARE * own[0].bits_per_weight:
        search.leave_out(f"{wanted} weights: hardly smaller than as published")
        return False
    return True


def ways(search: Search) -> Iterator[FitQuestion]:
    """Runtimes x weights x splits x caches, without what the machine cannot hold or has no unit for."""
    question, model, machine = search.question, search.model, search.machine
    name, version = named_runtime(question.runtime)
    pinned = f"=={version}" if version else ""
    runtimes = (name,) if name else tuple(r for r in RUNTIMES if r not in _NOT_TRIED)
    capacity = sum(d.memory_bytes for d in machine.devices) + (machine.ram_bytes or 0)
    count = search.parameters_count
    experts = any(layer.experts_count for layer in model.layers)
    is_deep = search.context_tokens is None
    for runtime in runtimes:
        for weights in _weights(search, runtime):
            if why := refusal(search, runtime + pinned, weights, ""):
                search.leave_out(why)
                continue
            is_choice = weights and not search.question.weights  # what was asked for, fit refuses by name
            if capacity and is_choice and 0.9 * nominal_bits(weights) * count / 8 > capacity:
                search.leave_out("weights larger than all memory")
                continue
            for split in (
                (question.split,) if question.split else split_kinds(runtime, machine, has_experts=experts)
            ):
                for kv in (question.kv,) if question.kv else kv_formats(runtime, is_deep=is_deep):
                    if kv and (why := refusal(search, runtime + pinned, weights, kv)):
                        search.leave_out(why)
                        continue
                    yield fit_question(search, runtime + pinned, weights, split, kv)


def refusal(search: Search, runtime: str, weights: str, kv: str) -> str:
    """Why the rules refuse a way, or, where they say nothing, the hardware has no unit for it; or ''."""
    found = search.rules.of(runtime, weights, kv)
    if found.outcome == "unsupported":
        return search.rules.refusal(runtime, weights, kv, found)
    is_asked = search.question.kv if kv else search.question.weights
    if found.outcome != "unknown" or is_asked or runtime.partition("==")[0] in _UNPACKS:
        return ""
    name = f"{kv} cache" if kv else f"{weights} weights"
    why = without_unit(kv or weights, search.machine)
    return f"{name}: {why}" if why else ""


def _weights(search: Search, runtime: str) -> tuple[str, ...]:
    if search.question.weights or search.is_published_only:
        return (search.question.weights,)
    return weight_formats(search.model, runtime)


def fit_question(search: Search, runtime: str, weights: str, split: SplitKind | None, kv: str) -> FitQuestion:
    """One way as a question to `fit`, at the search's context and sequences."""
    question = search.question
    tokens = search.context_tokens or _LEAST_CONTEXT_TOKENS
    return FitQuestion(
        models=(search.name,), on=question.on, runtime=runtime, weights=weights, kv=kv, context_tokens=tokens,
        parallel_sequences_count=search.profile.sequences_count or 1, split=split,
        vram_free_bytes=question.vram_free_bytes, ram_bytes=question.ram_bytes,
        desktop_bytes=question.desktop_bytes, adapters=question.adapters if search.is_first else (),
        offline=question.offline,
    )  # fmt: skip


def _candidate(search: Search, asked: FitQuestion) -> Candidate | None:
    """The way that a question describes, where it fits, if need be with weights in host memory."""
    deployment, _ = deploy(search.model, search.machine, asked)
    problems = core.problems_of([deployment])
    if problems:
        search.leave_out(problems[0])
        return None
    judgement = core.judge([deployment])
    search.judged_count += 1
    if judgement.verdict == "does_not_fit":
        placed = _offloaded(search, deployment, judgement.bill)
        if placed is None:
            return None
        deployment, judgement = placed
    if search.context_tokens is None:
        deployment = _longest(deployment)
    if search.profile.sequences_count is None:
        deployment = _most(deployment)
    if search.context_tokens is None or search.profile.sequences_count is None:
        judgement = core.judge([deployment])
    part = _part(search, asked, deployment, judgement)
    return Candidate(part=part, deployment=deployment, judgement=judgement)


def _offloaded(search: Search, deployment: Deployment, bill: Bill) -> tuple[Deployment, Judgement] | None:
    if not search.question.is_offload_allowed or not place.can_offload(deployment):
        return None
    if search.machine.ram_bytes is None:
        search.leave_out("weights in host memory: how much there is was not told (--ram 128GiB)")
        return None
    held = sum(line.size_bytes for line in bill.lines if line.component == "weights")
    if held > sum(d.memory_bytes for d in search.machine.devices) + search.machine.ram_bytes:
        search.leave_out("weights larger than all memory")
        return None
    return place.offload(deployment)


def _longest(deployment: Deployment) -> Deployment:
    """The longest context that fits at the high end of every size; where none does, at the stated sizes."""
    tokens = core.longest_context([deployment], core.certain_room) or core.longest_context([deployment])
    return core.with_context([deployment], tokens)[0] if tokens else deployment


def _most(deployment: Deployment) -> Deployment:
    """As many sequences as fit and anybody measured, at the high end of every size if that holds one."""
    limit = most_measured(deployment.runtime.id)

    def most(room: Callable[[list[Deployment]], int]) -> int | None:
        return core.largest(lambda n: room(core.with_sequences([deployment], n)), limit)

    return core.with_sequences([deployment], most(core.certain_room) or most(core.room) or 1)[0]


def _figures(search: Search, deployment: Deployment) -> dict[str, Figure]:
    """Of passes for one sequence, of a continuous batch for several."""
    try:
        rig = rig_of(deployment, calibration=search.calibration)
    except NoCeiling:
        return {}
    case, workload, profile = rig.case, deployment.workload, search.profile
    found = figures(
        case, search.calibration, context_tokens=workload.context_tokens,
        sequences_count=workload.parallel_sequences_count, prompt_tokens=profile.prompt_tokens,
        output_tokens=profile.output_tokens, time=_timer(rig, search.calibration),
    )  # fmt: skip
    is_batch = search.question.goal == "batch"
    if workload.parallel_sequences_count == 1 and not is_batch:
        return found
    serving = search.serving
    load = load_for(case, deployment, profile.prompt_tokens, profile.output_tokens)
    if is_batch:
        return {**found, **batch_figures(case, serving, load)}
    load = turn_load(load, context_tokens=workload.context_tokens, new_tokens=profile.prompt_tokens)
    return {**found, **turn_figures(case, serving, load)}


def _timer(rig: Rig, calibration: Calibration) -> Timer:
    """Times passes as `plimsoll speed` does."""

    def time(each: Callable[[SpeedCase], Terms]) -> Timed:
        found = timed(rig, each)
        return found.time, bound_by(found.terms, calibration)

    return time


def _part(search: Search, asked: FitQuestion, deployment: Deployment, judgement: Judgement) -> Part:
    model, workload, offload = deployment.model, deployment.workload, deployment.offload
    told = replace(
        asked, context_tokens=workload.context_tokens,
        parallel_sequences_count=workload.parallel_sequences_count, gpu_layers_count=offload.gpu_layers_count,
        cpu_expert_layers_count=offload.cpu_expert_layers_count or None,
    )  # fmt: skip
    held = sum(line.size_bytes for line in judgement.bill.lines if line.component == "weights")
    count = search.parameters_count
    found = _figures(search, deployment)
    rules = search.rules.of(asked.runtime, asked.weights, asked.kv)
    return Part(
        model=_facts(search, deployment), asked=asked_of(told), flags=flags_of(told),
        fingerprint=deployment.fingerprint, weight_format=deployment.weight_format or model.weight_format,
        kv_format=deployment.kv_format_k, split=deployment.split.kind,
        placement=offload_flags(deployment) if place.is_offloaded(deployment) else "",
        context_tokens=workload.context_tokens,
        sequences_count=workload.parallel_sequences_count, weights_bytes=held,
        bits_per_weight=8 * held / count,
        loss=search.losses.of_weights(deployment.weight_format),
        cache_loss=search.losses.of_cache(deployment.kv_format_k, deployment.kv_format_v),
        figures=found, load_seconds=_load_seconds(search.question, held),
        compatibility=rules, unchecked=_unchecked(search, deployment, rules), deployments=(deployment,),
    )  # fmt: skip


def _load_seconds(question: PlanQuestion, held: int) -> float | None:
    """Bytes of the weights / the disk's rate."""
    return held / question.disk_bytes_per_s if question.disk_bytes_per_s else None


def _facts(search: Search, deployment: Deployment) -> ModelFacts:
    model = deployment.model
    return ModelFacts(
        id=model.id, revision=model.revision, architecture=model.architecture,
        parameters_count=search.parameters_count, active_parameters_count=search.active_parameters_count,
        weight_format=deployment.weight_format or model.weight_format,
        trained_context_tokens=model.trained_context_tokens, runtime=deployment.runtime.id,
        runtime_version=deployment.runtime.version, fingerprint=deployment.fingerprint,
        unread_keys=model.unread_keys,
    )  # fmt: skip


def _unchecked(search: Search, deployment: Deployment, found: Compatibility) -> tuple[str, ...]:
    """What no rule says about this way, and whether a format that llama.cpp and MLX would convert to
    themselves is published for the others."""
    runtime, model = deployment.runtime.id, deployment.model
    weights = deployment.weight_format or model.weight_format
    out = [search.rules.unknown(runtime, weights)] if found.outcome == "unknown" else []
    if runtime not in _UNPACKS and deployment.weight_format not in ("", model.weight_format):
        out.append(f"whether somebody publishes {model.id} in {weights} was not checked")
    return tuple(out)
