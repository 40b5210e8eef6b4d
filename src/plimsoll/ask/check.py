"""Will this model, in this format, run on this machine with this runtime, version, driver, adapter?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache

from plimsoll import __version__
from plimsoll.ask import machine as machines
from plimsoll.ask import models
from plimsoll.catalog import releases as release_lists
from plimsoll.catalog import rules as rule_files
from plimsoll.catalog import sources, stacks
from plimsoll.catalog.releases import Release, Releases
from plimsoll.core import check as core
from plimsoll.domain.check import Alternative, CheckAnswer
from plimsoll.domain.machine import Machine
from plimsoll.domain.model import Model
from plimsoll.domain.rule import Aspect, Outcome, Situation, Verdict
from plimsoll.errors import AmbiguousName, BadSetting, UsageError
from plimsoll.runtimes.llama_cpp.names import ARCHITECTURES

_SYSTEMS = {
    "ubuntu": "linux", "debian": "linux", "fedora": "linux", "rhel": "linux", "arch": "linux",
    "linux": "linux", "wsl": "wsl", "windows": "windows", "macos": "macos", "mac": "macos",
}  # fmt: skip
# Formats a person would try next, best kept first; a runtime answers only for those it knows.
_FORMATS = ("bf16", "fp8", "nvfp4", "mxfp4", "int8", "awq", "gptq", "w4a16", "q8_0", "q6_k", "q5_k", "q4_k",
            "exl3", "mlx-8bit", "mlx-4bit")  # fmt: skip
_MOST_OF_A_KIND = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckQuestion:
    """What was asked, as typed; '' means: not told."""

    model: str = ""
    on: str | None = None
    runtime: str = ""
    weights: str = ""
    kv: str = ""
    lora: str = ""
    ui: str = ""
    driver: str = ""
    cuda: str = ""
    os: str = ""
    backend: str = ""
    features: tuple[str, ...] = ()
    offline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question in the words of the rules, with the things it was made from."""

    situation: Situation
    aspects: tuple[Aspect, ...]
    model: Model
    machine: Machine
    releases: Releases
    release: Release
    notes: tuple[str, ...]
    is_cuda_told: bool = False


def check(question: CheckQuestion) -> CheckAnswer:
    """Answer a CheckQuestion; 'no' and 'unknown' are answers, what cannot be meant is a UsageError."""
    asked = _understood(question)
    rules = known_rules()
    verdicts = [core.verdict(rules, asked.situation, aspect) for aspect in asked.aspects]
    verdicts += [_feature(rules, asked.situation, name) for name in question.features]
    if question.lora:
        verdicts = [_with_adapter(v, question, asked) if v.aspect == "lora" else v for v in verdicts]
    if question.ui:
        from plimsoll.ask.check_ui import ui_verdict

        verdicts = [ui_verdict(question.ui, asked.situation) if v.aspect == "ui" else v for v in verdicts]
    outcome = core.overall(verdicts)
    references = dict.fromkeys(source for v in verdicts for source in v.sources)
    return CheckAnswer(
        question="check", asked=_typed(question), outcome=outcome, reason=_reason(verdicts, outcome),
        model=asked.model.id, machine=asked.machine.name, hardware=_title(asked.situation.hardware),
        runtime=asked.releases.name, version=asked.release.version, weights=asked.situation.weights,
        verdicts=tuple(verdicts),
        alternatives=_alternatives(rules, asked, outcome) if outcome not in ("native", "supported") else (),
        notes=asked.notes, oldest_check=min((v.checked_on for v in verdicts if v.checked_on), default=""),
        sources=sources.load_all(references),
        versions={"plimsoll": __version__, asked.releases.name: asked.release.version},
    )  # fmt: skip


@cache
def known_rules() -> core.Rules:
    """All rules of the catalog, ready to be asked."""
    formats = rule_files.vocabulary()["formats"]
    return core.Rules(rule_files.load(), {name: facts.get("computes", "") for name, facts in formats.items()})


def _feature(rules: core.Rules, asked: Situation, name: str) -> Verdict:
    """The verdict about one thing that was asked for with --with."""
    made = core.verdict(rules, replace(asked, features=frozenset({name})), "features")
    return replace(made, note=f"{name}: {made.note}")


def _understood(question: CheckQuestion) -> Asked:
    """The question in the words of the rules; raises UsageError for what cannot be meant."""
    if not question.model:
        raise UsageError("no model is named", hint="plimsoll check MODEL --on MACHINE, or check --matrix")
    model = models.load(question.model, offline=question.offline)
    machine, notes = machine_of(question.on)
    name, _, version = question.runtime.partition("==")
    if name:
        releases = release_lists.find(name)
        if releases.kind != "engine":
            raise BadSetting(
                f"{releases.name} is a library, not a runtime", hint="--runtime vllm, llama.cpp, ..."
            )
    else:
        from plimsoll.core import place  # 40 ms to import

        chosen, why = place.natural_runtime(model, machine, question.weights)
        releases = release_lists.find(chosen)
        notes.append(f"runtime: {releases.name}, because {why}; another: --runtime NAME")
    release = release_lists.release_of(releases, version)
    weights = _weights(question.weights or published_format(model), question.weights)
    hardware, backend = hardware_of(machine, question.backend)
    if not hardware:
        notes.append(f"no rule names the hardware of {machine.name}: {_devices(machine)}")
    notes += [release.note] if release.note else []
    notes.append("whether it fits in memory is another question: plimsoll fit")
    situation = Situation(
        runtime=releases.id, release=release.place, weights=weights,
        kv=_kv(question.kv), hardware=hardware, backend=backend,
        models=frozenset(names_of(model.architecture)), features=features_of(model, question),
        system=_system(question.os or machine.os),
        driver=dotted(question.driver or machine.driver, "--driver"),
        cuda=dotted(question.cuda, "--cuda") or stacks.cuda_of(releases.id, release.version),
    )  # fmt: skip
    _refuse_contradictions(question, situation)
    _refuse_unknown_features(question.features)
    return Asked(
        situation=situation, aspects=_aspects(question, situation), model=model, machine=machine,
        releases=releases, release=release, notes=tuple(notes), is_cuda_told=bool(question.cuda),
    )  # fmt: skip


def machine_of(text: str | None) -> tuple[Machine, list[str]]:
    """The machine that is meant; several memory sizes of the same hardware are one answer here."""
    try:
        return machines.resolve(text), []
    except AmbiguousName as error:
        found = [machines.resolve(name) for name in error.nearest]
        if not found or len({hardware_of(machine, "") for machine in found}) > 1:
            raise
        return found[0], [f"{text} is sold in several variants; for this question they are the same"]


def hardware_of(machine: Machine, backend: str) -> tuple[str, str]:
    """The vocabulary's name of what runs the model, and the runtime's backend for it.

    Raises BadSetting for a machine with several kinds of devices: rules are about one.
    """
    if not machine.devices:
        return rule_files.host_hardware(machine.name), backend or "cpu"
    names = {rule_files.hardware_of(device) for device in machine.devices}
    if len(names) > 1:
        kinds = ", ".join(sorted({device.name for device in machine.devices}))
        raise BadSetting(f"this machine has different devices: {kinds}", hint="ask about one of them")
    return names.pop(), backend.lower() or machine.devices[0].backend


def names_of(architecture: str) -> set[str]:
    """All names of a model's architecture, in lower case: model_type, class, GGUF name."""
    known = rule_files.architectures()
    kinds = [architecture, *(kind for kind, gguf in ARCHITECTURES.items() if gguf == architecture)]
    found = set(kinds)
    for kind in kinds:
        found |= set(known.get(kind, ()))
        found |= {ARCHITECTURES[kind]} if kind in ARCHITECTURES else set()
    return {name.lower() for name in found}


def published_format(model: Model) -> str:
    """The format of the checkpoint as the rules call it: the method of its quantisation, else its type."""
    method = model.quantisation.method if model.quantisation else ""
    return method if rule_files.format_of(method) else model.weight_format


def features_of(model: Model, question: CheckQuestion | None = None) -> frozenset[str]:
    """What the model and the question bring along, in the words of the rules."""
    layers = model.layers
    kinds = {layer.attention for layer in layers}
    found = {
        "sinks": any(layer.has_sinks for layer in layers), "latent-attention": "latent" in kinds,
        "sparse-attention": any(layer.indexer_dim for layer in layers),
        "sliding-window": bool({"sliding", "chunked"} & kinds),
        "linear-attention": any(layer.state for layer in layers),
        "moe": any(layer.experts_count for layer in layers),
        "vision": any(tensor.role == "vision" for tensor in model.tensors),
        "lora": bool(question and question.lora),
    }  # fmt: skip
    if question and question.lora:
        from plimsoll.ask import adapter_files

        tensors = adapter_files.load(question.lora).tensors
        found["lora-experts"] = any("expert" in tensor.module for tensor in tensors)
        found["lora-whole-modules"] = any(tensor.part == "whole" for tensor in tensors)
        found["lora-new-tokens"] = any(tensor.is_embedding for tensor in tensors)
    return frozenset(name for name, is_there in found.items() if is_there)


def _aspects(question: CheckQuestion, asked: Situation) -> tuple[Aspect, ...]:
    """Which aspects the question has."""
    wanted: dict[Aspect, bool] = {
        "device": True, "weights": True, "kv": bool(question.kv), "attention": True,
        "moe": "moe" in asked.features, "model": True, "lora": bool(question.lora), "tools": True,
        "stack": True, "ui": bool(question.ui), "os": bool(question.os),
    }  # fmt: skip
    return tuple(aspect for aspect, is_asked in wanted.items() if is_asked)


def _weights(spelling: str, typed: str) -> str:
    found = rule_files.format_of(spelling)
    if found:
        return found
    if not typed:
        return ""
    from difflib import get_close_matches

    near = get_close_matches(typed.lower(), rule_files.vocabulary()["formats"], n=3, cutoff=0.5)
    raise BadSetting(
        f"no rule knows a weight format {typed!r}",
        hint=f"did you mean {' or '.join(near)}?" if near else "such as bf16, fp8, nvfp4, awq, q4_k_m",
    )


def _kv(typed: str) -> str:
    if not typed or typed.lower() in ("auto", "default"):
        return ""
    keys, _, values = typed.partition("/")
    if values and rule_files.format_of(keys) != rule_files.format_of(values):
        raise BadSetting(f"--kv {typed}: no rule is about K and V apart", hint=f"ask about --kv {keys}")
    typed = keys
    found = rule_files.format_of(typed)
    if not found:
        raise BadSetting(f"no rule knows a KV format {typed!r}", hint="such as fp8, fp8_e5m2, q8_0, q4_0")
    return found


def _system(text: str) -> str:
    """'ubuntu-24.04' -> 'linux'; '' when not told or not known."""
    word = text.lower().replace("_", "-").split("-")[0].split(" ")[0].rstrip("0123456789.")
    return _SYSTEMS.get(word, "")


def dotted(text: str, option: str) -> tuple[int, ...] | None:
    """A dotted number as it is compared; None when not told; raises BadSetting naming the option."""
    if not text:
        return None
    try:
        return tuple(int(part) for part in text.split("."))
    except ValueError as error:
        raise BadSetting(f"{option} {text!r} is not a version", hint=f"such as {option} 580.95") from error


def _refuse_contradictions(question: CheckQuestion, asked: Situation) -> None:
    """What cannot be meant together is a wrong question, not an answer."""
    facts = rule_files.vocabulary()["hardware"].get(asked.hardware, {})
    vendor = facts.get("vendor", "")
    backends = rule_files.vocabulary()["backends"]
    if question.backend and question.backend.lower() not in backends:
        raise BadSetting(
            f"no rule knows a backend {question.backend!r}", hint=f"one of {', '.join(backends)}"
        )
    if question.cuda and vendor and vendor != "nvidia":
        raise BadSetting(
            f"--cuda {question.cuda}: {_title(asked.hardware)} has no CUDA", hint="leave --cuda out"
        )
    owners = {"rocm": "amd", "cuda": "nvidia", "metal": "apple", "cann": "huawei", "hexagon": "qualcomm"}
    if question.backend and vendor and owners.get(asked.backend, vendor) != vendor:
        raise BadSetting(
            f"--backend {asked.backend}: {_title(asked.hardware)} has none", hint="leave --backend out"
        )
    if asked.system == "macos" and vendor == "nvidia":
        raise BadSetting(
            "macOS has no driver for NVIDIA cards of today", hint="--os ubuntu-24.04 or windows-11"
        )


def _refuse_unknown_features(names: Sequence[str]) -> None:
    asked = [name for name, facts in rule_files.vocabulary()["features"].items() if facts.get("is_asked")]
    for name in names:
        if name not in asked:
            raise BadSetting(f"no rule knows a feature {name!r}", hint=f"--with one of {', '.join(asked)}")


def _with_adapter(verdict: Verdict, question: CheckQuestion, asked: Asked) -> Verdict:
    """The rules' verdict about adapters, and what the adapter's own tensors say about the model."""
    from plimsoll.ask.adapter import AdapterQuestion, adapter

    answer = adapter(AdapterQuestion(path=question.lora, model=question.model, offline=question.offline))
    if answer.check is None:
        return verdict
    own = answer.check
    if own.verdict in ("works", "partly"):
        return replace(verdict, note=f"{verdict.note} Its tensors: {own.reason}".strip())
    return replace(verdict, outcome="unsupported", note=f"{own.reason}.".replace("..", "."))


def _alternatives(rules: core.Rules, asked: Asked, outcome: Outcome) -> tuple[Alternative, ...]:
    """Single changes that make it work, or work better: the best few of version, runtime and format."""
    found: list[Alternative] = []
    for kind in (_other_versions, _other_toolkits, _other_runtimes, _other_formats):
        better = [a for a in kind(rules, asked) if core.works(a.outcome)]
        better = [a for a in better if core.ORDER.index(a.outcome) > core.ORDER.index(outcome)]
        better.sort(key=lambda a: -core.ORDER.index(a.outcome))
        found += better[:_MOST_OF_A_KIND]
    return tuple(found)


def _other_versions(rules: core.Rules, asked: Asked) -> Iterable[Alternative]:
    """The lowest release of the same runtime from which on it works."""
    newest = release_lists.release_of(asked.releases, "").place[0]

    def at(place: int) -> Situation:
        cuda = asked.situation.cuda
        if not asked.is_cuda_told:
            cuda = stacks.cuda_of(asked.releases.id, asked.releases.version_at(place))
        return replace(asked.situation, release=(place,), cuda=cuda)

    found = core.lowest_release(rules, at, asked.aspects, newest)
    if found is None or asked.situation.release == (found[0],):
        return
    name, version = asked.releases.name, asked.releases.version_at(found[0])
    yield Alternative(
        change=f"{name} {version} or newer",
        flags=f"--runtime {asked.releases.id}=={version}",
        outcome=found[1],
    )


def _other_toolkits(rules: core.Rules, asked: Asked) -> Iterable[Alternative]:
    """The same release with wheels for an older CUDA, where the driver is too old for its own."""
    if asked.situation.driver is None or asked.is_cuda_told:
        return
    for cuda in ((12, 9), (12, 8)):
        outcome = core.answer_of(rules, replace(asked.situation, cuda=cuda), asked.aspects)
        spelled = ".".join(map(str, cuda))
        yield Alternative(change=f"wheels for CUDA {spelled}", flags=f"--cuda {spelled}", outcome=outcome)


def _other_formats(rules: core.Rules, asked: Asked) -> Iterable[Alternative]:
    for name in _FORMATS:
        if name != asked.situation.weights:
            outcome = core.answer_of(rules, replace(asked.situation, weights=name), asked.aspects)
            yield Alternative(change=f"weights in {name}", flags=f"--weights {name}", outcome=outcome)


def _other_runtimes(rules: core.Rules, asked: Asked) -> Iterable[Alternative]:
    """The same format on the newest release of another engine."""
    for releases in release_lists.load_all().values():
        if releases.kind != "engine" or releases.id == asked.releases.id:
            continue
        newest = release_lists.release_of(releases, "")
        situation = replace(
            asked.situation, runtime=releases.id, release=newest.place,
            cuda=asked.situation.cuda and stacks.cuda_of(releases.id, newest.version),
        )  # fmt: skip
        outcome = core.answer_of(rules, situation, asked.aspects)
        yield Alternative(
            change=f"{releases.name} {newest.version}", flags=f"--runtime {releases.id}", outcome=outcome
        )


def _reason(verdicts: Sequence[Verdict], outcome: Outcome) -> str:
    """One sentence: the aspects that decide."""
    if outcome == "unknown":
        silent = [v.aspect for v in verdicts if v.outcome == "unknown" and v.aspect in core.DECISIVE]
        return f"nothing that was read says anything about: {', '.join(silent)}"
    deciding = [v.aspect for v in verdicts if v.outcome == outcome]
    words = {"unsupported": "it does not run: ", "penalty": "it runs, at a price: ",
             "inefficient": "it runs, but there is a better choice: "}  # fmt: skip
    if outcome in words:
        return words[outcome] + ", ".join(deciding)
    return "nothing speaks against it"


def _typed(question: CheckQuestion) -> dict[str, object]:
    values = {f.name: getattr(question, f.name) for f in fields(question)}
    return {name: value for name, value in values.items() if value}


def _title(hardware: str) -> str:
    facts = rule_files.vocabulary()["hardware"].get(hardware, {})
    return str(facts.get("title", hardware))


def _devices(machine: Machine) -> str:
    return ", ".join(sorted({f"{d.vendor} {d.architecture}" for d in machine.devices})) or "no device"
