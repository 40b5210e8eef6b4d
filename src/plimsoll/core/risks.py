"""From a bill, verdicts, known failures and machine risks to one list, the weightiest first.

Everything arrives as an argument. The order is chance times cost, both as ordinals (`domain/risk.py`); equal
ones stand by chance, then by how many sources tell of them, then by title.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from plimsoll.core.check import DECISIVE
from plimsoll.domain.answer import Answer
from plimsoll.domain.bill import HOST
from plimsoll.domain.deployment import Deployment
from plimsoll.domain.failure import WILDCARD, KnownFailure
from plimsoll.domain.machine import Machine
from plimsoll.domain.risk import CHANCE_ORDER, MachineRisk, Risk
from plimsoll.domain.rule import Verdict
from plimsoll.units import format_bytes, format_count

# From this share of the trained context on, a prompt that grows by itself will reach the end.
NEAR_CONTEXT_SHARE = 0.9
# From this share of host memory on, anything else that the machine does may be what is killed or kills.
NEAR_RAM_SHARE = 0.85
_CACHE_SERVERS = frozenset({"vllm", "sglang", "tensorrt_llm", "exllama"})


def ordered(risks: Iterable[Risk]) -> tuple[Risk, ...]:
    """By weight, chance, count of sources, title; each id once."""
    by_id = {risk.id: risk for risk in risks}
    return tuple(
        sorted(by_id.values(), key=lambda r: (-r.weight, -CHANCE_ORDER[r.chance], -len(r.urls), r.title))
    )


def of_memory(answer: Answer, full: KnownFailure | None) -> list[Risk]:
    """What the bill says; `full` is how this runtime prints that memory is full."""
    notice = _printed(full)
    urls = full.urls if full else ()
    day = full.checked_on if full else ""
    found = []
    if answer.verdict == "does_not_fit":
        fixes = "; ".join(r.change for r in answer.remedies[:3])
        found.append(Risk(
            id="memory/does-not-fit", title="it does not fit", chance="seen here", cost="stops",
            basis="memory", why=f"{answer.reason}.", before=f"{fixes or 'plimsoll fit shows what takes it'}.",
            notice=notice, urls=urls, checked_on=day,
        ))  # fmt: skip
    for total in answer.bill.devices:
        spare = total.capacity_bytes - total.used_high_bytes
        if answer.verdict != "does_not_fit" and total.id != HOST and spare < 0 <= total.headroom_bytes:
            found.append(Risk(
                id=f"memory/tight-{total.id}", title=f"{total.name} may run out of memory", chance="possible",
                cost="stops", basis="memory",
                why=f"It needs {format_bytes(total.used_bytes)} of {format_bytes(total.capacity_bytes)}, and "
                    f"at the high end of what is not known exactly {format_bytes(-spare)} more than that.",
                before="Leave room: a shorter context, fewer sequences, no desktop on the card.",
                notice=notice, urls=urls, checked_on=day,
            ))  # fmt: skip
    return found + _of_host(answer)


def _of_host(answer: Answer) -> list[Risk]:
    """Weights in host memory, and host memory that is short."""
    found = []
    if answer.verdict == "offload":
        found.append(Risk(
            id="memory/offload", title="part of the weights is read from host memory", chance="seen here",
            cost="slows", basis="memory", why=f"{answer.reason or 'Not all of it fits on the devices'}.",
            before="plimsoll speed says what it costs; a smaller format may avoid it.",
            notice="nvidia-smi dmon shows the card mostly idle while it writes.",
        ))  # fmt: skip
    for total in answer.bill.devices:
        if total.id == HOST and total.capacity_bytes and (
            total.used_high_bytes > NEAR_RAM_SHARE * total.capacity_bytes
        ):  # fmt: skip
            found.append(Risk(
                id="memory/ram", title="host memory is nearly full", chance="possible", cost="stops",
                basis="memory",
                why=f"{format_bytes(total.used_high_bytes)} of {format_bytes(total.capacity_bytes)} may be "
                    "needed; the kernel kills the largest process when it runs out.",
                before="Close other programs, add swap or RAM, keep memory mapping on.",
                notice="dmesg -T | grep -i 'killed process'",
            ))  # fmt: skip
    found += [Risk(
        id=f"memory/unknown-{i}", title="something about memory is not known", chance="possible",
        cost="stops", basis="memory", why=f"{text[:1].upper()}{text[1:]}.", before="Tell it and ask again.",
    ) for i, text in enumerate(answer.unknowns)]  # fmt: skip
    return found


def of_workload(answer: Answer, deployment: Deployment, too_long: KnownFailure | None) -> list[Risk]:
    """Context near or beyond what the model was trained for; a cache with no room for one sequence more."""
    asked, trained = deployment.workload.context_tokens, deployment.model.trained_context_tokens
    found = []
    if trained and asked > trained:
        found.append(Risk(
            id="context/beyond-trained", title="the context is longer than the model was trained for",
            chance="seen here", cost="wrong answers", basis="memory",
            why=f"{format_count(asked)} tokens are asked for, {format_count(trained)} are trained; most "
                "runtimes refuse it without a setting for RoPE; with one, answers may get worse.",
            before="Take the model's documented YaRN settings, only if you need the length.",
            notice=_printed(too_long), urls=too_long.urls if too_long else (),
            checked_on=too_long.checked_on if too_long else "",
        ))  # fmt: skip
    elif trained and asked >= NEAR_CONTEXT_SHARE * trained:
        found.append(Risk(
            id="context/near-trained", title="the context ends where the model's ends", chance="possible",
            cost="stops", basis="memory",
            why=f"{format_count(asked)} of {format_count(trained)} trained tokens: a conversation that goes "
                "on cannot be given more, its requests are refused or cut.",
            before="Let the client shorten its history before.", notice=_printed(too_long),
            urls=too_long.urls if too_long else (), checked_on=too_long.checked_on if too_long else "",
        ))  # fmt: skip
    most, wanted = answer.max_parallel_sequences, deployment.workload.parallel_sequences_count
    if deployment.runtime.id in _CACHE_SERVERS and most is not None and wanted > 1 and most <= wanted:
        found.append(Risk(
            id="cache/no-room-for-more", title="the KV cache holds just the sequences asked for",
            chance="possible", cost="slows", basis="memory",
            why=f"{wanted} sequences of full length are wanted and {most} fit; every further one waits or is "
                "put back and computed again.",
            before="A smaller KV format, a shorter context, or a limit of requests in the server.",
            notice="preemptions in the server's metrics, 'KV cache pool is full. Retract requests' (SGLang)",
        ))  # fmt: skip
    return found


def of_verdicts(verdicts: Sequence[Verdict]) -> list[Risk]:
    """What the rules say against it, and what decides and no rule knows."""
    found = []
    for verdict in verdicts:
        if verdict.outcome == "unsupported":
            chance, cost, title = "seen here", "stops", f"{verdict.aspect}: not supported"
        elif verdict.outcome in ("penalty", "inefficient"):
            chance, cost, title = "seen here", "slows", f"{verdict.aspect}: works, at a cost"
        elif verdict.outcome == "unknown" and verdict.aspect in DECISIVE:
            chance, cost, title = "possible", "stops", f"{verdict.aspect}: nobody read whether it works"
        else:
            continue
        found.append(Risk(
            id=f"rules/{verdict.aspect}", title=title, chance=chance, cost=cost, basis="rules",  # type: ignore[arg-type]
            why=verdict.note, before=" ".join(verdict.needs) or "plimsoll check names what works instead.",
            urls=verdict.sources, checked_on=verdict.checked_on,
        ))  # fmt: skip
    return found


def of_failures(
    failures: Iterable[KnownFailure], *, runtime: str, hardware: frozenset[str], models: frozenset[str]
) -> list[Risk]:
    """Failures that were reported of just this card or this model, with this runtime or any."""
    found = []
    for failure in failures:
        runtime_fits = not failure.runtimes or runtime in failure.runtimes
        about = bool(failure.hardware & hardware) or bool(failure.models & models)
        against = (failure.hardware and not failure.hardware & hardware) or (
            failure.models and not failure.models & models
        )
        if failure.tier != "exact" or not runtime_fits or not about or against:
            continue
        seen = f" Seen in {failure.versions}." if failure.versions else ""
        mended = f" Mended in {failure.fixed_in}." if failure.fixed_in else ""
        found.append(Risk(
            id=f"failure/{failure.id}", title=failure.title, chance="reported", cost=failure.severity,
            basis="known failure", why=f"{failure.cause}{seen}{mended}", before=failure.fix,
            notice=_printed(failure), urls=failure.urls, checked_on=failure.checked_on,
            is_reread=failure.is_reread,
        ))  # fmt: skip
    return found


def of_machine(
    known: Iterable[MachineRisk],
    machine: Machine,
    *,
    hardware: frozenset[str],
    system: str,
    is_offloaded: bool,
) -> list[Risk]:
    """Risks that come with this machine; a system that was not told ('') excludes none but Windows' own."""
    ids = {device.catalog_id for device in machine.devices}
    found = []
    for risk in known:
        if (
            (risk.devices and not risk.devices & ids)
            or (risk.hardware and not risk.hardware & hardware)
            or (risk.systems and system not in risk.systems and (system or "linux" not in risk.systems))
            or len(machine.devices) < risk.least_devices_count
            or (risk.needs_offload and not is_offloaded)
        ):
            continue
        found.append(Risk(
            id=risk.id, title=risk.title, chance=risk.chance, cost=risk.cost, basis="machine", why=risk.why,
            before=risk.before, notice=risk.notice, urls=risk.urls, checked_on=risk.checked_on,
            is_reread=risk.is_reread,
        ))  # fmt: skip
    return found


def _printed(failure: KnownFailure | None) -> str:
    """The line of a log by which it is recognised."""
    return f"'{failure.texts[0][0].replace(WILDCARD, ' … ')}'" if failure else ""


def unknowns(risks: Iterable[Risk], notes: Iterable[str]) -> tuple[str, ...]:
    """What was not told or read: risks that nobody decided, and facts that a note says are missing."""
    undecided = (r.title for r in risks if r.chance == "possible" and r.basis == "rules")
    return (*undecided, *(n for n in notes if "not told" in n or "unknown" in n or "could not be asked" in n))
