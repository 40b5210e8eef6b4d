"""vLLM: what a deployment takes on each rank, and what its log will say."""

from __future__ import annotations

import math
from typing import Any

from plimsoll.domain.bill import Component, Interval, Line
from plimsoll.domain.deployment import Deployment
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.machine import Device
from plimsoll.formulas import ranks
from plimsoll.formulas.adapters import slots_bytes
from plimsoll.runtimes.vllm import kv_cache, lora, profile
from plimsoll.runtimes.vllm.refusals import problems
from plimsoll.runtimes.vllm.setup import (
    DEFAULTS,
    LIMITS,
    Setup,
    count,
    has_flash_attention,
    plan_of,
    setup_of,
    stage_plan,
)
from plimsoll.units import GIB

__all__ = ["DEFAULTS", "LIMITS", "estimates", "lines", "problems"]

_CAPTURE_LIMIT = 512


def requested_bytes(memory_bytes: int, utilization: float) -> int:
    """What vLLM claims of a card: ceil(memory x gpu_memory_utilization) (request_memory, worker/utils.py)."""
    return math.ceil(memory_bytes * utilization)


def visible_bytes(device: Device) -> int:
    """The total that CUDA tells a program: the card's memory without the driver's own share."""
    return device.memory_bytes - device.driver_reserved_bytes


def left_free_bytes(
    memory_bytes: int, utilization: float, held_by_others_bytes: int, graphs_bytes: int
) -> int:
    """What gpu_memory_utilization leaves free: memory - claimed, less what others hold there and less
    the CUDA graphs where the release does not count them into its share; never below 0."""
    return max(
        0, memory_bytes - requested_bytes(memory_bytes, utilization) - held_by_others_bytes - graphs_bytes
    )


def lines(deployment: Deployment) -> tuple[Line, ...]:
    """Weights, KV cache needed for the asked workload, states, activations, graphs and the rest, per rank."""
    setup = setup_of(deployment)
    found: list[Line] = []
    for device, stage in setup.rank_devices:
        found += _weight_lines(setup, device, stage)
        found += _cache_lines(setup, device, stage)
        found += _overhead_lines(setup, device)
        found += adapter_lines(setup, device, stage)
    return tuple(line for line in found if line.high_bytes > 0)


def adapter_lines(setup: Setup, device: Device, stage: int) -> list[Line]:
    """max_loras slots of max_lora_rank for every module that could be adapted, whatever the adapters use."""
    deployment = setup.deployment
    if not deployment.adapters:
        return []
    model = deployment.model
    rows = lora.slot_rows(
        model, setup.tensor_parallel, is_expert_parallel=setup.is_expert_parallel,
        pipeline_parallel=setup.pipeline_parallel, stage=stage,
    )  # fmt: skip
    inputs = {
        "rows": rows, "rank": lora.max_rank(deployment) or max(a.rank for a in deployment.adapters),
        "slots_count": count(deployment, "max_loras") or len(deployment.adapters),
        "value_bytes": 4 if deployment.weight_format in ("f32", "fp32", "float32") else 2,
    }  # fmt: skip
    label = f"LoRA slots ({inputs['slots_count']} of rank {inputs['rank']})"
    return [
        Line.of(
            slots_bytes, inputs, component="adapters", label=label, device=device.id, model=model.id,
            basis="formula",
        )
    ]  # fmt: skip


def _weight_lines(setup: Setup, device: Device, stage: int) -> list[Line]:
    model = setup.deployment.model
    groups = ranks.rank_groups(
        setup.tensors, model, tensor_parallel=setup.tensor_parallel,
        pipeline_parallel=setup.pipeline_parallel, stage=stage,
        is_expert_parallel=setup.is_expert_parallel, has_vision=setup.has_vision,
        has_mtp=setup.speculative_tokens > 0,
    )  # fmt: skip
    origins = tuple(model.origins.values())
    found = [
        Line.of(
            ranks.rank_bytes, {"groups": groups}, component="weights", label="weights", device=device.id,
            model=model.id, origins=origins,
        )
    ]  # fmt: skip
    table = ranks.rope_table_inputs(model)
    if table["positions_count"] and table["rotary_dim"]:
        found.append(
            Line.of(
                ranks.rope_table_bytes, table, component="weights", label="rotary table", device=device.id,
                model=model.id, basis="formula",
            )
        )  # fmt: skip
    return found


def request_blocks_by_group(setup: Setup, plan: kv_cache.Plan, context_tokens: int) -> dict[str, int]:
    """Blocks one request of this length takes, by group ('full', 'sliding 1023 #2', 'state #1')."""
    blocks: dict[str, int] = {}
    for number, group in enumerate(plan.groups, start=1):
        blocks[f"{group.cache.kind} #{number}"] = kv_cache.request_blocks(
            group.cache, context_tokens=context_tokens, in_flight_tokens=setup.in_flight_tokens,
            state_blocks=setup.state_blocks, context_parallel=setup.context_parallel,
        )  # fmt: skip
    return blocks


def _cache_lines(setup: Setup, device: Device, stage: int) -> list[Line]:
    """KV and states that the asked sequences keep resident at their full length."""
    workload, model = setup.deployment.workload, setup.deployment.model
    own = ranks.stages(len(model.layers), setup.pipeline_parallel)[stage]
    plan = stage_plan(setup, own)
    blocks = request_blocks_by_group(setup, plan, workload.context_tokens)
    kinds: tuple[tuple[Component, bool, str], ...] = (
        ("kv", False, "KV cache"),
        ("state", True, "recurrent state"),
    )
    found = []
    for component, is_state, label in kinds:
        part = {k: v for k, v in blocks.items() if k.startswith("state") == is_state}
        if not part:
            continue
        inputs = {
            "block_bytes": plan.block_bytes, "blocks_per_sequence": part,
            "sequences_count": workload.parallel_sequences_count,
        }  # fmt: skip
        found.append(
            Line.of(
                kv_cache.blocks_bytes, inputs, component=component, label=label, device=device.id,
                model=model.id,
            )
        )  # fmt: skip
    return found


def _vision_bytes(setup: Setup) -> int:
    """What profiling the vision tower with its largest picture leaves behind: 1 GiB for Qwen's towers.

    A 27B on an RTX 5090 gained 44,904 tokens of 59 KB (its share of a request of 32,768) without its
    0.86 GiB tower, of which 1.0 GiB were activations (vllm-project/recipes, Qwen3.8-27B.yaml); 1.1 GiB
    lacked on two RTX 3090 (mitchross/talos-argocd-proxmox#1995).
    """
    model = setup.deployment.model
    is_large = setup.has_vision and model.architecture.startswith(ranks.SPATIAL_ROPE)
    return GIB if is_large and any(t.role == "vision" for t in model.tensors) else 0


def _activation_inputs(setup: Setup) -> dict[str, Any]:
    model, layers = setup.deployment.model, setup.deployment.model.layers
    return {
        "batched_tokens": setup.batched_tokens,
        "sequences_count": setup.sequences_count,
        "hidden_dim": model.hidden_dim,
        "ffn_dim": max((x.ffn_dim for x in layers), default=0),
        "expert_dim": max((x.expert_dim for x in layers), default=0),
        "active_experts_count": max((x.active_experts_count for x in layers), default=0),
        "vocab_size": model.vocab_size,
        "logit_bytes": setup.era.logit_bytes,
        "tensor_parallel": setup.tensor_parallel,
        "vision_bytes": _vision_bytes(setup),
        "attention_heads_count": 0
        if has_flash_attention(setup.devices)
        else max((x.query_heads_count for x in layers), default=0),
    }


def _graph_inputs(setup: Setup) -> dict[str, Any]:
    largest = min(
        _CAPTURE_LIMIT, 2 * setup.sequences_count * (1 + setup.speculative_tokens), setup.batched_tokens
    )
    sizes = len([n for n in (1, 2, 4, *range(8, 256, 8), *range(256, largest + 1, 16)) if n <= largest])
    model = setup.deployment.model
    return {
        "layers_count": len(model.layers), "hidden_dim": model.hidden_dim, "largest_batch": largest,
        "graphs_count": 0 if setup.is_eager else 2 * sizes, "devices_count": len(setup.devices),
    }  # fmt: skip


def _overhead_lines(setup: Setup, device: Device) -> list[Line]:
    model = setup.deployment.model.id
    graph_inputs = _graph_inputs(setup)
    found = [
        Line.of(
            profile.activation_bytes, _activation_inputs(setup), component="compute", label="activation peak",
            device=device.id, model=model, basis="formula",
        ),
        Line.of(
            profile.graph_bytes, graph_inputs, component="overhead", label="CUDA graphs", device=device.id,
            model=model, basis="calibrated",
        ),
        Line.of(
            profile.non_torch_bytes, 
            {"devices_count": len(setup.devices), "is_unified": device.is_unified}, component="overhead",
            label="CUDA context and libraries", device=device.id, model=model, basis="calibrated",
        ),
    ]  # fmt: skip
    if not count(setup.deployment, "kv_cache_memory_bytes"):
        outside = 0 if setup.era.estimates_graphs else profile.graph_bytes(**graph_inputs).value
        used = _utilization(setup)
        inputs = {
            "memory_bytes": visible_bytes(device), "utilization": used,
            "held_by_others_bytes": device.reserved_bytes - device.driver_reserved_bytes,
            "graphs_bytes": outside,
        }  # fmt: skip
        label = f"left free by gpu_memory_utilization {used:g}"
        found.append(
            Line.of(left_free_bytes, inputs, component="reserved", label=label, device=device.id, model=model)
        )
    return found


def _utilization(setup: Setup) -> float:
    chosen = setup.deployment.settings.get("gpu_memory_utilization")
    return setup.era.default_utilization if chosen is None else float(chosen)


def pool_bytes(setup: Setup) -> Interval:
    """The KV pool: claimed - weights - activations - outside PyTorch - CUDA graphs (where estimated), on
    the rank with least; `kv_cache_memory_bytes` replaces all that."""
    fixed = count(setup.deployment, "kv_cache_memory_bytes")
    if fixed:
        return Interval(fixed, fixed, fixed)
    best: Interval | None = None
    for device, stage in setup.rank_devices:
        taken = [*_weight_lines(setup, device, stage), *_overhead_lines(setup, device)]
        taken += adapter_lines(setup, device, stage)
        taken = [x for x in taken if x.component != "reserved"]
        if not setup.era.estimates_graphs:
            taken = [x for x in taken if x.label != "CUDA graphs"]
        claimed = requested_bytes(visible_bytes(device), _utilization(setup))
        here = Interval(
            claimed - sum(x.size_bytes for x in taken),
            claimed - sum(x.high_bytes for x in taken),
            claimed - sum(x.low_bytes for x in taken),
        )
        best = here if best is None or here.value < best.value else best
    return best or Interval(0, 0, 0)


def estimates(deployment: Deployment) -> tuple[Estimate, ...]:
    """The pool, and what vLLM's log will say of it."""
    setup = setup_of(deployment)
    plan = plan_of(setup)
    if not plan.groups:
        return ()
    pool = pool_bytes(setup)
    length = deployment.workload.context_tokens
    blocks = sum(request_blocks_by_group(setup, plan, length).values())
    stages = [
        stage_plan(setup, own) for own in ranks.stages(len(deployment.model.layers), setup.pipeline_parallel)
    ]
    block_bytes = max(p.block_bytes for p in stages)
    counts = [_blocks_count(setup, size, block_bytes) for size in pool]
    old = [
        kv_cache.printed_tokens(n, len(plan.groups), plan.block_tokens, setup.context_parallel)
        for n in counts
    ]
    new = [int(n / blocks * length) for n in counts]
    printed, other = (new, old) if setup.era.prints_request_tokens else (old, new)
    activation = profile.activation_bytes(**_activation_inputs(setup))
    graphs = profile.graph_bytes(**_graph_inputs(setup))
    needed = plan.block_bytes * blocks
    longest = [_longest(setup, plan, n) for n in counts]
    basis = "formula"
    rows: list[tuple[str, str, tuple[float, float, float]]] = [
        ("kv_pool_bytes", "bytes", pool),
        ("block_size_tokens", "tokens", (plan.block_tokens,) * 3),
        ("kv_blocks", "blocks", _triple(counts)),
        ("kv_cache_tokens", "tokens", _triple(printed)),
        ("kv_cache_tokens_other_meaning", "tokens", _triple(other)),
        ("max_concurrency", "requests", _triple([n / blocks for n in counts])),
        ("kv_needed_bytes", "bytes", (needed,) * 3),
        ("max_len_tokens", "tokens", _triple(longest)),
        ("activation_bytes", "bytes", activation),
        ("cuda_graph_bytes", "bytes", graphs),
    ]
    return tuple(
        Estimate(
            quantity=name, unit=unit, value=value, low=low, high=high, basis=basis,  # type: ignore[arg-type]
            formula="runtimes.vllm.memory:estimates",
        )
        for name, unit, (value, low, high) in rows
    )  # fmt: skip


def _triple(values: list[Any]) -> tuple[float, float, float]:
    return values[0], values[1], values[2]


def _blocks_count(setup: Setup, pool: int, block_bytes: int) -> int:
    fixed = count(setup.deployment, "num_gpu_blocks_override")
    return fixed or max(0, pool) // block_bytes


def _longest(setup: Setup, plan: kv_cache.Plan, blocks_count: int) -> int:
    """The longest request that a pool of `blocks_count` holds (_estimate_max_model_len_from_groups)."""
    low, high = 0, 1 << 25
    while low < high:
        middle = (low + high + 1) // 2
        if sum(request_blocks_by_group(setup, plan, middle).values()) <= blocks_count:
            low = middle
        else:
            high = middle - 1
    return low


def pool_for_tokens(deployment: Deployment, printed_tokens: int) -> int:
    """The KV pool behind a printed "GPU KV cache size": the logged tokens turned back into bytes.

    Before 0.21: tokens / (block x context-parallel ranks) x groups x block bytes; since:
    tokens / max_model_len x blocks per request x block bytes.
    """
    setup = setup_of(deployment)
    plan = plan_of(setup)
    length = deployment.workload.context_tokens
    if setup.era.prints_request_tokens:
        blocks = sum(request_blocks_by_group(setup, plan, length).values())
        return round(printed_tokens / length * blocks * plan.block_bytes)
    return (
        printed_tokens // (plan.block_tokens * setup.context_parallel) * len(plan.groups) * plan.block_bytes
    )
