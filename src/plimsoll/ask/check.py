"""Will this model, in this format, run on this machine with this runtime, version, driver, adapter?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache

from plimsoll import __version__
from plimsoll.ask import machine as machines
from plimsoll.ask import models
from plimsoll.catalog import releases as release_lists
from plimsoll.catalog import rules as rule_files
from plimsoll.catalog import sources, stacks
from plimsoll.catalog.names import one_of
from plimsoll.catalog.releases import Release, Releases
from plimsoll.core import check as core
from plimsoll.domain.check import CheckAnswer
from plimsoll.domain.machine import Machine
from plimsoll.domain.model import Model
from plimsoll.domain.rule import Aspect, Outcome, Situation, Verdict
from plimsoll.errors import AmbiguousName, BadSetting, UsageError
from plimsoll.formulas.weights import parameters_count
from plimsoll.runtimes.llama_cpp.names import ARCHITECTURES
from plimsoll.units import format_bytes

_SYSTEMS = {
    "ubuntu": "linux", "debian": "linux", "fedora": "linux", "rhel": "linux", "arch": "linux",
    "linux": "linux", "wsl": "wsl", "windows": "windows", "macos": "macos", "mac": "macos",
}  # fmt: skip
# Bits per weight with the format's own scales.
BITS: Mapping[str, float] = {
    "bf16": 16.0, "f16": 16.0, "fp8": 8.0, "fp8_block": 8.0, "int8": 8.0, "q8_0": 8.5, "mlx-8bit": 8.5,
    "q6_k": 6.5625, "q5_k": 5.5, "nvfp4": 4.5, "q4_k": 4.5, "mlx-4bit": 4.5, "mxfp4": 4.25, "awq": 4.25,
    "gptq": 4.25, "w4a16": 4.25, "q3_k": 3.4375, "q2_k": 2.625,
}  # fmt: skip


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

    def least_bytes(self, weights: str) -> int | None:
        """What the weights take at least in a format: parameters x bits / 8; None for an unlisted format."""
        bits = BITS.get(weights)
        return None if bits is None else int(parameters_count(self.model.tensors) * bits / 8)

    @property
    def memory_bytes(self) -> int:
        """What the devices have for a model; without a device the host's memory; 0: not told."""
        devices = self.machine.devices
        own = sum(d.memory_bytes - d.reserved_bytes for d in devices)
        return own if devices else (self.machine.ram_bytes or 0) - self.machine.ram_reserved_bytes

    def is_too_large(self, weights: str) -> bool:
        """Do the weights alone exceed the memory of the devices?"""
        return (self.least_bytes(weights) or 0) > self.memory_bytes > 0


def check(question: CheckQuestion) -> CheckAnswer:
    """Answer a CheckQuestion; 'no' and 'unknown' are answers, what cannot be meant is a UsageError."""
    from plimsoll.ask.check_alternatives import nearest

    asked = _understood(question)
    rules = known_rules()
    verdicts = [core.verdict(rules, asked.situation, aspect) for aspect in asked.aspects]
    verdicts += [_feature(rules, asked, name) for name in question.features]
    verdicts = [_without_a_class(rules, v, asked) if v.aspect == "model" else v for v in verdicts]
    if question.lora:
        verdicts = [_with_adapter(v, question, asked) if v.aspect == "lora" else v for v in verdicts]
    if question.ui:
        from plimsoll.ask.check_ui import ui_verdict

        verdicts = [ui_verdict(question.ui, asked.situation) if v.aspect == "ui" else v for v in verdicts]
    if asked.situation.driver is None and asked.situation.cuda is None:
        # Neither driver nor CUDA is known: what no rule says about them was not asked.
        verdicts = [v for v in verdicts if (v.aspect, v.outcome) != ("stack", "unknown")]
    outcome = core.overall(verdicts)
    references = dict.fromkeys(source for v in verdicts for source in v.sources)
    return CheckAnswer(
        question="check", asked=_typed(question), outcome=outcome, reason=_reason(verdicts, outcome),
        model=asked.model.id, machine=asked.machine.name, hardware=_title(asked.situation.hardware),
        runtime=asked.releases.name, version=asked.release.version, weights=asked.situation.weights,
        verdicts=tuple(verdicts),
        alternatives=nearest(rules, asked, outcome),
        notes=(*asked.notes, _memory_note(question, asked)),
        oldest_check=min((v.checked_on for v in verdicts if v.checked_on), default=""),
        sources=sources.load_all(references),
        versions={"plimsoll": __version__, asked.releases.name: asked.release.version},
    )  # fmt: skip


def _without_a_class(rules: core.Rules, verdict: Verdict, asked: Asked) -> Verdict:
    """A model that the engine has no class for: unknown where its Transformers backend may load it.

    That is so where a rule says that the release has such a backend and Transformers knows the model.
    """
    if core.works(verdict.outcome) or asked.situation.runtime == "transformers":
        return verdict
    wanted = replace(asked.situation, features=frozenset({"transformers-backend"}))
    backend = core.verdict(rules, wanted, "features")
    newest = release_lists.release_of(release_lists.find("transformers"), "").place
    other = core.verdict(
        rules, Situation(runtime="transformers", release=newest, models=asked.situation.models), "model"
    )
    if not core.works(backend.outcome) or not core.works(other.outcome):
        return verdict
    own = "" if verdict.outcome == "unknown" else f"{verdict.note} "
    return replace(
        verdict, outcome="unknown", note=f"{own}{backend.note}", needs=backend.needs,
        sources=(*verdict.sources, *backend.sources, *other.sources), rules=(*verdict.rules, *backend.rules),
        checked_on=min(filter(None, (verdict.checked_on, backend.checked_on, other.checked_on))),
    )  # fmt: skip


@cache
def known_rules() -> core.Rules:
    """All rules of the catalog, ready to be asked."""
    formats = rule_files.vocabulary()["formats"]
    computes = {name: facts.get("computes", "") for name, facts in formats.items()}
    return core.Rules.read_by(rule_files.load_place, computes)


def _feature(rules: core.Rules, asked: Asked, name: str) -> Verdict:
    """The verdict about one thing that was asked for with --with, and since which release it is there."""
    wanted = replace(asked.situation, features=frozenset({name}))
    made = core.verdict(rules, wanted, "features")
    since = _since(rules, wanted, asked.releases) if made.outcome == "unsupported" or ":" in name else ""
    return replace(made, note=f"{name}: {made.note}{since}")


def _since(rules: core.Rules, wanted: Situation, known: Releases) -> str:
    """' It is there from X on.' where the release before is known to lack it, else ''."""
    newest = release_lists.release_of(known, "").place[0]
    found = core.lowest_release(rules, lambda place: replace(wanted, release=(place,)), ("features",), newest)
    if found is None or not found[0]:
        return ""
    before = core.verdict(rules, replace(wanted, release=(found[0] - 1,)), "features")
    is_first = before.outcome == "unsupported"
    return f" It is there from {known.version_at(found[0])} on." if is_first else ""


def _understood(question: CheckQuestion) -> Asked:
    """The question in the words of the rules; raises UsageError for what cannot be meant."""
    if not question.model:
        raise UsageError("no model is named", hint="plimsoll check MODEL --on MACHINE, or check --matrix")
    model = models.load(question.model, offline=question.offline)
    machine, notes = machine_of(question.on)
    name, is_pinned, version = question.runtime.partition("==")
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
    if is_pinned and not version.strip():
        raise BadSetting(f"--runtime {question.runtime} names no version", hint=f"--runtime {name}")
    release = release_lists.release_of(releases, version)
    weights = _weights(question.weights or published_format(model), question.weights)
    hardware, backend = hardware_of(machine, question.backend)
    if not hardware:
        notes.append(f"no rule names the hardware of {machine.name}: {_devices(machine)}")
    notes += [release.note] if release.note else []
    notes += _too_new(question)
    situation = Situation(
        runtime=releases.id, release=release.place, weights=weights,
        kv=_kv(question.kv), hardware=hardware, backend=backend,
        models=frozenset(names_of(model.architecture)), features=features_of(model, question),
        system=told_system(question.os) or _system(machine.os),
        driver=driver_of(question.driver or machine.driver),
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

        adapter = adapter_files.load(question.lora)
        tensors = adapter.tensors
        found["lora-stacked-experts"] = bool(adapter.target_parameters)
        found["lora-experts"] = any("expert" in tensor.module for tensor in tensors)
        found["lora-whole-modules"] = any(tensor.part == "whole" for tensor in tensors)
        found["lora-new-tokens"] = any(tensor.is_embedding for tensor in tensors)
    return frozenset(name for name, is_there in found.items() if is_there)


def _aspects(question: CheckQuestion, asked: Situation) -> tuple[Aspect, ...]:
    """Which aspects the question has; drivers and CUDA are NVIDIA's."""
    vendor = rule_files.vocabulary()["hardware"].get(asked.hardware, {}).get("vendor", "")
    wanted: dict[Aspect, bool] = {
        "device": True, "weights": True, "kv": bool(question.kv), "attention": True,
        "moe": "moe" in asked.features, "model": True, "lora": bool(question.lora), "tools": True,
        "stack": vendor in ("nvidia", ""), "ui": bool(question.ui), "os": bool(question.os),
    }  # fmt: skip
    return tuple(aspect for aspect, is_asked in wanted.items() if is_asked)


def _weights(spelling: str, typed: str) -> str:
    found = rule_files.format_of(spelling)
    if found:
        return found
    if not typed:
        return ""
    raise BadSetting(
        f"no rule knows a weight format {typed!r}",
        hint=_near(typed, rule_files.vocabulary()["formats"]) or "such as bf16, fp8, nvfp4, awq, q4_k_m",
    )


def _near(typed: str, known: Iterable[str]) -> str:
    """'did you mean ...?' for a misspelt word, or ''."""
    from difflib import get_close_matches

    near = tuple(get_close_matches(typed.lower(), list(known), n=3, cutoff=0.5))
    return f"did you mean {one_of(near)}?" if near else ""


def _kv(typed: str) -> str:
    if not typed or typed.lower() in ("auto", "default"):
        return ""
    keys, _, values = typed.partition("/")
    if values and rule_files.format_of(keys) != rule_files.format_of(values):
        raise BadSetting(f"--kv {typed}: no rule is about K and V apart", hint=f"ask about --kv {keys}")
    typed = keys
    found = rule_files.format_of(typed)
    if not found:
        raise BadSetting(
            f"no rule knows a KV format {typed!r}",
            hint=_near(typed, rule_files.vocabulary()["formats"]) or "such as fp8, fp8_e5m2, q8_0, q4_0",
        )
    return found


def _system(text: str) -> str:
    """'ubuntu-24.04' -> 'linux'; '' when not told or not known."""
    word = text.lower().replace("_", "-").split("-")[0].split(" ")[0].rstrip("0123456789.")
    return _SYSTEMS.get(word, "")


def told_system(typed: str) -> str:
    """The system of --os; raises BadSetting for one that no rule knows."""
    found = _system(typed)
    if typed and not found:
        names = rule_files.vocabulary()["systems"]
        hint = _near(typed, _SYSTEMS) or f"one of {', '.join(names)}, or a distribution"
        raise BadSetting(f"no rule knows an operating system {typed!r}", hint=hint)
    return found


def dotted(text: str, option: str) -> tuple[int, ...] | None:
    """A dotted number as it is compared; None when not told; raises BadSetting naming the option."""
    if not text:
        return None
    try:
        return tuple(int(part) for part in text.split("."))
    except ValueError as error:
        raise BadSetting(f"{option} {text!r} is not a version", hint=f"such as {option} 580.95") from error


def driver_of(text: str) -> tuple[int, ...] | None:
    """NVIDIA's driver as it is compared: a branch alone ('580') stands for its newest release."""
    told = dotted(text, "--driver")
    return (*told, 999) if told and len(told) == 1 else told


def _too_new(question: CheckQuestion) -> list[str]:
    """A note where the named CUDA is newer than any a known release is built on."""
    told = dotted(question.cuda, "--cuda")
    newest = max((dotted(s.cuda, "") or (0,) for s in stacks.load_all()), default=(0,))
    if told is None or told <= newest:
        return []
    spelled = ".".join(map(str, newest))
    return [f"CUDA {question.cuda} is newer than any I know; the newest a known release uses is {spelled}"]


def _refuse_contradictions(question: CheckQuestion, asked: Situation) -> None:
    """What cannot be meant together is a wrong question, not an answer."""
    facts = rule_files.vocabulary()["hardware"].get(asked.hardware, {})
    vendor = facts.get("vendor", "")
    backends = rule_files.vocabulary()["backends"]
    if question.backend and question.backend.lower() not in backends:
        raise BadSetting(
            f"no rule knows a backend {question.backend!r}", hint=f"one of {', '.join(backends)}"
        )
    for option, typed in (("--cuda", question.cuda), ("--driver", question.driver)):
        if typed and vendor and vendor != "nvidia":
            lacks = "has no CUDA" if option == "--cuda" else "does not run on NVIDIA's driver"
            raise BadSetting(
                f"{option} {typed}: {_title(asked.hardware)} {lacks}", hint=f"leave {option} out"
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
    words = rule_files.vocabulary()
    asked = [name for name, facts in words["features"].items() if facts.get("is_asked")]
    for name in names:
        if name not in asked and not (":" in name and rule_files.is_feature(name, words)):
            hint = _near(name, asked) or f"--with one of {', '.join(asked)}"
            raise BadSetting(f"no rule knows a feature {name!r}", hint=hint)


def _with_adapter(verdict: Verdict, question: CheckQuestion, asked: Asked) -> Verdict:
    """The rules' verdict about adapters, and what the adapter's own tensors say about the model."""
    from plimsoll.ask.adapter import AdapterQuestion, adapter

    answer = adapter(AdapterQuestion(path=question.lora, model=question.model, offline=question.offline))
    if answer.check is None:
        return verdict
    own = answer.check
    if own.verdict not in ("works", "partly"):
        return replace(verdict, outcome="unsupported", needs=(), note=_sentence(own.reason))
    use = next((use for use in answer.runtimes if use.runtime == asked.releases.id), None)
    if use and use.verdict == "unsupported":
        return replace(
            verdict, outcome="unsupported", needs=(), note=_sentence(f"Not this adapter: {use.reason}")
        )
    note = f"{verdict.note} {_sentence(f'Its tensors: {own.reason}')}".strip()
    return replace(verdict, note=note, needs=(*((use.flags,) if use and use.flags else ()), *verdict.needs))


def _sentence(text: str) -> str:
    return f"{text.rstrip('.')}."


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


def _memory_note(question: CheckQuestion, asked: Asked) -> str:
    """Whether the weights alone are too large for the devices, and what to type for the whole answer."""
    words = [f"plimsoll fit {question.model}"]
    words += [f"--on {_quoted(question.on)}"] if question.on else []
    words += [f"--weights {question.weights}"] if question.weights else []
    least = asked.least_bytes(asked.situation.weights)
    if least is None or not asked.memory_bytes or not asked.is_too_large(asked.situation.weights):
        return f"whether it fits in memory is another question: {' '.join(words)}"
    return (f"the weights alone take at least {format_bytes(least)}, the memory here is "
            f"{format_bytes(asked.memory_bytes)}: {' '.join(words)}")  # fmt: skip


def _quoted(text: str) -> str:
    return f"'{text}'" if " " in text else text


def _typed(question: CheckQuestion) -> dict[str, object]:
    values = {f.name: getattr(question, f.name) for f in fields(question)}
    return {name: value for name, value in values.items() if value}


def _title(hardware: str) -> str:
    facts = rule_files.vocabulary()["hardware"].get(hardware, {})
    return str(facts.get("title", hardware))


def _devices(machine: Machine) -> str:
    return ", ".join(sorted({f"{d.vendor} {d.architecture}" for d in machine.devices})) or "no device"
