"""MLX (mlx-lm): weights, cache, and what reading the prompt takes, in memory shared with the host."""

from __future__ import annotations

from collections import Counter

from plimsoll.domain.bill import Line
from plimsoll.domain.deployment import Deployment, Setting
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.machine import Device
from plimsoll.domain.model import LayerSpec
from plimsoll.formulas.activations import layer_values, pass_bytes
from plimsoll.formulas.quant_specs import tensors_as
from plimsoll.formulas.weights import sum_bytes
from plimsoll.runtimes.layer_split import devices_of, groups_by_device, is_text
from plimsoll.runtimes.mlx import cache
from plimsoll.runtimes.stored import method_of

# mlx_lm/generate.py, mlx-lm 0.32.2.
DEFAULTS: dict[str, Setting] = {
    "prefill_step_size": 2048, "kv_group_size": 64, "quantized_kv_start": 5000, "max_kv_size": 0,
}  # fmt: skip
LIMITS = {"prefill_step_size": (1, 2**30), "kv_group_size": (1, 2**20)}
# Layers whose results are alive at once: MLX frees a result when the command buffer that uses it is done,
# and several layers share one. Peaks of Qwen3-4B, Qwen3-30B-A3B and Mistral-7B (4 to 16 bits, M4 Max and
# M2 Ultra) give 1.4 to 2.7 layers; hybrids up to 4, hence the upper bound.
_LAYERS_HELD, _LOW, _HIGH = 2.2, 0.5, 2.6
_SSM_CHUNK_TOKENS = 256
_FOREIGN = ("exl2", "exl3", "bnb", "int8", "w8a8")


def lines(deployment: Deployment) -> tuple[Line, ...]:
    """Weights, cache, recurrent state and activations of the prompt, all on one device."""
    if not deployment.machine.devices:
        return ()  # `problems` says what is missing
    (device,) = devices_of(deployment)
    found = [_weights(deployment, device)]
    for line in (_kv(deployment, device), _state(deployment, device), _activations(deployment, device)):
        if line is not None:
            found.append(line)
    return tuple(line for line in found if line.high_bytes > 0)


def _weights(deployment: Deployment, device: Device) -> Line:
    model = deployment.model
    # FP8 checkpoints are unpacked to 16 bits as they are read (the sanitize methods of mlx_lm/models).
    wanted = "bf16" if method_of(deployment) == "fp8" else deployment.weight_format
    tensors = tensors_as(model, wanted)
    groups = groups_by_device(model, tensors, [0] * len(model.layers), is_text).get(0, {})
    return Line.of(
        sum_bytes,
        {"groups": groups},
        component="weights",
        label="weights",
        device=device.id,
        model=model.id,
        origins=tuple(model.origins.values()),
    )


def _kv(deployment: Deployment, device: Device) -> Line | None:
    rows = _cache_rows(deployment)
    if not rows:
        return None
    inputs = {
        "sequences_count": deployment.workload.parallel_sequences_count,
        "rows": rows,
        "bits": _cache_bits(deployment),
        "group_size": _setting(deployment, "kv_group_size"),
    }
    return Line.of(
        cache.kv_bytes, inputs, component="kv", label="KV cache", device=device.id, model=deployment.model.id
    )


def _cache_rows(deployment: Deployment) -> list[list[int]]:
    """[[layers, tokens, values], ...], layers with the same cache together."""
    context, most = deployment.workload.context_tokens, _setting(deployment, "max_kv_size")
    tokens = min(context, most) if most else context
    piece = min(_setting(deployment, "prefill_step_size"), context)
    is_rotating = deployment.model.architecture in cache.ROTATING
    counted: Counter[tuple[int, int]] = Counter()
    for layer in deployment.model.layers:
        values = cache.values_per_token(layer)
        if values:
            counted[(cache.cached_tokens(layer, tokens, piece, is_rotating), values)] += 1
    return [[count, kept, values] for (kept, values), count in counted.items()]


def _cache_bits(deployment: Deployment) -> int:
    """16, or the bits of --kv-bits once the context is past quantized_kv_start."""
    chosen = deployment.kv_format_k
    if not chosen.startswith("q") or deployment.workload.context_tokens < _setting(
        deployment, "quantized_kv_start"
    ):
        return 16
    return int(chosen.removeprefix("q").partition("_")[0])


def _state(deployment: Deployment, device: Device) -> Line | None:
    counted: Counter[tuple[int, int]] = Counter()
    for layer in deployment.model.layers:
        if layer.state is not None:
            counted[(layer.state.conv_values_count, layer.state.ssm_values_count)] += 1
    if not counted:
        return None
    inputs = {
        "sequences_count": deployment.workload.parallel_sequences_count,
        "rows": [[count, conv, ssm] for (conv, ssm), count in counted.items()],
    }
    return Line.of(
        cache.state_bytes,
        inputs,
        component="state",
        label="recurrent state",
        device=device.id,
        model=deployment.model.id,
        basis="formula",
    )


def _activations(deployment: Deployment, device: Device) -> Line:
    model = deployment.model
    tokens = min(_setting(deployment, "prefill_step_size"), deployment.workload.context_tokens)
    inputs = {
        "tokens_count": tokens * deployment.workload.parallel_sequences_count,
        "values_per_token": max((_values(layer, model.hidden_dim) for layer in model.layers), default=0),
        "value_bytes": 2,
        "layers_held": _LAYERS_HELD,
        "low": _LOW,
        "high": _HIGH,
    }
    return Line.of(
        pass_bytes,
        inputs,
        component="compute",
        label=f"reading the prompt, {tokens} tokens at a time",
        device=device.id,
        model=model.id,
        basis="calibrated",
    )


def _values(layer: LayerSpec, hidden_dim: int) -> int:
    """What a layer writes per token, and Mamba-2's chunk matrices: heads x 256 x 3 in f32 (ssm_attn)."""
    count = layer_values(layer, hidden_dim)
    if layer.state is not None and layer.state.kind == "mamba2":
        count += layer.state.heads_count * _SSM_CHUNK_TOKENS * 3 * 2
    return count


def estimates(deployment: Deployment) -> tuple[Estimate, ...]:
    """The peak that mlx_lm prints ('Peak memory'), in decimal GB there."""
    found = lines(deployment)
    return (
        Estimate(
            quantity="peak_memory_bytes",
            unit="bytes",
            basis="calibrated",
            formula="formulas.weights:sum_bytes",
            value=sum(x.size_bytes for x in found),
            low=sum(x.low_bytes for x in found),
            high=sum(x.high_bytes for x in found),
            inputs={"groups": {x.label: x.size_bytes for x in found}},
        ),
    )


def problems(deployment: Deployment) -> tuple[str, ...]:
    """Why mlx-lm would not run this at all."""
    found = []
    if not any(device.backend == "metal" for device in deployment.machine.devices):
        found.append("MLX needs an Apple GPU (its CUDA build is not modelled)")
    if deployment.model.naming == "gguf":
        found.append("mlx-lm reads safetensors in its own layout, not GGUF files")
    elif method_of(deployment) in _FOREIGN:
        found.append(f"mlx-lm does not read {method_of(deployment)} weights; convert them (mlx_lm.convert)")
    if deployment.split.kind not in ("none", "layer") or len(devices_of(deployment)) > 1:
        found.append("mlx-lm on several machines is not modelled")
    if deployment.kv_format_k != deployment.kv_format_v:
        found.append("mlx-lm quantises keys and values alike (--kv-bits)")
    if _cache_bits(deployment) != 16 and any(
        _rotates(deployment, layer) for layer in deployment.model.layers
    ):
        found.append("mlx-lm cannot quantise the rotating cache of sliding-window layers")
    return tuple(found)


def _rotates(deployment: Deployment, layer: LayerSpec) -> bool:
    return bool(layer.window_tokens) and deployment.model.architecture in cache.ROTATING


def _setting(deployment: Deployment, name: str) -> int:
    return int(deployment.settings.get(name, DEFAULTS[name]))
