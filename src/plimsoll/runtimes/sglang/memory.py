"""SGLang: a static share for weights and caches, the rest for activations and graphs.

Source: srt/server_args.py (_handle_gpu_memory_settings), srt/model_executor/model_runner_kv_cache_mixin.py,
srt/mem_cache/memory_pool.py and srt/configs/mamba_utils.py, SGLang 0.5.9. Its log prints GiB as "GB".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from plimsoll.domain.bill import Basis, Interval, Line
from plimsoll.domain.deployment import Deployment, Setting
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.machine import Device
from plimsoll.domain.model import LayerSpec, TensorSpec
from plimsoll.formulas import quant_specs, ranks
from plimsoll.formulas.adapters import slots_bytes
from plimsoll.runtimes.sglang import lora
from plimsoll.units import MIB

__all__ = ["DEFAULTS", "estimates", "lines", "problems"]

DEFAULTS: dict[str, Setting] = {
    "mem_fraction_static": 0.0,
    "chunked_prefill_size": 0,
    "cuda_graph_max_bs": 0,
    "max_running_requests": 0,
    "page_size": 1,
    "swa_full_tokens_ratio": 0.8,
    "mamba_full_memory_ratio": 0.9,
    "disable_radix_cache": False,
    "disable_cuda_graph": False,
    "enable_expert_parallel": False,
    "language_only": False,
    "kv_cache_memory_bytes": 0,
    "pool": "",
    "pipeline_parallel_size": 1,
    "max_loras_per_batch": 8,
    "max_lora_rank": 0,
}
LIMITS = {
    "mem_fraction_static": (0, 1), "page_size": (1, 2**20), "swa_full_tokens_ratio": (0.01, 1),
    "mamba_full_memory_ratio": (0, 100), "pipeline_parallel_size": (1, 1024),
}  # fmt: skip
_SLOTS_PER_REQUEST = 3  # MAMBA_CACHE_SIZE_MAX_RUNNING_REQUESTS_RATIO
_CONTEXT_BYTES = 600 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A deployment with nothing left to choose."""

    deployment: Deployment
    devices: tuple[Device, ...]
    tensor_parallel: int
    pipeline_parallel: int
    is_expert_parallel: bool
    chunk_tokens: int
    graph_batch: int
    static_share: float
    tensors: tuple[TensorSpec, ...]


def setting(deployment: Deployment, name: str) -> Setting:
    """What the user set, or the default."""
    return deployment.settings.get(name, DEFAULTS[name])


def setup_of(deployment: Deployment) -> Setup:
    """Resolve devices, ranks, batch sizes and the static share."""
    by_id = {d.id: d for d in deployment.machine.devices}
    devices = tuple(by_id[i] for i in deployment.split.devices if i in by_id) or deployment.machine.devices
    if deployment.split.kind == "none":
        devices = devices[:1]
    is_pipeline = deployment.split.kind in ("pipeline", "layer")
    pipeline = len(devices) if is_pipeline else int(setting(deployment, "pipeline_parallel_size"))
    tensor = max(1, len(devices) // pipeline)
    memory_mib = devices[0].memory_bytes // MIB if devices else 0
    chunk, batch = batch_defaults(memory_mib, tensor)
    chunk = int(setting(deployment, "chunked_prefill_size")) or chunk
    batch = int(setting(deployment, "cuda_graph_max_bs")) or batch
    has_vision = any(t.role == "vision" for t in deployment.model.tensors)
    share = float(setting(deployment, "mem_fraction_static")) or static_share(
        memory_mib, chunk, batch, len(devices), has_vision and not setting(deployment, "language_only")
    )
    return Setup(
        deployment=deployment, devices=devices, tensor_parallel=tensor, pipeline_parallel=pipeline,
        is_expert_parallel=deployment.split.kind == "expert"
        or bool(setting(deployment, "enable_expert_parallel")),
        chunk_tokens=chunk, graph_batch=0 if setting(deployment, "disable_cuda_graph") else batch,
        static_share=share, tensors=quant_specs.tensors_as(deployment.model, deployment.weight_format),
    )  # fmt: skip


def batch_defaults(memory_mib: int, tensor_parallel: int) -> tuple[int, int]:
    """(chunked_prefill_size, cuda_graph_max_bs) by the card's memory."""
    few = tensor_parallel < 4
    for limit_gib, chunk, small, large in (
        (20, 2048, 8, 8), (35, 2048, 24, 80), (60, 4096, 32, 160), (160, 8192, 256, 512),
    ):  # fmt: skip
        if memory_mib < limit_gib * 1024:
            return chunk, small if few else large
    return 16384, 512


def static_share(
    memory_mib: int, chunk_tokens: int, graph_batch: int, devices_count: int, has_vision: bool
) -> float:
    """mem_fraction_static when not set: (memory - reserved) / memory, rounded to 3 digits.

    Reserved MiB: 512 + 1.5 x chunk + 2 x graph batch + 128 per GPU; at least 10,240 above 60 GiB.
    Models with a vision tower keep 95 % of that (adjust_mem_fraction_for_vlm, for a tower of ViT-L size).
    """
    if not memory_mib:
        return 0.88
    reserved = 512 + 1.5 * max(chunk_tokens, 2048) + 2 * graph_batch + devices_count / 8 * 1024
    if memory_mib > 60 * 1024:
        reserved = max(reserved, 10 * 1024)
    return round((memory_mib - reserved) / memory_mib, 3) * (0.95 if has_vision else 1.0)


def layer_token_bytes(
    layer: LayerSpec, kv_format: str, tensor_parallel: int, *, is_printed: bool = False
) -> int:
    """Bytes one token takes in one layer on one rank.

    Heads per rank x (key + value) x bytes; latent + rope on every rank (with an indexer: FP8 values,
    f32 scales and bf16 rope, plus 132 bytes of index key). FP4 has one scale byte per 16 values, which
    the log's "K size" leaves out (`is_printed`).
    """
    size = 1 if kv_format.startswith("fp8") else 2
    if layer.attention == "latent":
        values = layer.latent_dim + layer.rope_dim
        index = layer.indexer_dim + layer.indexer_dim // 128 * 4
        if layer.indexer_dim and size == 1:
            return layer.latent_dim + layer.latent_dim // 128 * 4 + 2 * layer.rope_dim + index
        return _values_bytes(values, kv_format, size, is_printed) + index
    heads = max(1, layer.kv_heads_count // tensor_parallel)
    return _values_bytes(heads * (layer.key_dim + layer.value_dim), kv_format, size, is_printed)


def _values_bytes(count: int, kv_format: str, size: int, is_printed: bool) -> int:
    if kv_format.startswith("fp4"):
        return count // 2 + (0 if is_printed else count // 16)
    return count * size


def pool_token_bytes(setup: Setup, *, is_window: bool, is_printed: bool = False) -> int:
    """Bytes of one token over the layers of the full or the window pool of the largest stage.

    Layers that share another's cache are allocated all the same.
    """
    model = setup.deployment.model
    return max(
        sum(
            layer_token_bytes(
                model.layers[i], setup.deployment.kv_format_k, setup.tensor_parallel, is_printed=is_printed
            )
            for i in own
            if model.layers[i].attention != "none" and (model.layers[i].attention == "sliding") == is_window
        )
        for own in ranks.stages(len(model.layers), setup.pipeline_parallel)
    )


def slot_bytes(setup: Setup) -> int:
    """Bytes of one request's recurrent states: convolution in 16 bits, recurrence in f32."""
    return sum(
        layer.state.conv_values_count // setup.tensor_parallel * 2
        + layer.state.ssm_values_count // setup.tensor_parallel * 4
        for layer in setup.deployment.model.layers
        if layer.state is not None
    )


def cache_bytes(token_bytes: int, tokens_count: int, page_tokens: int) -> int:
    """A pool: bytes per token x (tokens rounded up to pages + one page for padding)."""
    pages = -(-tokens_count // page_tokens) + 1
    return token_bytes * pages * page_tokens


def states_bytes(bytes_per_slot: int, slots_count: int) -> int:
    """State slots and the one that padding writes to: bytes x (slots + 1)."""
    return bytes_per_slot * (slots_count + 1)


def activation_bytes(
    chunk_tokens: int, hidden_dim: int, ffn_dim: int, vocab_size: int, tensor_parallel: int
) -> Interval:
    """Peak of a prefill chunk: 2 bytes x tokens x (3 x hidden + 3 x ffn/ranks), as measured for vLLM's
    same kernels; no profile run checks it, so the bounds are half and three times that."""
    value = 2 * chunk_tokens * (3 * hidden_dim + 3 * ffn_dim // tensor_parallel) + 4 * vocab_size * 64
    return Interval(value, value // 2, value * 3)


def graph_bytes(graph_batch: int) -> Interval:
    """CUDA graphs: SGLang itself reserves 2 MiB per batch size; logs show 0.1 to 1.4 GiB."""
    if not graph_batch:
        return Interval(0, 0, 0)
    value = 2 * MIB * graph_batch
    return Interval(value, min(value, 100 * MIB) // 2, max(value, 1536 * MIB))


def context_bytes(devices_count: int) -> Interval:
    """CUDA context, libraries and, with several GPUs, NCCL."""
    more = 512 * MIB if devices_count > 1 else 0
    return Interval(_CONTEXT_BYTES + more // 2, 300 * MIB, _CONTEXT_BYTES + 2 * more)


def kept_free_bytes(memory_bytes: int, static_share: float, used_bytes: int) -> int:
    """What mem_fraction_static keeps back beyond the activations and graphs that use it:
    memory x (1 - share) - used, never below 0."""
    return max(0, round(memory_bytes * (1 - static_share)) - used_bytes)


def lines(deployment: Deployment) -> tuple[Line, ...]:
    """Weights, pools that the asked sequences need, states, activations, graphs, and what stays free."""
    setup = setup_of(deployment)
    found: list[Line] = []
    for index, device in enumerate(setup.devices):
        found += _rank_lines(setup, device, index // setup.tensor_parallel)
    return tuple(line for line in found if line.high_bytes > 0)


def _rank_lines(setup: Setup, device: Device, stage: int) -> list[Line]:
    deployment = setup.deployment
    model = deployment.model
    groups = ranks.rank_groups(
        setup.tensors, model, tensor_parallel=setup.tensor_parallel,
        pipeline_parallel=setup.pipeline_parallel, stage=stage, is_expert_parallel=setup.is_expert_parallel,
        has_vision=not setting(deployment, "language_only"), has_mtp=False,
    )  # fmt: skip

    def line(
        formula: Any, inputs: dict[str, Any], component: Any, label: str, basis: Basis = "exact"
    ) -> Line:
        return Line.of(
            formula, inputs, component=component, label=label, device=device.id, model=model.id, basis=basis
        )

    found = [line(ranks.rank_bytes, {"groups": groups}, "weights", "weights")]
    table = ranks.rope_table_inputs(model)
    if table["positions_count"] and table["rotary_dim"]:
        found.append(line(ranks.rope_table_bytes, table, "weights", "rotary table", "formula"))
    for is_window, label in ((False, "KV cache"), (True, "KV cache of window layers")):
        per_token = pool_token_bytes(setup, is_window=is_window)
        if per_token:
            tokens = needed_tokens(setup, is_window)
            page = int(setting(deployment, "page_size"))
            inputs = {"token_bytes": per_token, "tokens_count": tokens, "page_tokens": page}
            found.append(line(cache_bytes, inputs, "kv", label))
    if slot_bytes(setup):
        inputs = {"bytes_per_slot": slot_bytes(setup), "slots_count": _slots(setup)}
        found.append(line(states_bytes, inputs, "state", "recurrent state"))
    if deployment.adapters:
        loras_count = int(setting(deployment, "max_loras_per_batch"))
        pool = lora.pool_inputs(deployment, setup.tensor_parallel, loras_count)
        label = f"LoRA pool ({pool['slots_count']} slots of rank {pool['rank']})"
        found.append(line(slots_bytes, pool, "adapters", label, "formula"))
    used = 0
    for formula, inputs, component, label in _working(setup):
        found.append(line(formula, inputs, component, label, "calibrated"))
        used += found[-1].size_bytes
    if not setting(deployment, "kv_cache_memory_bytes"):
        visible = device.memory_bytes - device.reserved_bytes
        free = {"memory_bytes": visible, "static_share": setup.static_share, "used_bytes": used}
        label = f"left free by mem_fraction_static {setup.static_share:.3f}"
        found.append(line(kept_free_bytes, free, "reserved", label))
    return found


def _working(setup: Setup) -> tuple[tuple[Any, dict[str, Any], str, str], ...]:
    model = setup.deployment.model
    widths = [x.ffn_dim or x.active_experts_count * x.expert_dim for x in model.layers]
    activation = {
        "chunk_tokens": setup.chunk_tokens, "hidden_dim": model.hidden_dim, "ffn_dim": max(widths, default=0),
        "vocab_size": model.vocab_size, "tensor_parallel": setup.tensor_parallel,
    }  # fmt: skip
    return (
        (activation_bytes, activation, "compute", "activations of a prefill chunk"),
        (graph_bytes, {"graph_batch": setup.graph_batch}, "overhead", "CUDA graphs"),
        (context_bytes, {"devices_count": len(setup.devices)}, "overhead", "CUDA context and libraries"),
    )


def needed_tokens(setup: Setup, is_window: bool) -> int:
    """Tokens the asked sequences fill; the window pool is a fixed share of the full one
    (swa_full_tokens_ratio), whatever the window."""
    workload, deployment = setup.deployment.workload, setup.deployment
    tokens = workload.context_tokens * workload.parallel_sequences_count
    if is_window and pool_token_bytes(setup, is_window=False):
        return int(tokens * float(setting(deployment, "swa_full_tokens_ratio")))
    return tokens


def _slots(setup: Setup) -> int:
    """State slots for the asked sequences: three each where the radix cache keeps old states."""
    count = setup.deployment.workload.parallel_sequences_count
    return count if setting(setup.deployment, "disable_radix_cache") else count * _SLOTS_PER_REQUEST


def problems(deployment: Deployment) -> tuple[str, ...]:
    """Why SGLang would refuse to start, whatever the memory."""
    if not deployment.machine.devices:
        return ("SGLang needs a GPU here: the machine has no accelerator",)
    if any(d.backend in ("metal", "vulkan") for d in deployment.machine.devices):
        return ("SGLang does not run on this machine's devices (Metal or Vulkan)",)
    if deployment.model.naming == "gguf":
        return ("GGUF in SGLang is not modelled; use the safetensors",)
    setup = setup_of(deployment)
    size = setup.tensor_parallel
    heads = {x.query_heads_count for x in deployment.model.layers if x.query_heads_count}
    found = [
        f"{h} attention heads do not divide by tensor parallel size {size}" for h in sorted(heads) if h % size
    ]
    widths = {x.expert_dim for x in deployment.model.layers if x.expert_dim}
    if not setup.is_expert_parallel:
        found += [f"an expert's width of {w} does not divide by tensor parallel size {size}"
                  for w in sorted(widths) if w % size]  # fmt: skip
    if setup.pipeline_parallel > len(deployment.model.layers):
        found.append(
            f"{len(deployment.model.layers)} layers cannot be cut into {setup.pipeline_parallel} stages"
        )
    return tuple(found)


def rest_bytes(setup: Setup) -> Interval:
    """What weights leave of the static share on the tightest rank: free memory x share - weights."""
    best: Interval | None = None
    for index, device in enumerate(setup.devices):
        stage = index // setup.tensor_parallel
        weights = sum(x.size_bytes for x in _rank_lines(setup, device, stage) if x.component == "weights")
        context = context_bytes(len(setup.devices))
        here = Interval(*(
            round((device.memory_bytes - device.reserved_bytes - c) * setup.static_share) - weights
            for c in (context.value, context.high, context.low)
        ))  # fmt: skip
        best = here if best is None or here.value < best.value else best
    return best or Interval(0, 0, 0)


def state_slots(setup: Setup, rest: int) -> int:
    """Slots SGLang makes of `rest` bytes: ratio / (1 + ratio) of them // bytes of a slot."""
    ratio = float(setting(setup.deployment, "mamba_full_memory_ratio"))
    return int(rest * ratio / (1 + ratio)) // slot_bytes(setup) if slot_bytes(setup) else 0


def pool_tokens(setup: Setup, rest: int) -> tuple[int, int]:
    """(tokens of the full pool, tokens of the window pool) in `rest` bytes.

    With states, ratio / (1 + ratio) of the rest goes to their slots first (mamba_full_memory_ratio).
    Window models: full = rest / (F + ratio x W), window = ratio x full.
    """
    deployment = setup.deployment
    page = int(setting(deployment, "page_size"))
    rest -= state_slots(setup, rest) * slot_bytes(setup)
    full, window = (pool_token_bytes(setup, is_window=w) for w in (False, True))
    if not full:
        return rest // window // page * page if window else 0, 0
    ratio = float(setting(deployment, "swa_full_tokens_ratio")) if window else 0.0
    tokens = max(0, int(rest / (full + ratio * window)))
    return tokens // page * page, int(tokens * ratio) // page * page


def estimates(deployment: Deployment) -> tuple[Estimate, ...]:
    """The pools and what SGLang's log will say of them.

    `kv_cache_memory_bytes` with `pool` ('full' or 'swa') asks what a logged pool holds: the size as
    the log prints it (FP4 without its scales), divided by the bytes of a token in that pool.
    """
    setup = setup_of(deployment)
    given = int(setting(deployment, "kv_cache_memory_bytes"))
    length = deployment.workload.context_tokens
    if given:
        is_window = setting(deployment, "pool") == "swa"
        per_token = pool_token_bytes(setup, is_window=is_window, is_printed=True)
        if not setting(deployment, "pool"):
            per_token += pool_token_bytes(setup, is_window=not is_window, is_printed=True)
        tokens = (given // per_token if per_token else 0,) * 3
        rest, window = Interval(given, given, given), (0, 0, 0)
    else:
        rest = rest_bytes(setup)
        pairs = [pool_tokens(setup, max(0, r)) for r in rest]
        tokens, window = tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)  # type: ignore[assignment]
    needed = sum(
        x.size_bytes for x in lines(deployment) if x.component == "kv" and x.device == setup.devices[0].id
    )
    states = [states_bytes(slot_bytes(setup), state_slots(setup, r)) for r in rest]
    working = {label: formula(**inputs) for formula, inputs, _, label in _working(setup)}
    rows: list[tuple[str, str, tuple[float, float, float]]] = [
        ("kv_pool_bytes", "bytes", rest),
        ("kv_cache_tokens", "tokens", tokens),
        ("kv_cache_tokens_window_layers", "tokens", window),
        ("state_pool_bytes", "bytes", (states[0], states[1], states[2])),
        ("max_concurrency", "requests", (tokens[0] / length, tokens[1] / length, tokens[2] / length)),
        ("block_size_tokens", "tokens", (int(setting(deployment, "page_size")),) * 3),
        ("kv_needed_bytes", "bytes", (needed,) * 3),
        ("max_len_tokens", "tokens", tokens),
        ("activation_bytes", "bytes", working["activations of a prefill chunk"]),
        ("cuda_graph_bytes", "bytes", working["CUDA graphs"]),
    ]
    return tuple(
        Estimate(
            quantity=name, unit=unit, value=value, low=low, high=high, basis="formula",
            formula="runtimes.sglang.memory:estimates",
        )
        for name, unit, (value, low, high) in rows
    )  # fmt: skip
