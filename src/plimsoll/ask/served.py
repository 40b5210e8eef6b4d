"""From a ServingMeasurement, in the catalog's names, to the parts of the time it measured."""

from __future__ import annotations

import math
from functools import lru_cache

from plimsoll.ask.measured import case_of
from plimsoll.catalog import devices
from plimsoll.catalog.devices import DeviceRecord
from plimsoll.core.calibrate import Sample
from plimsoll.core.conformal import kind_of, machine_of
from plimsoll.core.serving import gap_terms, throughput_terms, tpot_terms, ttft_terms
from plimsoll.domain.machine import Device
from plimsoll.domain.measurement import ServingMeasurement
from plimsoll.domain.serving import Load
from plimsoll.domain.speed import SpeedCase, Terms
from plimsoll.formulas.batch import sequence_bytes, sequences_held

# vLLM's cache keeps whole blocks of 16 tokens and computes at least the last token anew.
_BLOCK_TOKENS = 16
# A closed client repeats the same pattern from its second round on.
_ROUNDS = {"closed": 4}
_GIB = 2**30
# Requests at a time where nothing was set: vLLM's max_num_seqs (by memory), SGLang's max_running_requests,
# TensorRT-LLM's max_batch_size.
_MOST = {"vllm": (256, 1024), "sglang": (4096, 4096), "tensorrt_llm": (2048, 2048)}
_USED_SHARE = {"vllm": 0.9, "sglang": 0.88, "tensorrt_llm": 0.9}


def step_budget(runtime: str, device: DeviceRecord | Device | None) -> int:
    """Tokens that one step computes at most where nothing was set, by the card.

    vLLM's max_num_batched_tokens and SGLang's chunked_prefill_size as in `runtimes/*`; TensorRT-LLM's
    max_num_tokens; llama-server's -b.
    """
    memory = (device.memory_bytes if device else 0) or 0
    if runtime == "vllm":
        is_small = device is not None and device.compute_capability in ("8.0", "12.1")  # A100, GB10
        return 16384 if memory >= 160 * _GIB else 8192 if memory >= 70 * _GIB and not is_small else 2048
    if runtime == "sglang":
        return (
            16384
            if memory >= 160 * _GIB
            else 8192
            if memory >= 60 * _GIB
            else 4096
            if memory >= 35 * _GIB
            else 2048
        )
    return 8192 if runtime == "tensorrt_llm" else 2048


def slots(case: SpeedCase, memory_bytes: int, tokens: int) -> int:
    """Requests of `tokens` that run at a time: what the KV cache holds, at most the runtime's limit.

    llama.cpp keeps a slot per request (-np), so there all run.
    """
    if case.runtime not in _MOST or not memory_bytes:
        return 0
    small, large = _MOST[case.runtime]
    most = large if memory_bytes >= 70 * _GIB else small
    held = sequences_held(
        memory_bytes * case.devices_count, case.work.weights_bytes,
        sequence_bytes(case.work.layers, tokens, case.kv_format, case.kv_format),
        used_share=_USED_SHARE[case.runtime],
    )  # fmt: skip
    return min(most, held)


def sample_of(m: ServingMeasurement) -> Sample:
    """The measured time with its parts; `seconds` is the time to the first token, per token, or of a run.

    Raises NoCeiling or PlimsollError where the model, device or format has no speed model.
    """
    case = case_of(m)
    found, seconds = _measured(case, m, load_of(case, m))
    groups = {
        "device": m.device or m.host, "machine": machine_of(case), "model": m.model, "backend": m.backend,
        "runtime": m.runtime, "client": m.client,
        "cell": f"{m.device}|{m.devices_count}|{m.instances_count}|{m.model}|{m.weight_format}|{m.runtime}"
        f"|{m.power_limit_watts}|{m.source.partition('#')[0]}",
    }  # fmt: skip
    return Sample(id=m.id, kind=kind_of(case), terms=found, seconds=seconds, groups=groups)


def load_of(case: SpeedCase, m: ServingMeasurement) -> Load:
    """The requests that one of the engines has in flight."""
    device = _device(m.device) if m.device else None
    cached = (m.prompt_tokens - 1) // _BLOCK_TOKENS * _BLOCK_TOKENS * m.cached_percent // 100
    own = m.prompt_tokens - cached + m.generated_tokens  # a cached prefix is held once for all
    held = m.slots_count or slots(case, (device.memory_bytes or 0) if device else 0, own)
    each = math.ceil(m.sequences_count / max(m.instances_count, 1))
    if m.client == "queue":
        each = held
    return Load(
        concurrent_count=each, prompt_tokens=m.prompt_tokens, output_tokens=max(m.generated_tokens, 1),
        chunk_tokens=m.ubatch_tokens or step_budget(m.runtime, device), cached_tokens=cached,
        rounds_count=_ROUNDS.get(m.client, 1), slots_count=held, is_prompt_first=m.order == "prompts first",
    )  # fmt: skip


@lru_cache(maxsize=256)
def _device(device_id: str) -> DeviceRecord:
    return devices.load(device_id)


def _measured(case: SpeedCase, m: ServingMeasurement, load: Load) -> tuple[Terms, float]:
    if m.metric == "ttft_ms":
        return ttft_terms(case, load, client=m.client), m.value / 1e3
    if m.metric == "prefill_tps":
        return ttft_terms(case, load, client=m.client), m.prompt_tokens / m.value
    if m.metric in ("tpot_ms", "decode_tps"):
        seconds = m.value / 1e3 if m.metric == "tpot_ms" else 1 / m.value
        if m.counted == "gap":
            return gap_terms(case, load, client=m.client), seconds
        return tpot_terms(case, load, client=m.client), seconds
    found, tokens = throughput_terms(case, load, m.counted, client=m.client)  # type: ignore[arg-type]
    busy = min(m.instances_count, m.sequences_count) if m.instances_count else 1
    return found, tokens * busy / m.value
