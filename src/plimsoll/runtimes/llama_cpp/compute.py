"""Compute buffers, the output buffer and what the driver takes, device by device."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from plimsoll.domain.bill import HOST, Interval, Line
from plimsoll.domain.deployment import Deployment
from plimsoll.runtimes.llama_cpp.allocator import buffer_bytes
from plimsoll.runtimes.llama_cpp.decoder import PROVEN, decoder_graph
from plimsoll.runtimes.llama_cpp.graph import (
    Plan,
    batch_from_json,
    batch_of,
    batch_to_json,
    block_from_json,
    plan_of,
    sampled,
)
from plimsoll.runtimes.llama_cpp.placement import Placement
from plimsoll.runtimes.llama_cpp.settings import Context, flag, is_ik, rules_for
from plimsoll.runtimes.llama_cpp.weights import alignment_of, tensor_table

MIB = 1024**2
PIPELINE_COPIES_COUNT = 4  # GGML_SCHED_MAX_COPIES, ggml/CMakeLists.txt of ggml-org/llama.cpp@0c1e57098

# What a process takes on a device beside the buffers that llama.cpp counts (value, low, high in MiB), as its
# own memory breakdown prints it under "unaccounted": 451-456 on three RTX 4090
# (https://github.com/ggml-org/llama.cpp/pull/15860), 703-711 on four RTX PRO 6000, 253 on an MI50.
# Elsewhere nothing was logged: the bounds span what was seen.
OVERHEAD_MIB: dict[str, tuple[int, int, int]] = {
    "cuda": (455, 250, 720), "cuda ada": (455, 430, 520), "cuda blackwell": (705, 650, 780),
    "rocm": (255, 200, 600), "vulkan": (150, 0, 300), "metal": (100, 0, 300), "sycl": (300, 0, 600),
}  # fmt: skip


def output_bytes(outputs_count: int, vocab_size: int) -> int:
    """The buffer that logits are copied to: outputs x vocabulary x 4 bytes.

    Source: llama_context::output_reserve, src/llama-context.cpp of ggml-org/llama.cpp@0c1e57098.
    """
    return outputs_count * vocab_size * 4


def context_overhead_bytes(backend: str, architecture: str) -> Interval:
    """What the driver's context and libraries take on one device: `OVERHEAD_MIB`, from logs."""
    generation = architecture.lower().split(" ")[0]
    value, low, high = OVERHEAD_MIB.get(f"{backend} {generation}", OVERHEAD_MIB[backend])
    return Interval(value * MIB, low * MIB, high * MIB)


def cpu_compute_bytes(
    architecture: str, kinds: Sequence[Mapping[str, Any]], order: Sequence[int], layers_count: int,
    hidden_dim: int, vocab_size: int, batch: Mapping[str, Any], has_windows: bool, spread: Sequence[float],
) -> Interval:  # fmt: skip
    """The CPU's compute buffer: ggml's allocator on the graph of one prompt batch.

    The graph is built from the model's blocks as src/models/*.cpp does, the allocator is that of
    ggml/src/ggml-alloc.c, both at ggml-org/llama.cpp@0c1e57098. `order` samples the blocks (`kinds`);
    `spread` is (low, high) as shares of the value, (1, 1) where the engine gave the same bytes.
    """
    asked = (architecture, kinds, order, layers_count, hidden_dim, vocab_size, batch, has_windows)
    value = _sizes(json.dumps(asked), alignment_of("cpu")).buffer_bytes
    return Interval(value, int(value * spread[0]), int(value * spread[1]))


def device_compute_bytes(
    architecture: str, kinds: Sequence[Mapping[str, Any]], order: Sequence[int], layers_count: int,
    hidden_dim: int, vocab_size: int, batch: Mapping[str, Any], has_windows: bool, has_output: bool,
    copies_count: int, borrowed_bytes: int, alignment_bytes: int, spread: Sequence[float],
) -> Interval:  # fmt: skip
    """An accelerator's compute buffer: ggml's allocator on the part of the graph that runs there.

    Inputs arrive as copies: `copies_count` of each under pipeline parallelism, which then stay. Weights
    in host memory that are multiplied on the device are copied there (`borrowed_bytes`, the largest).
    `spread` is (low, high) as shares of the value, from the logged buffers.
    """
    asked = (architecture, kinds, order, layers_count, hidden_dim, vocab_size, batch, has_windows)
    found = _sizes(
        json.dumps(asked), alignment_bytes, has_embeddings=False, has_output=has_output,
        keeps_inputs=copies_count > 1,
    )  # fmt: skip
    extra = (copies_count - 1) * found.inputs_bytes if copies_count > 1 else 0
    value = found.buffer_bytes + extra + borrowed_bytes
    return Interval(value, int(value * spread[0]), int(value * spread[1]))


def host_compute_bytes(
    architecture: str, kinds: Sequence[Mapping[str, Any]], order: Sequence[int], layers_count: int,
    hidden_dim: int, vocab_size: int, batch: Mapping[str, Any], has_windows: bool, copies_count: int,
    embeddings_count: int, host_layers_count: int, spread: Sequence[float],
) -> Interval:  # fmt: skip
    """The host's compute buffer beside accelerators: the inputs, and what stays on the host.

    All inputs (masks, positions, indices) x copies + `embeddings_count` x hidden x tokens x 4; with blocks
    on the host at least their graph's buffer.
    """
    asked = json.dumps((architecture, kinds, order, layers_count, hidden_dim, vocab_size, batch, has_windows))
    tokens = batch_from_json(batch).tokens_count
    embedded = hidden_dim * tokens * 4
    inputs = _sizes(asked, alignment_of("cpu"), has_embeddings=False).inputs_bytes - embedded
    value = inputs * copies_count + embeddings_count * embedded
    if host_layers_count:
        own = _sizes(asked, alignment_of("cpu"), has_embeddings=False, has_output=False)
        value = max(value, own.buffer_bytes)
    return Interval(value, int(value * spread[0]), int(value * spread[1]))


class _Sizes(NamedTuple):
    """A graph's buffer as the allocator lays it out, and the sum of its inputs."""

    buffer_bytes: int
    inputs_bytes: int


@lru_cache(maxsize=512)
def _sizes(
    asked: str, alignment_bytes: int, *, has_embeddings: bool = True, has_output: bool = True,
    keeps_inputs: bool = False,
) -> _Sizes:  # fmt: skip
    """Of the graph that a line's inputs describe, as JSON: a plan asks for the same one in every weight
    format and at every offload. `keeps_inputs`: they stay until the end, as under pipeline parallelism."""
    architecture, kinds, order, layers_count, hidden_dim, vocab_size, batch, has_windows = json.loads(asked)
    blocks = [block_from_json(kind) for kind in kinds]
    graph = decoder_graph(
        architecture, [blocks[i] for i in order], hidden_dim, vocab_size, batch_from_json(batch), has_windows,
        layers_count, has_embeddings=has_embeddings, has_output=has_output,
    )  # fmt: skip
    inputs = sum(leaf.size_bytes for leaf in graph.leaves)
    if keeps_inputs:
        for leaf in graph.leaves:
            leaf.is_output = True
    return _Sizes(buffer_bytes(graph, alignment_bytes), inputs)


def compute_lines(deployment: Deployment, context: Context, placement: Placement) -> list[Line]:
    """Output buffer, compute buffers of the host and of every device in use, and the drivers' overhead."""
    model = deployment.model
    table = tensor_table(model, deployment.weight_format)
    plan = plan_of(model, table)
    batch = batch_of(model.layers, plan.architecture, context)
    common = {
        "architecture": plan.architecture,
        "kinds": plan.kinds_json,
        "order": list(plan.sample),
        "layers_count": len(plan.order),
        "hidden_dim": model.hidden_dim,
        "vocab_size": model.vocab_size,
        "batch": batch_to_json(batch),
        "has_windows": any(k.is_window for k in plan.kinds),
    }
    found = [
        Line.of(
            output_bytes,
            {
                "outputs_count": context.sequences_count + context.rules.spare_outputs_count,
                "vocab_size": model.vocab_size,
            },
            component="compute",
            label="output buffer",
            device=HOST,
            model=model.id,
        )
    ]
    if not placement.accelerators:
        is_newest = not deployment.runtime.version and not is_ik(deployment)
        spread = _spread(plan.architecture, "cpu" if is_newest else "older")
        found.append(
            Line.of(
                cpu_compute_bytes,
                {**common, "spread": spread},
                component="compute",
                label="compute buffer",
                device=HOST,
                model=model.id,
                basis="formula",
            )
        )
        return found
    return [*found, *_accelerated(deployment, context, placement, plan, common)]


def _accelerated(
    deployment: Deployment, context: Context, placement: Placement, plan: Plan, common: Mapping[str, Any]
) -> list[Line]:
    model = deployment.model
    copies = _copies_count(deployment, placement)
    borrowed = _borrowed_bytes(deployment, placement)
    spread = _spread(plan.architecture, "offload" if borrowed or is_ik(deployment) else "device")
    backends = {d.id: d.backend for d in deployment.machine.devices}
    generations = {d.id: d.architecture for d in deployment.machine.devices}
    host_layers = [i for i, device in enumerate(placement.layers) if device == HOST]
    found = [
        Line.of(
            host_compute_bytes,
            {
                **common,
                "order": list(sampled([plan.order[i] for i in host_layers])) or common["order"],
                "copies_count": copies,
                "embeddings_count": context.rules.embedding_buffers_count,
                "host_layers_count": len(host_layers),
                "spread": spread,
            },
            component="compute",
            label="compute buffer of the host",
            device=HOST,
            model=model.id,
            basis="formula",
        )
    ]
    for n, device in enumerate(placement.accelerators):
        # Large batches through the host's blocks are multiplied on the first device, with borrowed weights.
        places = {device, HOST} if n == 0 and borrowed else {device}
        own = [plan.order[i] for i, place in enumerate(placement.layers) if place in places]
        unpacks = context.rules.attention_unpacks_cache and backends[device] in ("cuda", "rocm")
        batch = {
            **common["batch"],
            "unpacks_k": unpacks and context.is_quantised_k,
            "unpacks_v": unpacks and context.is_quantised_v,
        }
        inputs = {
            **common,
            "batch": batch,
            "order": list(sampled(own)),
            "layers_count": len(own),
            "has_output": placement.output == device,
            "copies_count": copies,
            "borrowed_bytes": borrowed if n == 0 else 0,
            "alignment_bytes": alignment_of(backends[device]),
            "spread": spread,
        }
        found.append(
            Line.of(
                device_compute_bytes,
                inputs,
                component="compute",
                label="compute buffer",
                device=device,
                model=model.id,
                basis="calibrated",
            )
        )
        if backends[device] in OVERHEAD_MIB:
            found.append(
                Line.of(
                    context_overhead_bytes,
                    {"backend": backends[device], "architecture": generations[device]},
                    component="overhead",
                    label="driver context",
                    device=device,
                    model=model.id,
                    basis="measured",
                )
            )
    return found


def _copies_count(deployment: Deployment, placement: Placement) -> int:
    """4 under pipeline parallelism: several devices, everything on them, a layer split, no overrides."""
    is_pipelined = (
        len(placement.devices) > 1
        and HOST not in (*placement.layers, placement.output)
        and not placement.overrides
        and not placement.expert_layers_on_host_count
        and flag(deployment, "offload_kqv")
        and flag(deployment, "pipeline_parallel")
        and rules_for(deployment).has_pipeline
    )
    return PIPELINE_COPIES_COUNT if is_pipelined else 1


def _borrowed_bytes(deployment: Deployment, placement: Placement) -> int:
    """The largest matrix that lies on the host but is multiplied on the device (--op-offload)."""
    if not (flag(deployment, "op_offload") and rules_for(deployment).borrows_weights):
        return 0
    if not placement.is_on_host:
        return 0
    largest = 0
    for tensor in tensor_table(deployment.model, deployment.weight_format):
        is_larger = tensor.size_bytes > largest and tensor.layer is not None and len(tensor.shape) > 1
        if is_larger and placement.of(tensor) == HOST:
            largest = tensor.size_bytes
    return largest


# Logged device buffers as shares of ours: 16 rows of mainline builds from May 2024 to May 2026 (CUDA, Metal,
# Vulkan; one to six cards) lie from 0.987 to 1.30, twelve of them within 0.015 of 1; the high ones are long
# contexts of Qwen3.6, where the order of freed inputs decides. bench/score_memory.py prints them.
_DEVICE_SPREAD = (0.95, 1.32)


def _spread(architecture: str, where: str) -> list[float]:
    """Shares of the value between which the engine's buffer lies; wider for graphs never compared."""
    if where == "cpu":
        return [1.0, 1.0] if architecture in PROVEN else [0.6, 1.6]
    if where == "older":
        return [0.8, 1.25] if architecture in PROVEN else [0.5, 2.0]
    if where == "offload":
        return [0.5, 2.0]
    return list(_DEVICE_SPREAD) if architecture in PROVEN else [0.5, 2.0]
