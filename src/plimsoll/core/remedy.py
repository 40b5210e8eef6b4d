"""What would make it fit: each change computed like the question itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from plimsoll.core.fit import judge, longest_context, problems_of, with_context, with_sequences
from plimsoll.core.place import can_offload, natural_split, offload, smaller_kv, smaller_weights
from plimsoll.domain.answer import Remedy
from plimsoll.domain.deployment import Deployment, Runtime, Split
from plimsoll.runtimes.llama_cpp.formats import NATURAL_KV as LLAMA_CPP_KV
from plimsoll.units import MIB

_MOST_DEVICES_COUNT = 16


def remedies(
    deployments: Sequence[Deployment], *, is_offloaded: bool = False, limit: int = 6
) -> tuple[Remedy, ...]:
    """Changes after which it fits, gentlest first, one of each kind.

    With `is_offloaded` the question is what would avoid the offload that was already found.
    """
    found: dict[str, Remedy] = {}
    for change, flags, candidates in _candidates(deployments, is_offloaded):
        kind = flags.split()[0]
        if len(found) == limit or kind in found or problems_of(candidates):
            continue
        judgement = judge(candidates)
        if judgement.verdict in ("fits", "tight"):
            found[kind] = Remedy(
                change=change, flags=flags, verdict=judgement.verdict, headroom_bytes=judgement.headroom_bytes
            )
    return tuple(found.values())


def _candidates(
    deployments: Sequence[Deployment], is_offloaded: bool
) -> Iterator[tuple[str, str, Sequence[Deployment]]]:
    first = deployments[0]
    for kv in smaller_kv(first):
        smaller = [replace(d, kv_format_k=kv, kv_format_v=kv) for d in deployments]
        yield f"KV cache in {kv}", f"--kv {kv}", smaller
    if first.workload.parallel_sequences_count > 1:
        yield "one sequence at a time", "--parallel 1", with_sequences(deployments, 1)
    context = longest_context(deployments)
    if context and context < first.workload.context_tokens:
        yield f"a context of {context:,} tokens", f"--context {context}", with_context(deployments, context)
    for weights in smaller_weights(first):
        yield (
            f"weights in {weights}",
            f"--weights {weights}",
            [replace(d, weight_format=weights) for d in deployments],
        )
    yield from _raised_limit(deployments)
    if len(deployments) == 1 and can_offload(first) and not is_offloaded:
        placed = offload(first)
        if placed:
            yield "part of the weights in host memory", offload_flags(placed[0]), [placed[0]]
    yield from _more_devices(deployments)
    yield from _llama_cpp_with_host_memory(deployments, is_offloaded)


def offload_flags(deployment: Deployment) -> str:
    """What to type for an offload."""
    if deployment.offload.cpu_expert_layers_count:
        return f"--n-cpu-moe {deployment.offload.cpu_expert_layers_count}"
    return f"--gpu-layers {deployment.offload.gpu_layers_count}"


def _raised_limit(deployments: Sequence[Deployment]) -> Iterator[tuple[str, str, Sequence[Deployment]]]:
    machine = deployments[0].machine
    if not any(d.memory_limit_bytes for d in machine.devices):
        return
    devices = tuple(
        replace(d, memory_bytes=max(d.memory_bytes, d.memory_limit_bytes or 0)) for d in machine.devices
    )
    raised = replace(machine, devices=devices)
    flags = f"--vram-free {devices[0].memory_bytes // MIB}MiB"
    yield "the GPU memory limit raised", flags, [replace(d, machine=raised) for d in deployments]


def _more_devices(deployments: Sequence[Deployment]) -> Iterator[tuple[str, str, Sequence[Deployment]]]:
    """The same card more often, up to 16 of them."""
    machine = deployments[0].machine
    if not machine.devices or any(d.is_unified for d in machine.devices):
        return
    first = machine.devices[0]
    for count in range(len(machine.devices) + 1, _MOST_DEVICES_COUNT + 1):
        devices = tuple(replace(first, id=f"gpu{i}") for i in range(count))
        more = replace(machine, devices=(*machine.devices, *devices[len(machine.devices) :]))
        spread = [natural_split(replace(d, machine=more, split=Split())) for d in deployments]
        yield f"{count} of {first.name}", f'--on "{count}x {first.catalog_id or first.name}"', spread


def _llama_cpp_with_host_memory(
    deployments: Sequence[Deployment], is_offloaded: bool
) -> Iterator[tuple[str, str, Sequence[Deployment]]]:
    """Another runtime that can keep weights in host memory, where that memory was told."""
    first = deployments[0]
    if is_offloaded or len(deployments) > 1 or first.runtime.id == "llama_cpp" or not first.machine.ram_bytes:
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
