"""A speed that somebody measured, with what it was measured on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Metric = Literal["decode_tps", "prefill_tps", "throughput_tps", "ttft_ms", "tpot_ms"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One published or own measurement. Names are those of the catalog; 0 and '' mean: not told.

    `runtime` is a runtime id, `flavour` a program built on it that differs in speed ('llamafile', 'ollama',
    'ik'). `device` is a catalog device; '' for a run on the processor alone. `file_bytes` is the size of the
    weights where it was told; a publisher's own mixture of formats has a size but no rule.
    `cpu_expert_layers_count` is --n-cpu-moe, `gpu_layers_count` is -ngl (None: all).
    `threads_count` are those of the processor, where it works.
    `depth_tokens` were in the cache before the measured part began; `value` is tokens/s, or milliseconds.
    """

    id: str
    source: str
    runtime: str
    flavour: str
    version: str
    backend: str
    device: str
    devices_count: int
    split: str
    host: str
    ram_bytes_per_s: int
    model: str
    weight_format: str
    file_bytes: int
    kv_format: str
    gpu_layers_count: int | None
    cpu_expert_layers_count: int
    threads_count: int = 0
    flash_attention: str
    ubatch_tokens: int
    prompt_tokens: int
    generated_tokens: int
    depth_tokens: int
    sequences_count: int
    power_limit_watts: int
    metric: Metric
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingMeasurement(Measurement):
    """A speed measured by a client that keeps several requests in flight.

    `client` is who asked and how: 'llama-benchy' and 'wave' start all requests at once and wait for all,
    'closed' replaces a finished one at once, 'queue' hands over everything at once and lets the engine
    choose. `counted` is what a throughput counts: 'output', 'after the first' (see
    `core.serving.throughput_terms`) or 'prompt and output'; of a time per token whether it is a 'gap'
    between two tokens or a request's 'mean'. `instances_count` engines share the requests, each on its own
    cards. `cached_percent` of the prompts repeat one whose prefix the engine keeps; `slots_count` is how many
    requests an engine was told to run at a time (0: not told). `order` is 'prompts first' where nobody
    decodes while prompts are computed.
    """

    client: str
    counted: str
    instances_count: int
    cached_percent: int
    slots_count: int
    order: str
