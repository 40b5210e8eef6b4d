"""What does this log say went wrong, why, and what helps?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from plimsoll import __version__
from plimsoll.ask import fit as fits
from plimsoll.ask import machine as machines
from plimsoll.catalog import devices, failures, rules
from plimsoll.core import diagnose as core
from plimsoll.core.secrets import MASK, masked
from plimsoll.domain.failure import DiagnoseAnswer, LogFact, Recognised
from plimsoll.domain.origin import sources_at
from plimsoll.edges import log_file
from plimsoll.errors import PlimsollError
from plimsoll.parse import log_facts

# Programs built on llama.cpp print its errors too.
_LLAMA_CPP_FAMILY = frozenset({"llama_cpp", "ollama", "lm_studio", "koboldcpp", "ik_llama_cpp"})
_VERSION_OF = {
    "vllm version": "vllm", "sglang version": "sglang", "tensorrt_llm version": "tensorrt_llm",
    "llama.cpp build": "llama_cpp", "ollama version": "ollama", "exllamav3 version": "exllama",
}  # fmt: skip
_MOST_FACT_LINES = 400  # of one block


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnoseQuestion:
    """A log, and what the user knows besides: '' and None leave it to the log."""

    path: str
    on: str | None = None
    runtime: str = ""
    told: Callable[[int, int], None] = lambda done, size: None


def diagnose(question: DiagnoseQuestion) -> DiagnoseAnswer:
    """Read the log once; errors are typed, an unknown failure is an answer."""
    known = failures.load()
    scan = core.scan_for(known)
    found: list[LogFact] = []
    size = 0
    for block in log_file.blocks(question.path, question.told):
        size += len(block)
        found += _facts(core.scanned(scan, block))
        found = list(log_facts.distinct(found))
    facts, masked_count = _without_secrets(found)
    runtime, hardware = _runtime(question, facts), _hardware(question, facts)
    causes = core.recognised(
        scan, (f for f in known if _is_possible(f.runtimes, runtime)), hardware=hardware,
        models=frozenset(f.value for f in facts if f.name == "model architecture"),
    )  # fmt: skip
    tier = causes[0].failure.tier if causes else ""
    is_told = bool(causes) and causes[0].failure.tells_why
    suspects = () if is_told else scan.suspects
    masked_count += sum(c.line.count(MASK) for c in causes) + sum(t.count(MASK) for _, t in suspects)
    return DiagnoseAnswer(
        question="diagnose", asked=_asked(question), tier=tier,
        verdict="recognised" if is_told else "unknown",
        reason="" if is_told else _reason(tier, bool(suspects)),
        causes=causes, suspects=suspects, facts=facts,
        lines_count=scan.lines_count, size_bytes=size, masked_count=masked_count,
        notes=_notes(runtime, hardware, known_count=len(known)),
        unknowns=_unknowns(causes, runtime, hardware),
        sources=sources_at((url, c.failure.checked_on) for c in causes for url in c.failure.urls),
        versions={"plimsoll": __version__},
    )  # fmt: skip


def _facts(fresh: core.Fresh) -> Iterable[LogFact]:
    lines: dict[int, str] = {}
    for trigger in log_facts.TRIGGERS:
        lines.update(core.lines_with(fresh, trigger.encode(), log_facts.MOST_OF_A_FACT))
    for number in sorted(lines)[:_MOST_FACT_LINES]:
        yield from log_facts.facts_of(lines[number], number)


def _without_secrets(found: Iterable[LogFact]) -> tuple[tuple[LogFact, ...], int]:
    facts, count = [], 0
    for fact in found:
        value, hidden = masked(fact.value)
        facts.append(replace(fact, value=value))
        count += hidden
    return tuple(facts), count


def _runtime(question: DiagnoseQuestion, facts: Iterable[LogFact]) -> str:
    """The runtime that was told, or the only one whose version the log states."""
    if question.runtime:
        return fits.named_runtime(question.runtime)[0]
    told = {_VERSION_OF[f.name] for f in facts if f.name in _VERSION_OF}
    return told.pop() if len(told) == 1 else ""


def _is_possible(runtimes: frozenset[str], runtime: str) -> bool:
    if not runtime or not runtimes or runtime in runtimes:
        return True
    return runtime in _LLAMA_CPP_FAMILY and "llama_cpp" in runtimes


def _hardware(question: DiagnoseQuestion, facts: Iterable[LogFact]) -> frozenset[str]:
    """The vocabulary's names of the cards that were told or that the log names."""
    if question.on:
        found = {rules.hardware_of(d) for d in machines.resolve(question.on).devices}
        return frozenset(found - {""})
    names = set()
    for fact in facts:
        if fact.name == "compute capability":
            digits = fact.value.removeprefix("sm_").replace(".", "")
            names.add(f"sm_{digits}")
        elif fact.name == "gfx":
            names.add(fact.value)
        elif fact.name == "device":
            names.add(_of_device(fact.value))
    return frozenset(names & set(rules.vocabulary()["hardware"]))


def _of_device(name: str) -> str:
    try:
        record = devices.find(name)
    except PlimsollError:
        return ""
    return rules.hardware_of(machines.device_from(record, "gpu0")[0])


def _notes(runtime: str, hardware: frozenset[str], *, known_count: int) -> tuple[str, ...]:
    notes = [f"searched for {known_count} known failures"]
    if runtime:
        notes.append(f"runtime: {fits.spelled(runtime)}; failures of others were left out")
    if hardware:
        notes.append(f"hardware: {', '.join(sorted(hardware))}; failures of others were left out")
    return tuple(notes)


def _reason(tier: str, is_suspect: bool) -> str:
    if tier == "symptom":
        return "what was found tells what happened, not why; the cause may stand further up in the log"
    if tier:
        return "the program refused or failed by itself; more than its own words is not known"
    return "no known signature is in it" if is_suspect else "nothing in it looks like an error"


def _unknowns(causes: Sequence[Recognised], runtime: str, hardware: frozenset[str]) -> tuple[str, ...]:
    """What neither the log nor the user told, and what is not known of the first cause."""
    found = []
    if not runtime:
        found.append("which runtime wrote it (--runtime NAME)")
    if not hardware:
        found.append("on which card it ran (--on MACHINE)")
    if not causes or not causes[0].failure.tells_why:
        found.append("the cause")
    elif causes[0].failure.tier == "class":
        found.append("the exact case: the class of failure is recognised")
    elif not causes[0].failure.cause:
        found.append("why it happens: nobody found it")
    return tuple(found)


def _asked(question: DiagnoseQuestion) -> dict[str, object]:
    asked = {"path": question.path, "on": question.on, "runtime": question.runtime}
    return {k: v for k, v in asked.items() if v}
