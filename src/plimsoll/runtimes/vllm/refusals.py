"""Why vLLM would refuse to start, whatever the memory."""

from __future__ import annotations

from plimsoll.domain.deployment import Deployment
from plimsoll.formulas.adapters import VLLM_RANKS
from plimsoll.formulas.quant_specs import named_spec_or_none
from plimsoll.runtimes.vllm import kv_cache, lora
from plimsoll.runtimes.vllm.setup import Setup, count, plan_of, setup_of
from plimsoll.runtimes.vllm.versions import release
from plimsoll.units import format_bytes

_BLOCK_ROWS = 128
_NOT_RUN_ON = ("metal", "vulkan")
_GROUPED = ("awq", "gptq", "w4a16")


def problems(deployment: Deployment) -> tuple[str, ...]:
    """Refusals of config/model.py, fused_moe and the loaders, vLLM 0.33.0, each with its reason."""
    if not deployment.machine.devices:
        return ("vLLM needs a GPU here: the machine has no accelerator",)
    if deployment.model.naming == "gguf":
        if release(deployment.runtime.version) >= (0, 33):
            return ("vLLM 0.33 has no GGUF loader",)
        return ("GGUF in vLLM was experimental and is not modelled; use the safetensors",)
    foreign = {d.backend for d in deployment.machine.devices if d.backend in _NOT_RUN_ON}
    if foreign:
        return tuple(f"vLLM does not run on {backend} devices" for backend in sorted(foreign))
    setup = setup_of(deployment)
    shapes = (*_heads(setup), *_experts(setup), *_groups(setup), *_pipeline(setup))
    # Without valid shapes there is no cache to hold against the told limits.
    return (*shapes, *_adapters(deployment), *(() if shapes else _limits(setup)))


def _heads(setup: Setup) -> list[str]:
    ranks = setup.tensor_parallel
    found = []
    for heads in sorted({x.query_heads_count for x in setup.deployment.model.layers if x.query_heads_count}):
        if heads % ranks:
            found.append(f"{heads} attention heads do not divide by tensor parallel size {ranks}")
    for kv_heads in sorted({x.kv_heads_count for x in setup.deployment.model.layers if x.kv_heads_count}):
        if kv_heads % ranks and ranks % kv_heads:
            found.append(f"{kv_heads} KV heads neither divide by nor into tensor parallel size {ranks}")
    return found


def _adapters(deployment: Deployment) -> list[str]:
    if not deployment.adapters:
        return []
    found = []
    if deployment.model.architecture in lora.WITHOUT_LORA:
        found.append(f"vLLM's class for {deployment.model.architecture} does not support LoRA")
    rank, most = max(a.rank for a in deployment.adapters), lora.max_rank(deployment)
    if most is None or rank > most:
        found.append(f"an adapter of rank {rank}, more than max_lora_rank {most or VLLM_RANKS[-1]}")
    return found


def _experts(setup: Setup) -> list[str]:
    model, ranks = setup.deployment.model, setup.tensor_parallel
    if setup.is_expert_parallel:
        return []
    found = []
    blocked = any(t.role == "expert" and t.format.startswith("fp8_block") for t in setup.tensors)
    for dim in sorted({x.expert_dim for x in model.layers if x.expert_dim}):
        if dim % ranks:
            found.append(f"an expert's width of {dim} does not divide by tensor parallel size {ranks}")
        elif blocked and dim // ranks % _BLOCK_ROWS and release(setup.deployment.runtime.version) < (0, 33):
            found.append(
                f"an expert's share of {dim // ranks} rows does not divide by FP8's blocks of {_BLOCK_ROWS}: "
                "use expert parallelism or fewer ranks"
            )
    return found


def _groups(setup: Setup) -> list[str]:
    """A scale group must not straddle two ranks in row-parallel matrices (check_marlin_supports_layer)."""
    deployment, ranks = setup.deployment, setup.tensor_parallel
    model = deployment.model
    is_published = deployment.weight_format in ("", model.weight_format)
    spec = model.quantisation if is_published else named_spec_or_none(deployment.weight_format)
    if spec is None or spec.method not in _GROUPED or (spec.group_size or 0) <= 0 or ranks == 1:
        return []
    size = spec.group_size or 1
    widths = {x.ffn_dim for x in model.layers} | {x.query_heads_count * x.value_dim for x in model.layers}
    return [
        f"{width} inputs cannot be cut into {ranks} ranks of whole groups of {size} ({spec.method})"
        for width in sorted(widths)
        if width and width % size == 0 and width % (size * ranks)
    ]


def _limits(setup: Setup) -> list[str]:
    """Sequences beyond a told max_num_seqs wait, and those beyond a told KV pool are preempted: they do not
    run at once. One request longer than the pool stops the start (_check_enough_kv_cache_memory)."""
    deployment = setup.deployment
    asked = deployment.workload.parallel_sequences_count
    most = count(deployment, "max_num_seqs")
    found = [f"{asked} sequences do not run at once with max_num_seqs={most}"] if 0 < most < asked else []
    pool, told = count(deployment, "kv_cache_memory_bytes"), count(deployment, "num_gpu_blocks_override")
    if not pool and not told:
        return found
    plan = plan_of(setup)
    blocks = asked * sum(
        kv_cache.request_blocks(
            group.cache, context_tokens=deployment.workload.context_tokens,
            in_flight_tokens=setup.in_flight_tokens, state_blocks=setup.state_blocks,
            context_parallel=setup.context_parallel,
        )
        for group in plan.groups
    )  # fmt: skip
    if told and blocks > told:
        found.append(f"the KV cache takes {blocks:,} blocks; num_gpu_blocks_override={told} gives fewer")
    elif pool and not told and blocks * plan.block_bytes > pool:
        found.append(
            f"the KV cache takes {format_bytes(blocks * plan.block_bytes)}; kv_cache_memory_bytes gives "
            f"{format_bytes(pool)}"
        )
    return found


def _pipeline(setup: Setup) -> list[str]:
    stages, layers = setup.pipeline_parallel, len(setup.deployment.model.layers)
    if stages > layers:
        return [f"{layers} layers cannot be cut into {stages} pipeline stages"]
    if len(setup.devices) % stages:
        return [f"{len(setup.devices)} devices do not divide into {stages} pipeline stages"]
    return []
