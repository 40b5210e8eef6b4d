"""What would make it fit: each change computed like the question itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from plimsoll.core.fit import bill_of, judge, longest_context, problems_of, with_context, with_sequences
from plimsoll.core.place import (
    can_offload,
    is_offloaded,
    natural_split,
    offload,
    smaller_kv,
    smaller_weights,
)
from plimsoll.domain.answer import Remedy, Verdict
from plimsoll.domain.bill import HOST
from plimsoll.domain.deployment import Deployment, Runtime, Split
from plimsoll.domain.machine import Machine
from plimsoll.runtimes.llama_cpp.formats import NATURAL_KV as LLAMA_CPP_KV
from plimsoll.units import GIB, MIB

_MOST_DEVICES_COUNT = 16
_SHORTEST_CONTEXT_TOKENS = 2048
# What changes, what to type for it, and the question then.
Candidate = tuple[str, str, Sequence[Deployment]]


def remedies(
    deployments: Sequence[Deployment], *, is_avoiding: bool = False, limit: int = 6
) -> tuple[Remedy, ...]:
    """Changes after which it fits, gentlest first, one of each kind.

    With `is_avoiding` the question is what would avoid the offload that was already found.
    """
    found = _that_fit(_candidates(deployments, is_avoiding), limit)
    if set(found) <= {"--on"}:
        found = {**_that_fit(_pairs(deployments), 1), **found}
    return tuple(found.values())


def _that_fit(candidates: Iterator[Candidate], limit: int) -> dict[str, Remedy]:
    """The first of each kind (its first flag) after which it fits."""
    found: dict[str, Remedy] = {}
    for change, flags, deployments in candidates:
        kind = flags.split()[0]
        if kind in found or problems_of(deployments):
            continue
        judgement = judge(deployments)
        if judgement.verdict in ("fits", "tight"):
            verdict: Verdict = "offload" if any(map(is_offloaded, deployments)) else judgement.verdict
            found[kind] = Remedy(
                change=change, flags=flags, verdict=verdict, headroom_bytes=judgement.headroom_bytes
            )
        if len(found) == limit:
            break
    return found


def _candidates(deployments: Sequence[Deployment], is_avoiding: bool) -> Iterator[Candidate]:
    first = deployments[0]
    yield from _smaller_kv(deployments)
    if first.workload.parallel_sequences_count > 1:
        yield "one sequence at a time", "--parallel 1", with_sequences(deployments, 1)
    context = longest_context(deployments)
    if context and context < first.workload.context_tokens:
        yield f"a context of {context:,} tokens", f"--context {context}", with_context(deployments, context)
    yield from _smaller_weights(deployments)
    yield from _raised_limit(deployments)
    if len(deployments) == 1 and can_offload(first) and not is_avoiding:
        placed = offload(first)
        if placed:
            yield "part of the weights in host memory", offload_flags(placed[0]), [placed[0]]
    yield from _more_devices(deployments)
    yield from _llama_cpp_with_host_memory(deployments, is_avoiding)


def _smaller_kv(deployments: Sequence[Deployment]) -> Iterator[Candidate]:
    """Nothing where several runtimes are asked: one `--kv` would have to suit them all."""
    if len({d.runtime.id for d in deployments}) == 1:
        for kv in smaller_kv(deployments[0]):
            smaller = [replace(d, kv_format_k=kv, kv_format_v=kv) for d in deployments]
            yield f"KV cache in {kv}", f"--kv {kv}", smaller


def _smaller_weights(deployments: Sequence[Deployment]) -> Iterator[Candidate]:
    if len({d.runtime.id for d in deployments}) == 1:
        for weights in smaller_weights(deployments[0]):
            smaller = [replace(d, weight_format=weights) for d in deployments]
            yield f"weights in {weights}", f"--weights {weights}", smaller


def _pairs(deployments: Sequence[Deployment]) -> Iterator[Candidate]:
    """Two changes at once, for when no single one is enough: smaller weights with a smaller cache, a raised
    limit or a shorter context."""
    for change, flags, lighter in _smaller_weights(deployments):
        if problems_of(lighter):
            continue
        for other, more, both in (*_smaller_kv(lighter), *_raised_limit(lighter)):
            yield f"{change}, {other}", f"{flags} {more}", both
    for change, flags, lighter in _smaller_weights(deployments):
        context = longest_context(lighter) if not problems_of(lighter) else None
        if context and context >= _SHORTEST_CONTEXT_TOKENS:
            shorter = with_context(lighter, context)
            yield f"{change}, a context of {context:,} tokens", f"{flags} --context {context}", shorter


def offload_flags(deployment: Deployment) -> str:
    """What to type for an offload."""
    if deployment.offload.cpu_expert_layers_count:
        return f"--n-cpu-moe {deployment.offload.cpu_expert_layers_count}"
    return f"--gpu-layers {deployment.offload.gpu_layers_count}"


def _raised_limit(deployments: Sequence[Deployment]) -> Iterator[Candidate]:
    machine = deployments[0].machine
    if not any(d.memory_limit_bytes for d in machine.devices):
        return
    devices = tuple(
        replace(d, memory_bytes=max(d.memory_bytes, d.memory_limit_bytes or 0)) for d in machine.devices
    )
    raised = replace(machine, devices=devices)
    flags = f"--vram-free {devices[0].memory_bytes // MIB}MiB"
    yield "the GPU memory limit raised", flags, [replace(d, machine=raised) for d in deployments]


def told_host_memory(deployments: Sequence[Deployment]) -> tuple[Remedy, ...]:
    """As much host memory as the parts kept there need, where nobody told how much there is."""
    needed = sum(t.used_high_bytes for t in bill_of(deployments).devices if t.id == HOST)
    gib = -(-needed * 103 // (100 * GIB))
    told = replace(deployments[0].machine, ram_bytes=gib * GIB)
    candidates = [replace(d, machine=told) for d in deployments]
    return tuple(_that_fit(iter([(f"{gib} GiB of host memory", f"--ram {gib}GiB", candidates)]), 1).values())


def _more_devices(deployments: Sequence[Deployment]) -> Iterator[Candidate]:
    """The first card more often, up to 16 cards."""
    machine = deployments[0].machine
    if not machine.devices or any(d.is_unified for d in machine.devices):
        return
    first = machine.devices[0]
    for count in range(len(machine.devices) + 1, _MOST_DEVICES_COUNT + 1):
        devices = (*([first] * (count - len(machine.devices))), *machine.devices)
        more = replace(machine, devices=tuple(replace(d, id=f"gpu{i}") for i, d in enumerate(devices)))
        spread = [natural_split(replace(d, machine=more, split=Split())) for d in deployments]
        yield " and ".join(_counted(more, "of")), f'--on "{_declared(more)}"', spread


def _counted(machine: Machine, between: str) -> list[str]:
    """'2x rtx-3090' (or '2 of GeForce RTX 3090') for each run of like devices."""
    runs = [list(run) for _, run in groupby(machine.devices, key=lambda d: (d.catalog_id, d.name))]
    if between == "of":
        return [f"{len(run)} of {run[0].name}" for run in runs]
    times = [f"{len(run)}x " if len(run) > 1 else "" for run in runs]
    return [f"{x}{run[0].catalog_id or run[0].name}" for x, run in zip(times, runs, strict=True)]


def _declared(machine: Machine) -> str:
    """What to write after `--on` for these devices and this host memory (unless `--ram` tells it already)."""
    terms = _counted(machine, "x")
    origin = machine.origins.get("ram_bytes")
    if machine.ram_bytes and (origin is None or origin.where != "--ram"):
        size = (
            f"{machine.ram_bytes // MIB}MiB" if machine.ram_bytes % GIB else f"{machine.ram_bytes // GIB}GiB"
        )
        terms.append(f"{size} ram")
    return " + ".join(terms)


def _llama_cpp_with_host_memory(deployments: Sequence[Deployment], is_avoiding: bool) -> Iterator[Candidate]:
    """Another runtime that can keep weights in host memory, where that memory was told."""
    first = deployments[0]
    if is_avoiding or len(deployments) > 1 or first.runtime.id == "llama_cpp" or not first.machine.ram_bytes:
        return
    for weights in ("q8_0", "q4_k_m"):
        base = replace(
            first, runtime=Runtime(id="llama_cpp"), weight_format=weights, split=Split(), settings={},
            kv_format_k=LLAMA_CPP_KV, kv_format_v=LLAMA_CPP_KV,
        )  # fmt: skip
        candidate = natural_split(base)
        if problems_of([candidate]) or not can_offload(candidate):
            continue
        placed = offload(candidate)
        if placed:
            flags = f"--runtime llama.cpp --weights {weights} {offload_flags(placed[0])}"
            yield f"llama.cpp with part of the {weights} weights in host memory", flags, [placed[0]]
            return
