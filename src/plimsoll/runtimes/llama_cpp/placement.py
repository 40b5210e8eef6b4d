"""Which device gets which layer, as llama.cpp decides it.

Source: llama_model_base::load_tensors in src/llama-model.cpp and llama_model_loader::create_tensor in
src/llama-model-loader.cpp of ggml-org/llama.cpp@0c1e57098.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

from plimsoll.domain.bill import HOST
from plimsoll.domain.deployment import Deployment
from plimsoll.domain.machine import Device
from plimsoll.domain.model import TensorSpec
from plimsoll.errors import BadSetting
from plimsoll.runtimes.llama_cpp.settings import rules_for

# Tensors outside the blocks that belong to the input stay with the host whatever -ngl says
# (LLM_TENSOR_LAYER_INPUT in src/llama-arch.cpp).
_INPUT = re.compile(r"^(token_embd|position_embd|token_types|per_layer_token_embd)\b")
_BLOCK = re.compile(r"^blk\.(\d+)\.")
_EXPERTS = re.compile(r"\.ffn_(up|down|gate|gate_up)_(ch|)exps")  # LLM_FFN_EXPS_REGEX, common/common.h


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Device id of every block and of the output; host memory is 'ram'."""

    layers: tuple[str, ...]
    output: str
    devices: tuple[str, ...]
    expert_layers_on_host_count: int = 0
    overrides: tuple[tuple[str, str], ...] = ()

    def of(self, tensor: TensorSpec) -> str:
        """The device that holds a tensor (named as in GGUF)."""
        for pattern, buffer in self.overrides:
            if re.search(pattern, tensor.name):
                return buffer
        block = _BLOCK.match(tensor.name)
        if block is None:
            return HOST if _INPUT.match(tensor.name) else self.output
        index = int(block.group(1))
        if index < self.expert_layers_on_host_count and _EXPERTS.search(tensor.name):
            return HOST
        return self.layers[index] if index < len(self.layers) else self.output

    @property
    def is_on_host(self) -> bool:
        """Whether any part of a block may lie in host memory."""
        is_split = bool(self.overrides or self.expert_layers_on_host_count)
        return is_split or HOST in (*self.layers, self.output)

    @property
    def accelerators(self) -> tuple[str, ...]:
        """Devices that hold a layer or the output, in order."""
        used = {*self.layers, self.output}
        return tuple(d for d in self.devices if d in used)


def place(deployment: Deployment, blocks_count: int) -> Placement:
    """Assign `blocks_count` blocks and the output to the deployment's devices.

    The last `-ngl` of blocks + 1 go to the devices (until December 2025 the last `-ngl` blocks, and the
    output only beyond all of them). Place i of those goes to the first device whose cumulative share exceeds
    i / count, shares being --tensor-split or else the free memory.
    Raises BadSetting for an unknown device or buffer.
    """
    devices = _devices(deployment)
    wanted = deployment.offload.gpu_layers_count
    total = blocks_count + 1
    count = min(total if wanted is None or wanted < 0 else wanted, total) if devices else 0
    is_output_first = rules_for(deployment).offloads_output_first
    start = total - count if is_output_first else max(blocks_count - count, 0)
    marks = _marks(deployment, devices)
    spots = [HOST] * start
    spots += [devices[min(bisect_right(marks, i / count), len(devices) - 1)].id for i in range(count)]
    spots += [HOST] * (total - len(spots))
    return Placement(
        layers=tuple(spots[:-1]),
        output=spots[-1],
        devices=tuple(d.id for d in devices),
        expert_layers_on_host_count=deployment.offload.cpu_expert_layers_count,
        overrides=tuple((_pattern(p), _buffer(deployment, b)) for p, b in deployment.offload.overrides),
    )


def shares_of(deployment: Deployment) -> tuple[str, ...]:
    """What --tensor-split must say for `place`: the shares, or the free memory in MiB, device by device."""
    devices = _devices(deployment)
    if any(deployment.split.shares):
        return tuple(f"{share:g}" for share in deployment.split.shares[: len(devices)])
    free = [max(d.memory_bytes - d.reserved_bytes, 0) for d in devices]
    return ("1",) * len(free) if len(set(free)) == 1 else tuple(str(b // 2**20) for b in free)


def _devices(deployment: Deployment) -> tuple[Device, ...]:
    known = {d.id: d for d in deployment.machine.devices}
    ids = deployment.split.devices or tuple(known)
    for name in ids:
        if name not in known:
            raise BadSetting(f"the machine has no device {name!r}", hint=f"one of {', '.join(known)}")
    if deployment.split.kind == "none":
        ids = ids[:1]
    return tuple(known[name] for name in ids)


def _marks(deployment: Deployment, devices: tuple[Device, ...]) -> list[float]:
    """Cumulative shares, ending at 1."""
    shares: tuple[float, ...] = deployment.split.shares
    if not shares or not any(shares):
        shares = tuple(float(max(d.memory_bytes - d.reserved_bytes, 0)) for d in devices)
    if len(shares) < len(devices):
        raise BadSetting(f"{len(devices)} devices need as many shares, not {len(shares)}")
    sums = list(accumulate(shares[: len(devices)]))
    if not devices:
        return []
    if sums[-1] <= 0:
        raise BadSetting("the shares of the devices sum to nothing")
    return [s / sums[-1] for s in sums]


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise BadSetting(f"{text!r} is not a pattern: {error}") from None
    return text


def _buffer(deployment: Deployment, name: str) -> str:
    """A device id for a buffer name as -ot writes it ('CPU', 'CUDA0', 'Vulkan1') or for a device id."""
    if name.lower() in ("cpu", HOST):
        return HOST
    ids = [d.id for d in deployment.machine.devices]
    if name in ids:
        return name
    numbered = re.fullmatch(r"(?:CUDA|ROCm|Vulkan|SYCL|Metal|MTL)(\d*)", name)
    if numbered and int(numbered.group(1) or 0) < len(ids):
        return ids[int(numbered.group(1) or 0)]
    raise BadSetting(f"there is no buffer {name!r}", hint=f"CPU or one of {', '.join(ids)}")
