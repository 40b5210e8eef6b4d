"""What would make it fit: each change computed like the question itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from plimsoll.core.fit import judge, longest_context, problems_of, with_context, with_sequences
from plimsoll.core.place import can_offload, offload, smaller_kv, smaller_weights
from plimsoll.domain.answer import Remedy
from plimsoll.domain.deployment import Deployment, Split


def remedies(deployment: Deployment, *, limit: int = 6) -> tuple[Remedy, ...]:
    """Changes to one deployment after which it fits, gentlest first, one of each kind."""
    found: list[Remedy] = []
    for change, flags, candidate in _candidates(deployment):
        if len(found) == limit:
            break
        if candidate is None or problems_of([candidate]):
            continue
        judgement = judge([candidate])
        if judgement.verdict in ("fits", "tight") and not any(r.flags.split()[:1] == flags.split()[:1] for r in found):
            found.append(
                Remedy(
                    change=change, flags=flags, verdict=judgement.verdict, headroom_bytes=judgement.headroom_bytes
                )
            )
    return tuple(found)


def _candidates(deployment: Deployment) -> Iterator[tuple[str, str, Deployment | None]]:
    for kv in smaller_kv(deployment):
        yield f"KV cache in {kv}", f"--kv {kv}", replace(deployment, kv_format_k=kv, kv_format_v=kv)
    sequences = deployment.workload.parallel_sequences_count
    if sequences > 1:
        yield "one sequence at a time", "--parallel 1", with_sequences([deployment], 1)[0]
    context = longest_context([deployment])
    if context and context < deployment.workload.context_tokens:
        yield f"a context of {context:,} tokens", f"--context {context}", with_context([deployment], context)[0]
    for weights in smaller_weights(deployment):
        yield f"weights in {weights}", f"--weights {weights}", replace(deployment, weight_format=weights)
    yield _raised_limit(deployment)
    if can_offload(deployment):
        placed = offload(deployment)
        if placed:
            yield "part of the weights in host memory", offload_flags(placed[0]), placed[0]
    yield _one_more_device(deployment)


def offload_flags(deployment: Deployment) -> str:
    """What to type for an offload."""
    if deployment.offload.cpu_expert_layers_count:
        return f"--n-cpu-moe {deployment.offload.cpu_expert_layers_count}"
    return f"--gpu-layers {deployment.offload.gpu_layers_count}"


def _raised_limit(deployment: Deployment) -> tuple[str, str, Deployment | None]:
    machine = deployment.machine
    if not any(d.memory_limit_bytes for d in machine.devices):
        return "", "", None
    devices = tuple(replace(d, memory_bytes=max(d.memory_bytes, d.memory_limit_bytes or 0)) for d in machine.devices)
    flags = f"--vram-free {devices[0].memory_bytes // 2**30}GiB"
    return "the GPU memory limit raised", flags, replace(deployment, machine=replace(machine, devices=devices))


def _one_more_device(deployment: Deployment) -> tuple[str, str, Deployment | None]:
    machine = deployment.machine
    if not machine.devices or any(d.is_unified for d in machine.devices):
        return "", "", None
    first = machine.devices[0]
    count = len(machine.devices) + 1
    devices = (*machine.devices, replace(first, id=f"gpu{count - 1}"))
    kind = "layer" if deployment.runtime.id in ("llama_cpp", "exllama", "transformers", "mlx") else "pipeline"
    split = Split(kind=kind, devices=tuple(d.id for d in devices))
    more = replace(deployment, machine=replace(machine, devices=devices), split=split)
    return f"one more {first.name}", f'--on "{count}x {first.catalog_id or first.name}"', more
