"""Where a model goes: which runtime is natural, how it is split, what may stay in host memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from plimsoll.core.fit import TIGHT_SHARE, Judgement, judge, largest, problems_of
from plimsoll.domain.bill import HOST, Line
from plimsoll.domain.deployment import Deployment, Offload, Split, SplitKind
from plimsoll.domain.machine import Machine
from plimsoll.domain.model import Model
from plimsoll.runtimes import RUNTIMES, formats_of, memory_of

_TENSOR_SPLIT_RUNTIMES = ("vllm", "sglang", "tensorrt_llm")
_SPLITS: dict[str, tuple[SplitKind, ...]] = {
    "llama_cpp": ("none", "layer"), "exllama": ("none", "layer", "tensor"), "transformers": ("none", "layer"),
    "mlx": ("none",),
}  # fmt: skip
_EVERY_SPLIT: tuple[SplitKind, ...] = ("none", "layer", "tensor", "pipeline", "expert")


def splits_of(runtime_id: str) -> tuple[SplitKind, ...]:
    """The ways over several devices that are modelled for a runtime ('layer' is vLLM's 'pipeline')."""
    return _SPLITS.get(runtime_id, _EVERY_SPLIT)


def natural_runtime(
    model: Model, machine: Machine, weights: str, offload: Offload | None = None
) -> tuple[str, str]:
    """The runtime id natural to the files, the machine, the asked format and offload, and why."""
    wanted = weights.lower()
    if offload not in (None, Offload()):
        return "llama_cpp", "keeping part of the weights in host memory is llama.cpp's"
    if wanted.startswith("mlx"):
        return "mlx", f"{weights} is an MLX format"
    if wanted.startswith(("exl2", "exl3")):
        return "exllama", f"{weights} is an ExLlama format"
    if model.naming == "gguf" or _is_gguf_recipe(wanted):
        return "llama_cpp", "GGUF files run on llama.cpp"
    if any(d.backend == "metal" for d in machine.devices):
        return "mlx", "safetensors on a Mac run on MLX"
    if not machine.devices:
        return "llama_cpp", "without an accelerator llama.cpp is the natural choice"
    return "vllm", "safetensors run on vLLM"


def other_runtimes(chosen: str, model: Model, machine: Machine, weights: str) -> tuple[str, ...]:
    """The runtimes one could name instead with --runtime on this machine; none for a GGUF format."""
    if model.naming == "gguf" or _is_gguf_recipe(weights.lower()):
        return ()
    on_mac = any(d.backend == "metal" for d in machine.devices)
    possible = ("llama_cpp", "mlx", "transformers") if on_mac else tuple(r for r in RUNTIMES if r != "mlx")
    return tuple(r for r in possible if r != chosen)


def _is_gguf_recipe(weights: str) -> bool:
    return weights.startswith(("q2_", "q3_", "q4_", "q5_", "q6_", "q8_", "iq", "tq", "mxfp4_moe"))


def natural_split(deployment: Deployment) -> Deployment:
    """Spread over all devices the way the runtime does it by default; one device stays 'none'.

    vLLM and its kind take tensor parallelism where the shapes divide, else a pipeline. 'none' with named
    devices was asked for and stays.
    """
    devices = tuple(d.id for d in deployment.machine.devices)
    if deployment.split.kind == "none" and deployment.split.devices:
        return deployment
    if len(devices) < 2 or deployment.split.kind != "none":
        return replace(
            deployment, split=replace(deployment.split, devices=deployment.split.devices or devices)
        )
    if deployment.runtime.id not in _TENSOR_SPLIT_RUNTIMES:
        return replace(deployment, split=Split(kind="layer", devices=devices))
    tensor = replace(deployment, split=Split(kind="tensor", devices=devices))
    if not problems_of([tensor]):
        return tensor
    pipeline = replace(deployment, split=Split(kind="pipeline", devices=devices))
    return tensor if problems_of([pipeline]) else pipeline


def can_offload(deployment: Deployment) -> bool:
    """Only llama.cpp is asked to keep layers in host memory, and only where the host is not the device."""
    machine = deployment.machine
    return (
        deployment.runtime.id == "llama_cpp"
        and bool(machine.devices)
        and not any(d.is_unified for d in machine.devices)
        and deployment.offload == Offload()
    )


def is_offloaded(deployment: Deployment) -> bool:
    """Whether its offload keeps weights in host memory that would be on a device without it."""
    if deployment.offload == Offload() or not deployment.machine.devices:
        return False
    return _weights_in_ram(deployment) > _weights_in_ram(replace(deployment, offload=Offload()))


def _weights_in_ram(deployment: Deployment) -> int:
    here = _lines(deployment)
    return sum(x.size_bytes for x in here if x.device == HOST and x.component == "weights")


def idle_flags(deployment: Deployment) -> tuple[str, ...]:
    """The offload flags of the question without which every line would be the same."""
    given = deployment.offload
    if given == Offload() or not deployment.machine.devices:
        return ()
    changed = {
        f"--gpu-layers {given.gpu_layers_count}": replace(given, gpu_layers_count=None),
        f"--n-cpu-moe {given.cpu_expert_layers_count}": replace(given, cpu_expert_layers_count=0),
        **{
            f"--override-tensor {pattern}={buffer}": replace(
                given, overrides=tuple(pair for pair in given.overrides if pair != (pattern, buffer))
            )
            for pattern, buffer in given.overrides
        },
    }
    here = _lines(deployment)
    return tuple(
        flag
        for flag, less in changed.items()
        if less != given and _lines(replace(deployment, offload=less)) == here
    )


def _lines(deployment: Deployment) -> tuple[Line, ...]:
    found: tuple[Line, ...] = memory_of(deployment.runtime.id).lines(deployment)
    return found


def offload(deployment: Deployment) -> tuple[Deployment, Judgement] | None:
    """The smallest offload that fits: first experts of the fewest layers, then whole layers.

    A placement with room to spare is preferred to a tight one. None when nothing fits, host memory
    included (where it was told).
    """
    for verdicts in (("fits",), ("fits", "tight")):
        for candidate in _smallest_offloads(deployment, verdicts):
            judgement = judge([candidate])
            if judgement.verdict in verdicts:
                return candidate, judgement
    return None


def _smallest_offloads(deployment: Deployment, verdicts: tuple[str, ...]) -> Iterator[Deployment]:
    """Per way of offloading, the one that keeps most on the device with one of these verdicts."""
    layers_count = len(deployment.model.layers)
    # Host memory is not judged here: it would end the search where too little is left of it.
    unlimited = replace(deployment.machine, ram_bytes=None)

    def room(candidate: Deployment) -> int:
        return _room(judge([replace(candidate, machine=unlimited)]), verdicts)

    if any(layer.experts_count for layer in deployment.model.layers):
        kept = largest(lambda n: room(_experts_in_ram(deployment, layers_count - n)), layers_count)
        yield _experts_in_ram(deployment, layers_count - (kept or 0))
    on_gpu = largest(lambda n: room(_layers_on_gpu(deployment, n)), layers_count)
    yield _layers_on_gpu(deployment, on_gpu or 0)


def _room(judgement: Judgement, verdicts: tuple[str, ...]) -> int:
    """Bytes to the point where the verdict is no longer one of these, as `judge` draws it: a number and not a
    yes or no, so that the search can guess where it lies."""
    if "tight" in verdicts:
        return judgement.headroom_bytes
    totals = [t for t in judgement.bill.devices if t.id != HOST]
    spare = [t.capacity_bytes - t.used_high_bytes - TIGHT_SHARE * t.capacity_bytes for t in totals]
    return math.floor(min(spare))


def _experts_in_ram(deployment: Deployment, layers_count: int) -> Deployment:
    return replace(deployment, offload=replace(deployment.offload, cpu_expert_layers_count=layers_count))


def _layers_on_gpu(deployment: Deployment, layers_count: int) -> Deployment:
    return replace(deployment, offload=replace(deployment.offload, gpu_layers_count=layers_count))


def smaller_kv(deployment: Deployment) -> tuple[str, ...]:
    """KV formats of this runtime smaller than the one in use, largest first."""
    smaller: tuple[str, ...] = formats_of(deployment.runtime.id).SMALLER_KV
    used = deployment.kv_format_k
    return smaller[smaller.index(used) + 1 :] if used in smaller else smaller


def smaller_weights(deployment: Deployment) -> tuple[str, ...]:
    """Weight formats of this runtime smaller than the one in use, largest first."""
    smaller: tuple[str, ...] = formats_of(deployment.runtime.id).SMALLER_WEIGHTS
    used = deployment.weight_format.lower()
    return smaller[smaller.index(used) + 1 :] if used in smaller else smaller
