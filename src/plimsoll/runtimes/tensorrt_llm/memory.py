"""TensorRT-LLM: the rank's weights, the paged cache, engine and decoder buffers, what the pool leaves free.

Source: tensorrt_llm/llmapi/llm_args.py (KvCacheConfig: free_gpu_memory_fraction 0.9, tokens_per_block 32;
max_batch_size 2048, max_num_tokens 8192), NVIDIA/TensorRT-LLM docs/source/reference/memory.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from plimsoll.domain.bill import Interval, Line
from plimsoll.domain.deployment import Deployment, Setting
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.machine import Device
from plimsoll.domain.model import LayerSpec
from plimsoll.formulas.activations import cuda_context_bytes, pass_bytes, peak_values
from plimsoll.formulas.formats import PLAIN
from plimsoll.formulas.kv_cache import padded
from plimsoll.formulas.quant_specs import tensors_as
from plimsoll.formulas.ranks import rank_groups
from plimsoll.formulas.weights import sum_bytes
from plimsoll.runtimes.layer_split import devices_of
from plimsoll.runtimes.stored import method_of
from plimsoll.units import MIB

DEFAULTS: dict[str, Setting] = {
    "free_gpu_memory_fraction": 0.9, "tokens_per_block": 32, "max_batch_size": 2048, "max_num_tokens": 8192,
    "pipeline_parallel_size": 1, "max_gpu_total_bytes": 0,
}  # fmt: skip
LIMITS = {
    "free_gpu_memory_fraction": (0.01, 1), "tokens_per_block": (1, 2**20), "max_batch_size": (1, 2**20),
    "max_num_tokens": (1, 2**30), "pipeline_parallel_size": (1, 1024),
}  # fmt: skip


def paged_bytes(tokens_count: int, block_tokens: int, rows: Sequence[Sequence[int]], bits: float) -> int:
    """The paged cache: tokens in whole blocks x sum of layers x values x bits / 8.

    rows = [[layers_count, values_per_token], ...] of one rank. Reproduces 69,524,783,104 bytes for 132,608
    tokens (NVIDIA/TensorRT-LLM#1400) and 4.53 GiB for 395,776 (#1188).
    """
    return round(padded(tokens_count, block_tokens) * sum(n * values for n, values in rows) * bits / 8)


def decoder_bytes(sequences_count: int, vocab_size: int) -> Interval:
    """Logits and the decoder's workspaces: batch x vocabulary x 4 bytes, as the PyTorch backend keeps them.

    The older C++ runtime took far more: 5.76 GB for a batch of 2,048 and a vocabulary of 151,936 (#1188),
    4.6 times that product; hence the upper bound.
    """
    value = sequences_count * vocab_size * 4
    return Interval(value, value // 16, 5 * value)


def left_free_bytes(free_bytes: int, fraction: float) -> int:
    """What the pool leaves: (1 - fraction) x what is free once the model and its buffers are there."""
    return max(0, round(free_bytes * (1 - fraction)))


def lines(deployment: Deployment) -> tuple[Line, ...]:
    """Everything one rank takes, for each rank; the cache is what the asked workload needs."""
    found: list[Line] = []
    for number, device in enumerate(devices_of(deployment)):
        own = _rank_lines(deployment, device, number)
        fixed = sum(line.size_bytes for line in own if line.component != "kv")
        inputs = {
            "free_bytes": max(0, device.memory_bytes - device.reserved_bytes - fixed),
            "fraction": _fraction(deployment),
        }
        found += own
        found.append(
            Line.of(
                left_free_bytes,
                inputs,
                component="reserved",
                label=f"left free by free_gpu_memory_fraction {_fraction(deployment):g}",
                device=device.id,
                model=deployment.model.id,
                basis="formula",
            )
        )
    return tuple(line for line in found if line.high_bytes > 0)


def _rank_lines(deployment: Deployment, device: Device, number: int) -> list[Line]:
    model, tensor_parallel, stages = deployment.model, _tensor_parallel(deployment), _stages(deployment)
    groups = rank_groups(
        tensors_as(model, deployment.weight_format),
        model,
        tensor_parallel=tensor_parallel,
        pipeline_parallel=stages,
        stage=number // tensor_parallel,
        is_expert_parallel=deployment.split.kind == "expert",
        has_vision=False,
        has_mtp=False,
    )
    layers = [_share(layer, tensor_parallel) for layer in model.layers]
    inputs = {
        "tokens_count": _setting(deployment, "max_num_tokens"),
        "values_per_token": max((peak_values(layer, model.hidden_dim) for layer in layers), default=0),
        "value_bytes": 2,
        "layers_held": 1.0,
        "low": 0.3,
        "high": 3.0,
    }
    batch = {"sequences_count": _setting(deployment, "max_batch_size"), "vocab_size": model.vocab_size}
    several = len(devices_of(deployment)) > 1
    context = {
        "typical_bytes": (900 if several else 500) * MIB,
        "low_bytes": 300 * MIB,
        "high_bytes": (2600 if several else 1200) * MIB,
    }
    return [
        Line.of(
            sum_bytes,
            {"groups": groups},
            component="weights",
            label="weights",
            device=device.id,
            model=model.id,
            origins=tuple(model.origins.values()),
        ),
        *_cache_lines(deployment, device, number // tensor_parallel),
        Line.of(
            pass_bytes,
            inputs,
            component="compute",
            label="activations (max_num_tokens)",
            device=device.id,
            model=model.id,
            basis="formula",
        ),
        Line.of(
            decoder_bytes,
            batch,
            component="overhead",
            label="decoder (max_batch_size)",
            device=device.id,
            model=model.id,
            basis="formula",
        ),
        Line.of(
            cuda_context_bytes,
            context,
            component="overhead",
            label="CUDA context and libraries",
            device=device.id,
            model=model.id,
            basis="calibrated",
        ),
    ]


def _share(layer: LayerSpec, ranks: int) -> LayerSpec:
    """The part of a layer that one rank computes: heads, feed-forward and expert columns divided."""
    return replace(
        layer,
        query_heads_count=-(-layer.query_heads_count // ranks),
        kv_heads_count=max(1, layer.kv_heads_count // ranks) if layer.kv_heads_count else 0,
        ffn_dim=-(-layer.ffn_dim // ranks),
        expert_dim=-(-layer.expert_dim // ranks),
        shared_expert_dim=-(-layer.shared_expert_dim // ranks),
    )


def _cache_lines(deployment: Deployment, device: Device, stage: int) -> list[Line]:
    workload, model = deployment.workload, deployment.model
    rows = _rows(deployment, stage)
    block = _setting(deployment, "tokens_per_block")
    found = []
    if rows:
        tokens = padded(workload.context_tokens, block) * workload.parallel_sequences_count
        inputs = {"tokens_count": tokens, "block_tokens": block, "rows": rows, "bits": _bits(deployment)}
        found.append(
            Line.of(paged_bytes, inputs, component="kv", label="KV cache", device=device.id, model=model.id)
        )
    states = sum(
        layer.state.conv_values_count * 2 + layer.state.ssm_values_count * 4
        for layer in model.layers
        if layer.state is not None
    ) // (_tensor_parallel(deployment) * _stages(deployment))
    if states:
        groups = {f"sequence {n + 1}": states for n in range(workload.parallel_sequences_count)}
        found.append(
            Line.of(
                sum_bytes,
                {"groups": groups},
                component="state",
                label="recurrent state",
                device=device.id,
                model=model.id,
                basis="formula",
            )
        )
    return found


def _rows(deployment: Deployment, stage: int) -> list[list[int]]:
    """[[layers, values per token], ...] of a rank: KV heads / ranks but at least one; a latent whole."""
    ranks, layers = _tensor_parallel(deployment), deployment.model.layers
    per_stage = -(-len(layers) // _stages(deployment))
    counted: Counter[int] = Counter()
    for layer in layers[stage * per_stage : (stage + 1) * per_stage]:
        values = _values(layer, ranks)
        if values:
            counted[values] += 1
    return [[count, values] for values, count in counted.items()]


def _values(layer: LayerSpec, ranks: int) -> int:
    if layer.attention == "none":
        return 0
    if layer.latent_dim:
        return layer.latent_dim + layer.rope_dim
    return max(1, layer.kv_heads_count // ranks) * (layer.key_dim + layer.value_dim)


def _bits(deployment: Deployment) -> float:
    """Bits per cached value; nvfp4 has an FP8 scale per 16 values."""
    name = deployment.kv_format_k
    known: dict[str, float] = {"fp8": 8, "fp8_e4m3": 8, "int8": 8, "nvfp4": 4.5}
    if name in known:
        return known[name]
    return PLAIN[name][1] * 8 if name in PLAIN else 16


def estimates(deployment: Deployment) -> tuple[Estimate, ...]:
    """The pool and its tokens, as 'Allocated ... for max tokens in paged KV cache' prints them."""
    best: tuple[int, int, int] | None = None
    for number, device in enumerate(devices_of(deployment)):
        own = [line for line in _rank_lines(deployment, device, number) if line.component != "kv"]
        free = device.memory_bytes - device.reserved_bytes
        pool = tuple(
            max(0, int((free - size) * Fraction(_fraction(deployment))))
            for size in (
                sum(x.size_bytes for x in own),
                sum(x.high_bytes for x in own),
                sum(x.low_bytes for x in own),
            )
        )
        cap = _setting(deployment, "max_gpu_total_bytes")
        pool = tuple(min(size, cap) for size in pool) if cap else pool
        if best is None or pool[0] < best[0]:
            best = (pool[0], pool[1], pool[2])
    rows = _rows(deployment, 0)
    if best is None or not rows:
        return ()
    block = _setting(deployment, "tokens_per_block")
    one = paged_bytes(block, block, rows, _bits(deployment))
    tokens = [size // one * block for size in best]
    inputs = {"block_bytes": one, "block_tokens": block}
    return (
        Estimate(
            quantity="kv_pool_bytes",
            unit="bytes",
            value=best[0],
            low=best[1],
            high=best[2],
            basis="formula",
            formula="runtimes.tensorrt_llm.memory:left_free_bytes",
            inputs={"fraction": _fraction(deployment)},
        ),
        Estimate(
            quantity="kv_cache_tokens",
            unit="tokens",
            value=tokens[0],
            low=tokens[1],
            high=tokens[2],
            basis="formula",
            formula="runtimes.tensorrt_llm.memory:paged_bytes",
            inputs=inputs,
        ),
    )


def problems(deployment: Deployment) -> tuple[str, ...]:
    """Why TensorRT-LLM would not start at all."""
    devices = devices_of(deployment)
    if not devices or any(device.backend != "cuda" for device in devices):
        return ("TensorRT-LLM needs NVIDIA cards",)
    if deployment.model.naming == "gguf":
        return ("TensorRT-LLM reads Hugging Face checkpoints, not GGUF files",)
    found = []
    if method_of(deployment) in ("exl2", "exl3", "mlx", "bnb"):
        found.append(f"TensorRT-LLM does not read {method_of(deployment)} weights")
    old = sorted({d.name for d in devices if d.compute_capability and _capability(d) < (8, 0)})
    if old:
        found.append(f"TensorRT-LLM supports compute capability 8.0 and later: {', '.join(old)}")
    ranks = _tensor_parallel(deployment)
    for heads in sorted({x.query_heads_count for x in deployment.model.layers if x.query_heads_count}):
        if heads % ranks:
            found.append(f"{heads} attention heads do not divide by tensor parallel size {ranks}")
    for heads in sorted({x.kv_heads_count for x in deployment.model.layers if x.kv_heads_count}):
        if heads % ranks and ranks % heads:
            found.append(f"{heads} KV heads neither divide by nor into tensor parallel size {ranks}")
    if len(devices) % _stages(deployment):
        found.append(f"{len(devices)} devices do not divide into {_stages(deployment)} pipeline stages")
    return tuple(found)


def _capability(device: Device) -> tuple[int, ...]:
    return tuple(int(part) for part in device.compute_capability.split(".") if part.isdecimal())


def _stages(deployment: Deployment) -> int:
    if deployment.split.kind in ("pipeline", "layer"):
        return len(devices_of(deployment))
    return _setting(deployment, "pipeline_parallel_size")


def _tensor_parallel(deployment: Deployment) -> int:
    return max(1, len(devices_of(deployment)) // _stages(deployment))


def _setting(deployment: Deployment, name: str) -> int:
    return int(deployment.settings.get(name, DEFAULTS[name]))


def _fraction(deployment: Deployment) -> float:
    return float(deployment.settings.get("free_gpu_memory_fraction", DEFAULTS["free_gpu_memory_fraction"]))
