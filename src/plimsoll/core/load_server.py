"""A deployment as a server: what its scheduler and its KV cache take in."""

from __future__ import annotations

from dataclasses import dataclass

from plimsoll.domain.deployment import Deployment
from plimsoll.domain.load import Server
from plimsoll.runtimes import memory_of

# Simulated are the schedulers that were read; vLLM's before V1 is another one.
RUNTIMES = ("vllm", "sglang", "llama_cpp")
# llama-server --cache-ram: 8 GiB of prompts in host memory (common/common.h of llama.cpp b11434).
_SAVED_BYTES = 8192 * 2**20
# The states of one request in SGLang where the radix cache keeps old ones
# (MAMBA_CACHE_SIZE_MAX_RUNNING_REQUESTS_RATIO).
_STATES_PER_REQUEST = 3


class NoScheduler(Exception):
    """No scheduler of this runtime was read; the message says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """The server with the KV cache that is expected, and with the least and most it may be."""

    expected: Server
    small: Server
    large: Server


def servers_of(deployment: Deployment, *, intake_s: float = 0.0, delay_s: float = 0.0) -> Servers:
    """Raises NoScheduler where the runtime's scheduler is not simulated."""
    if deployment.runtime.id not in RUNTIMES:
        raise NoScheduler(f"the scheduler of {deployment.runtime.id.replace('_', '-')} is not simulated")
    make = {"vllm": _vllm, "sglang": _sglang, "llama_cpp": _llama_cpp}[deployment.runtime.id]
    value, low, high = (make(deployment, bound, intake_s, delay_s) for bound in ("value", "low", "high"))
    return Servers(expected=value, small=low, large=high)


def _estimated(deployment: Deployment, quantity: str, bound: str) -> float:
    for found in memory_of(deployment.runtime.id).estimates(deployment):
        if found.quantity == quantity:
            return float(getattr(found, bound))
    raise NoScheduler(f"the size of the KV cache of {deployment.model.id} is not known")


def _has_states(deployment: Deployment) -> bool:
    return any(layer.state is not None for layer in deployment.model.layers)


def _vllm(deployment: Deployment, bound: str, intake_s: float, delay_s: float) -> Server:
    """The pool holds max_concurrency requests of the whole context, whatever its log calls a token; models
    with recurrent layers keep no prefixes (--enable-prefix-caching is theirs to set)."""
    from plimsoll.runtimes.vllm.setup import setup_of

    setup = setup_of(deployment)
    if not setup.era.is_v1:
        raise NoScheduler("the scheduler of vLLM before V1 is not simulated")
    context = deployment.workload.context_tokens
    return Server(
        scheduling="chunked", slots_count=setup.sequences_count, step_tokens=setup.batched_tokens,
        pool_tokens=int(_estimated(deployment, "max_concurrency", bound) * context), context_tokens=context,
        block_tokens=int(_estimated(deployment, "block_size_tokens", bound)),
        has_prefix_cache=setup.has_prefix_caching and not _has_states(deployment), intake_s=intake_s,
        delay_s=delay_s,
    )  # fmt: skip


def _sglang(deployment: Deployment, bound: str, intake_s: float, delay_s: float) -> Server:
    """Requests at once: tokens of the pool / context x 512, from 2,048 to 4,096 and at most half the pool
    (model_executor/pool_configurator.py of SGLang 0.5.23), and as many as have room for their states."""
    from plimsoll.runtimes.sglang import memory

    setup = memory.setup_of(deployment)
    context = deployment.workload.context_tokens
    pool = int(_estimated(deployment, "kv_cache_tokens", bound))
    told = int(memory.setting(deployment, "max_running_requests"))
    slots = told or min(max(min(pool * 512 // context, 4096), 2048), pool // 2)
    has_cache = not memory.setting(deployment, "disable_radix_cache")
    if memory.slot_bytes(setup):
        rest = int(getattr(memory.rest_bytes(setup), bound))
        slots = min(slots, memory.state_slots(setup, rest) // (_STATES_PER_REQUEST if has_cache else 1))
    return Server(
        scheduling="prompts first", slots_count=max(slots, 1), step_tokens=setup.chunk_tokens,
        pool_tokens=pool, context_tokens=context, block_tokens=int(memory.setting(deployment, "page_size")),
        has_prefix_cache=bool(has_cache), intake_s=intake_s, delay_s=delay_s,
    )  # fmt: skip


def _llama_cpp(deployment: Deployment, bound: str, intake_s: float, delay_s: float) -> Server:
    """Slots with a context each, or sharing one; the cache is allocated at the start: its size is exact."""
    from plimsoll.runtimes.llama_cpp.settings import context_of

    context = context_of(deployment)
    cache = sum(x.size_bytes for x in memory_of("llama_cpp").lines(deployment) if x.component == "kv")
    per_token = cache / max(context.context_cells, 1)
    return Server(
        scheduling="slots", slots_count=context.sequences_count, step_tokens=context.batch_tokens,
        pool_tokens=context.context_cells, context_tokens=context.sequence_cells,
        has_prefix_cache=not _has_states(deployment), is_unified=context.is_unified, intake_s=intake_s,
        delay_s=delay_s, saved_tokens=int(_SAVED_BYTES / per_token) if per_token else 0,
    )  # fmt: skip
