"""What is likely to go wrong with exactly this deployment, what to do before, and how to notice it?"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from plimsoll import __version__
from plimsoll.ask import check as checks
from plimsoll.ask import fit as fits
from plimsoll.ask.check import CheckQuestion
from plimsoll.ask.fit import FitQuestion
from plimsoll.catalog import failures, machine_risks, releases, rules
from plimsoll.core import risks as core
from plimsoll.domain.answer import Answer
from plimsoll.domain.deployment import Deployment
from plimsoll.domain.failure import KnownFailure
from plimsoll.domain.machine import Machine
from plimsoll.domain.origin import sources_at
from plimsoll.domain.risk import Risk, RisksAnswer
from plimsoll.domain.rule import Verdict
from plimsoll.errors import BadSetting, UsageError

# How each runtime says that memory is full, and that a request is too long: ids of known failures.
_FULL = {
    "vllm": "vllm/kv-cache-no-room", "sglang": "sglang/memory-fraction-too-small",
    "llama_cpp": "llama_cpp/cuda-malloc-failed", "exllama": "exllama/insufficient-vram",
    "tensorrt_llm": "tensorrt_llm/executor-memory", "mlx": "mlx/metal-out-of-memory",
    "transformers": "any/torch-oom",
}  # fmt: skip
_TOO_LONG = {
    "vllm": "vllm/prompt-too-long", "sglang": "sglang/input-too-long",
    "llama_cpp": "llama_cpp/context-exceeded",
}  # fmt: skip
_SYSTEMS = {"darwin": "macos", "mac": "macos"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RisksQuestion:
    """A fit question about one model, and what else is known of the machine; '' means: not told."""

    fit: FitQuestion
    os: str = ""
    driver: str = ""


def risks(question: RisksQuestion) -> RisksAnswer:
    """Answer a RisksQuestion; errors are typed, a list without entries is an answer."""
    asked = question.fit
    if len(asked.models) != 1:
        raise UsageError("risks are of one deployment", hint="plimsoll risks MODEL --on MACHINE")
    answer = fits.judged(asked)
    deployment = answer.deployments[0]
    checks.told_system(question.os)
    checks.driver_of(question.driver)
    machine = deployment.machine
    verdicts, notes = _verdicts(question, deployment)
    hardware = _hardware(machine)
    system = _system(question.os or machine.os)
    if not system:
        notes.append("operating system: not told, taken for Linux (--os windows-11, --os macos)")
    notes += [n for n in answer.notes if n.startswith(("runtime:", "context:", "split"))]
    found = [
        *_of_fit(answer, deployment),
        *core.of_verdicts(verdicts),
        *core.of_failures(
            (f for f in failures.load() if not _is_mended(f, deployment)),
            runtime=deployment.runtime.id, hardware=hardware,
            models=frozenset(checks.names_of(deployment.model.architecture)),
        ),
        *core.of_machine(
            machine_risks.load(), machine, hardware=hardware, system=system,
            is_offloaded=answer.verdict == "offload",
        ),
    ]  # fmt: skip
    ranked = core.ordered(found)
    return RisksAnswer(
        question="risks", asked=_asked(question), model=deployment.model.id, machine=machine.name,
        runtime=fits.spelled(deployment.runtime.id),
        weights=deployment.weight_format or deployment.model.weight_format,
        context_tokens=deployment.workload.context_tokens, risks=ranked,
        notes=tuple(notes), unknowns=core.unknowns(ranked, notes),
        sources=sources_at((url, risk.checked_on) for risk in ranked for url in risk.urls),
        versions={"plimsoll": __version__},
    )  # fmt: skip


def _of_fit(answer: Answer, deployment: Deployment) -> list[Risk]:
    known = {failure.id: failure for failure in failures.load()}
    return core.of_memory(answer, _known(known, _FULL, deployment)) + core.of_workload(
        answer, deployment, _known(known, _TOO_LONG, deployment)
    )


def _known(
    known: dict[str, KnownFailure], names: dict[str, str], deployment: Deployment
) -> KnownFailure | None:
    return known.get(names.get(deployment.runtime.id, ""))


def _verdicts(question: RisksQuestion, deployment: Deployment) -> tuple[tuple[Verdict, ...], list[str]]:
    """What `check` says of it; what the rules cannot be asked is a note, not an error."""
    asked = question.fit
    version = f"=={deployment.runtime.version}" if deployment.runtime.version else ""
    try:
        found = checks.check(CheckQuestion(
            model=asked.models[0], on=asked.on, runtime=f"{deployment.runtime.id}{version}",
            weights=asked.weights, kv=asked.kv.partition("/")[0], lora=next(iter(asked.adapters), ""),
            driver=question.driver, os=question.os, offline=asked.offline,
        ))  # fmt: skip
    except BadSetting as error:
        return (), [f"the rules could not be asked: {error.message}"]
    urls = {source.id: source.url for source in found.sources}
    return tuple(
        replace(v, sources=tuple(urls.get(name, name) for name in v.sources)) for v in found.verdicts
    ), []


def _is_mended(failure: KnownFailure, deployment: Deployment) -> bool:
    """Does it no longer happen in the deployment's release (where none was told, the newest known)?"""
    if not failure.fixed_in or deployment.runtime.id not in failure.runtimes:
        return False
    listed = releases.find(deployment.runtime.id)
    release = releases.release_of(listed, deployment.runtime.version)
    return release.place >= releases.release_of(listed, failure.fixed_in).place


def _hardware(machine: Machine) -> frozenset[str]:
    names = {rules.hardware_of(device) for device in machine.devices}
    return frozenset(names - {""}) or frozenset({rules.host_hardware(machine.name)} - {""})


def _system(text: str) -> str:
    """linux, windows, macos, wsl or ''."""
    name = text.lower().partition("-")[0].partition(" ")[0]
    if name in ("ubuntu", "debian", "fedora", "rhel", "arch"):
        return "linux"
    return _SYSTEMS.get(name, name)


def _asked(question: RisksQuestion) -> dict[str, object]:
    asked = {f.name: getattr(question.fit, f.name) for f in fields(question.fit)}
    asked |= {"os": question.os, "driver": question.driver}
    return {k: v for k, v in asked.items() if v not in (None, "", (), {}, False)}
