"""Does this model, in this format, with this context, fit my machine, and how much room is left?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from plimsoll import __version__
from plimsoll.ask import machine as machines
from plimsoll.ask import models
from plimsoll.core import fit as core
from plimsoll.core import place, remedy
from plimsoll.domain.answer import Answer, ModelFacts, Remedy, Verdict
from plimsoll.domain.bill import HOST
from plimsoll.domain.deployment import (
    Adapter,
    Deployment,
    Offload,
    Runtime,
    Setting,
    Split,
    SplitKind,
    Workload,
)
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.machine import Machine
from plimsoll.domain.model import Model
from plimsoll.errors import BadSetting, UnknownRuntime, choices_hint
from plimsoll.formulas.weights import active_parameters_count, parameters_count
from plimsoll.runtimes import RUNTIMES, formats_of, memory_of
from plimsoll.runtimes.settings import checked
from plimsoll.units import format_bytes, format_count

_DEFAULT_CONTEXT_TOKENS = 8192
_SERVES_ADAPTERS = ("llama_cpp", "vllm", "sglang", "transformers")
_VERSION = re.compile(r"^v?[0-9]+(\.[0-9]+)+((\.?(post|dev)|a|b|rc|\+|-)[0-9a-z.+-]*)?$|20[0-9]{2}-[0-9]{2}")
_RUNTIME_ALIASES = {
    "llamacpp": "llama_cpp", "llama": "llama_cpp", "ollama": "llama_cpp", "lm_studio": "llama_cpp",
    "koboldcpp": "llama_cpp", "trtllm": "tensorrt_llm", "trt_llm": "tensorrt_llm", "tensorrt": "tensorrt_llm",
    "exllamav3": "exllama", "exllamav2": "exllama", "hf": "transformers", "mlx_lm": "mlx",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class FitQuestion:
    """What was asked, as typed. Empty or None means: choose, and say what was chosen."""

    models: tuple[str, ...]
    on: str | None = None
    runtime: str = ""
    weights: str = ""
    kv: str = ""
    context_tokens: int | None = None
    parallel_sequences_count: int = 1
    vram_free_bytes: int | None = None
    ram_bytes: int | None = None
    desktop_bytes: int | None = None
    split: SplitKind | None = None
    gpu_layers_count: int | None = None
    cpu_expert_layers_count: int | None = None
    overrides: tuple[tuple[str, str], ...] = ()
    settings: Mapping[str, Setting] = field(default_factory=dict)
    adapters: tuple[str, ...] = ()
    offline: bool = False


def fit(question: FitQuestion) -> Answer:
    """Answer a FitQuestion; errors are typed (`plimsoll.errors`), 'no' and 'unknown' are answers."""
    found = judged(question)
    if len(found.deployments) != 1 or found.verdict == "does_not_fit":
        return found
    from plimsoll.ask.timing import expected

    speed, reason = expected(found.deployments[0])
    return replace(found, speed=speed, speed_reason=reason)


def judged(question: FitQuestion) -> Answer:
    """The answer of `fit` without the expected speed."""
    machine = machines.resolve(
        question.on,
        vram_free_bytes=question.vram_free_bytes,
        ram_bytes=question.ram_bytes,
        desktop_bytes=question.desktop_bytes,
    )
    notes: list[str] = []
    deployments = []
    for model in _numbered([models.load(name, offline=question.offline) for name in question.models]):
        deployment, why = deploy(model, machine, question)
        notes += why
        deployments.append(deployment)
    deployments = _shared_memory(deployments)
    return answer(question, deployments, notes)


def answer(question: FitQuestion, deployments: Sequence[Deployment], notes: Sequence[str] = ()) -> Answer:
    """Judge ready deployments and collect everything worth saying about them."""
    problems = core.problems_of(deployments)
    judgement = core.judge(deployments)
    verdict, reason = judgement.verdict, judgement.reason
    placement: tuple[str, ...] = ()
    placed = list(deployments)
    fixes: tuple[Remedy, ...] = ()
    if problems:
        verdict, reason = "does_not_fit", "; ".join(problems)
    elif len(placed) == 1 and verdict == "does_not_fit" and place.can_offload(placed[0]):
        offloaded = place.offload(placed[0])
        if offloaded:
            placed, judgement, verdict = [offloaded[0]], offloaded[1], "offload"
            reason = "part of the weights stays in host memory"
            placement = (remedy.offload_flags(placed[0]),)
    elif verdict in ("fits", "tight") and any(map(place.is_offloaded, placed)):
        verdict = "offload"
    notes = [*notes, *_notes(placed), *(() if problems else _idle(deployments))]
    is_offload = verdict == "offload"
    if is_offload and placed[0].machine.ram_bytes is None:
        verdict, reason = "unknown", "it fits if host memory holds the rest; how much there is was not told"
    if verdict == "does_not_fit" or placement:
        fixes = remedy.remedies(deployments, is_avoiding=bool(placement))
    if is_offload and verdict == "unknown":
        fixes = (*remedy.told_host_memory(placed), *fixes)
    possible = (verdict in ("fits", "tight") or is_offload) and not problems
    return Answer(
        question="fit", asked=_asked(question), verdict=verdict, reason=reason,
        missing_bytes=judgement.missing_bytes if verdict == "does_not_fit" else 0,
        headroom_bytes=judgement.headroom_bytes, bill=judgement.bill,
        model=tuple(_facts(d) for d in placed), machine=placed[0].machine.name,
        max_context_tokens=core.longest_context(placed) if not problems else None,
        max_parallel_sequences=core.most_sequences(placed) if possible else None,
        placement=placement, remedies=fixes,
        estimates=_estimates(placed) if not problems else (),
        notes=tuple(dict.fromkeys(notes)), unknowns=_unknowns(placed, verdict, judgement),
        sources=tuple(dict.fromkeys(s for d in placed for s in (*d.model.sources, *d.machine.sources))),
        versions=_versions(placed), deployments=tuple(placed),
    )  # fmt: skip


def deploy(model: Model, machine: Machine, question: FitQuestion) -> tuple[Deployment, list[str]]:
    """The deployment that was asked for, and what was chosen where nothing was said."""
    notes = []
    runtime_id, version = named_runtime(question.runtime)
    offload = Offload(
        gpu_layers_count=question.gpu_layers_count,
        cpu_expert_layers_count=question.cpu_expert_layers_count or 0, overrides=question.overrides,
    )  # fmt: skip
    if not runtime_id:
        runtime_id, why = place.natural_runtime(model, machine, question.weights, offload)
        others = place.other_runtimes(runtime_id, model, machine, question.weights)
        named = f"; others: --runtime {', '.join(map(spelled, others))}" if others else ""
        notes.append(f"runtime: {spelled(runtime_id)}, because {why}{named}")
    context = question.context_tokens
    if context is None:
        context = min(model.trained_context_tokens or _DEFAULT_CONTEXT_TOKENS, _DEFAULT_CONTEXT_TOKENS)
        notes.append(f"context: {format_count(context)} tokens, because none was asked for (--context N)")
    kv_k, kv_v = _kv_formats(question.kv, runtime_id)
    _check_offload(offload, runtime_id)
    runtime = memory_of(runtime_id)
    limits = getattr(runtime, "LIMITS", {})
    deployment = Deployment(
        model=model, machine=machine, runtime=Runtime(id=runtime_id, version=version),
        workload=Workload(context_tokens=context, parallel_sequences_count=question.parallel_sequences_count),
        weight_format=question.weights.lower(), kv_format_k=kv_k, kv_format_v=kv_v,
        split=_split(question.split, model, machine, runtime_id), offload=offload,
        adapters=_adapters(question, runtime_id),
        settings=checked(question.settings, runtime.DEFAULTS, limits, runtime=spelled(runtime_id)),
    )  # fmt: skip
    deployment = place.natural_split(deployment)
    if question.split is None and len(machine.devices) > 1:
        chosen = deployment.split.kind
        ways = ", ".join(s for s in place.splits_of(runtime_id) if s != chosen)
        notes.append(f"split over {len(machine.devices)} devices: {chosen}; others: --split {ways}")
    return deployment, notes


def _adapters(question: FitQuestion, runtime_id: str) -> tuple[Adapter, ...]:
    """The adapters at the paths that were given, as this runtime keeps them."""
    if not question.adapters:
        return ()
    from plimsoll.ask import adapter_files
    from plimsoll.core.adapter_uses import served

    if runtime_id not in _SERVES_ADAPTERS:
        raise BadSetting(
            f"what {spelled(runtime_id)} keeps of an adapter is not known",
            hint=f"--runtime {'|'.join(map(spelled, _SERVES_ADAPTERS))}",
        )
    if len(question.models) > 1:
        raise BadSetting("whose adapter is it, of several models?", hint="ask about one model at a time")
    return tuple(served(adapter_files.load(path), runtime_id) for path in question.adapters)


def named_runtime(text: str) -> tuple[str, str]:
    """'vllm==0.33' -> ('vllm', '0.33'); 'llama.cpp' -> ('llama_cpp', '')."""
    name, _, version = text.partition("==")
    key = name.strip().lower().replace("-", "_").replace(".", "_")
    key = _RUNTIME_ALIASES.get(key, key)
    if key and key not in RUNTIMES:
        raise UnknownRuntime(
            f"there is no runtime {name!r}", name=name, nearest=tuple(spelled(r) for r in RUNTIMES),
            hint=choices_hint(name, map(spelled, RUNTIMES)),
        )  # fmt: skip
    version = version.strip()
    if key != "llama_cpp" and version and not _VERSION.search(version):
        raise BadSetting(
            f"{version!r} is not a version of {spelled(key) or 'a runtime'}",
            hint=f"such as {name.strip() or 'vllm'}==0.33, or a month such as 2026-05",
        )
    return key, version


def spelled(runtime_id: str) -> str:
    """A runtime's name as its users write it."""
    return {"llama_cpp": "llama.cpp", "tensorrt_llm": "tensorrt-llm"}.get(runtime_id, runtime_id)


def _check_offload(offload: Offload, runtime_id: str) -> None:
    if offload != Offload() and runtime_id != "llama_cpp":
        raise BadSetting(
            f"{spelled(runtime_id)} has no --gpu-layers, --n-cpu-moe, --override-tensor (llama.cpp's)",
            hint="leave them out, or ask for --runtime llama.cpp",
        )


def _split(kind: SplitKind | None, model: Model, machine: Machine, runtime_id: str) -> Split:
    """The asked split; 'none' is the first device alone, and None leaves the choice to `natural_split`."""
    ways = place.splits_of(runtime_id)
    if kind and kind not in ways:
        raise BadSetting(
            f"{spelled(runtime_id)} has no {kind} split that is modelled", hint=f"--split {'|'.join(ways)}"
        )
    if kind == "expert" and not any(layer.experts_count for layer in model.layers):
        raise BadSetting(f"{model.id} has no experts to split", hint="--split tensor")
    if not machine.devices:
        return Split()  # nothing to share it; the verdict says what the runtime needs
    if kind == "none":
        return Split(devices=tuple(d.id for d in machine.devices[:1]))
    return Split(kind=kind or "none")


def _kv_formats(text: str, runtime_id: str) -> tuple[str, str]:
    """'q8_0' for both, 'q8_0/q4_0' for K and V."""
    formats = formats_of(runtime_id)
    k, _, v = text.lower().partition("/")
    k = k or formats.NATURAL_KV
    v = v or k
    for name in (k, v):
        if name not in formats.KV_FORMATS:
            raise BadSetting(
                f"{spelled(runtime_id)} has no KV format {name!r}",
                hint=choices_hint(name, formats.KV_FORMATS, "--kv"),
            )
    return k, v


def _numbered(loaded: Sequence[Model]) -> list[Model]:
    """The same model twice gets '#2' on its id, so that its lines can be told apart."""
    seen: dict[str, int] = {}
    out = []
    for model in loaded:
        seen[model.id] = seen.get(model.id, 0) + 1
        out.append(model if seen[model.id] == 1 else replace(model, id=f"{model.id} #{seen[model.id]}"))
    return out


def _shared_memory(deployments: list[Deployment]) -> list[Deployment]:
    """Several engines that each claim a share of the card must not each claim the default share."""
    if len(deployments) < 2:
        return deployments
    shared = []
    for d in deployments:
        claims = [
            k
            for k in ("gpu_memory_utilization", "mem_fraction_static")
            if k in memory_of(d.runtime.id).DEFAULTS
        ]
        settings = {**{k: 1.0 for k in claims}, **d.settings}
        shared.append(replace(d, settings=settings) if claims else d)
    return shared


def _estimates(deployments: Sequence[Deployment]) -> tuple[Estimate, ...]:
    """What the runtime's log will print; nothing where several engines share a card by an unknown rule."""
    if len(deployments) > 1:
        return ()
    found: tuple[Estimate, ...] = memory_of(deployments[0].runtime.id).estimates(deployments[0])
    return found


def _idle(deployments: Sequence[Deployment]) -> list[str]:
    """Offload flags that change nothing, and an offload that is not needed."""
    notes = [f"{d.model.id}: {flag} changes nothing" for d in deployments for flag in place.idle_flags(d)]
    if any(map(place.is_offloaded, deployments)):
        without = [replace(d, offload=Offload()) for d in deployments]
        if not core.problems_of(without) and core.judge(without).verdict in ("fits", "tight"):
            notes.append("everything fits on the devices without keeping weights in host memory")
    return notes


def _asked(question: FitQuestion) -> dict[str, object]:
    names = question.__slots__
    values = {name: getattr(question, name) for name in names}
    return {
        k: (dict(v) if isinstance(v, Mapping) else v)
        for k, v in values.items()
        if v not in (None, "", (), {})
    }


def _versions(deployments: Sequence[Deployment]) -> dict[str, str]:
    """Of the program, of each runtime as asked, and of the source in which its rules were read."""
    versions = {"plimsoll": __version__}
    for d in deployments:
        name = spelled(d.runtime.id)
        versions[name] = d.runtime.version or "newest known"
        versions[f"{name} rules read in"] = formats_of(d.runtime.id).RULES_OF
    return versions


def _facts(deployment: Deployment) -> ModelFacts:
    model = deployment.model
    return ModelFacts(
        id=model.id, revision=model.revision, architecture=model.architecture,
        parameters_count=parameters_count(model.tensors),
        active_parameters_count=active_parameters_count(model.tensors, model.layers),
        weight_format=deployment.weight_format or model.weight_format,
        trained_context_tokens=model.trained_context_tokens, runtime=deployment.runtime.id,
        runtime_version=deployment.runtime.version, fingerprint=deployment.fingerprint,
        unread_keys=model.unread_keys,
    )  # fmt: skip


def _notes(deployments: Sequence[Deployment]) -> list[str]:
    notes: list[str] = []
    for d in deployments:
        trained, asked = d.model.trained_context_tokens, d.workload.context_tokens
        if trained and asked > trained:
            notes.append(
                f"{d.model.id}: native context is {format_count(trained)}; {format_count(asked)} needs an "
                f"extension such as YaRN with factor {asked / trained:.3g}; answers may get worse"
            )
        rope = d.model.rope
        if (
            rope
            and rope.kind == "yarn"
            and rope.original_context_tokens
            and trained
            and trained > rope.original_context_tokens
        ):
            notes.append(
                f"{d.model.id}: its {format_count(trained)} tokens of context are YaRN over "
                f"{format_count(rope.original_context_tokens)} native ones, as published"
            )
        notes += d.model.notes
        if d.model.unread_keys:
            notes.append(f"{d.model.id}: config keys that nobody read: {', '.join(d.model.unread_keys)}")
    if len(deployments) > 1:
        notes += [_claim(d) for d in deployments if "gpu_memory_utilization" in d.settings]
    notes += deployments[0].machine.notes
    return notes


def _claim(deployment: Deployment) -> str:
    """The share of the fullest card that one of several vLLMs must be told to claim."""
    lines = memory_of(deployment.runtime.id).lines(deployment)
    shares = [
        sum(x.high_bytes for x in lines if x.device == d.id) / d.memory_bytes
        for d in deployment.machine.devices
    ]
    return f"{deployment.model.id}: give it at least --gpu-memory-utilization {max(shares):.2f}"


def _unknowns(
    deployments: Sequence[Deployment], verdict: Verdict, judgement: core.Judgement
) -> tuple[str, ...]:
    unknowns = []
    host = next((t for t in judgement.bill.devices if t.id == HOST), None)
    if host and deployments[0].machine.ram_bytes is None and host.used_bytes > 2**30:
        unknowns.append(
            f"host memory was not told: {format_bytes(host.used_bytes)} are needed there (--ram 128GiB)"
        )
    if verdict == "unknown" and not unknowns:
        unknowns.append(judgement.reason)
    return tuple(unknowns)
