"""Transformers' own generate(): weights, DynamicCache, the whole prompt in one pass.

Source: transformers/cache_utils.py (DynamicLayer, DynamicSlidingWindowLayer, LinearAttentionLayer),
generation/utils.py (_prefill, prefill_chunk_size, logits_to_keep), integrations/accelerate.py
(device_map="auto"), transformers 5.23.0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from plimsoll.domain.bill import HOST, Interval, Line
from plimsoll.domain.deployment import Deployment, Setting
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.model import LayerSpec, TensorSpec
from plimsoll.formulas.activations import cuda_context_bytes, logits_bytes, pass_bytes, peak_values
from plimsoll.formulas.buffers import adapter_bytes
from plimsoll.formulas.formats import PLAIN
from plimsoll.formulas.quant_specs import tensors_as
from plimsoll.formulas.weights import sum_bytes
from plimsoll.runtimes.layer_split import balanced, devices_of, groups_by_device, layer_bytes
from plimsoll.runtimes.stored import method_of
from plimsoll.units import MIB

# 0: the whole prompt in one pass, as generate() does by default. "": what the model's class prefers.
DEFAULTS: dict[str, Setting] = {"prefill_chunk_size": 0, "attn_implementation": ""}
# Models whose class says _supports_sdpa = False: attention scores are written out in full.
_EAGER = ("deepseek_v4", "gemma2", "gpt_oss", "granite_swa", "granitemoe_swa", "hy_v4", "mimo_v2_flash")
_BITSANDBYTES = ("nf4", "fp4")


def cache_bytes(sequences_count: int, rows: Sequence[Sequence[int]], value_bytes: int) -> int:
    """DynamicCache: sequences x sum of layers x tokens x values x bytes.

    rows = [[layers, tokens, values], ...]. A full layer keeps every token, a sliding one window - 1.
    """
    return sequences_count * sum(n * tokens * values for n, tokens, values in rows) * value_bytes


def state_bytes(sequences_count: int, rows: Sequence[Sequence[int]], value_bytes: int) -> int:
    """Recurrent state: sequences x layers x ((convolution + channels) x bytes + recurrence x 4).

    The rolling input keeps the whole kernel (one column more than is read); the recurrence is f32.
    rows = [[layers_count, conv_values, channels, ssm_values], ...].
    """
    return sequences_count * sum(
        n * ((conv + channels) * value_bytes + ssm * 4) for n, conv, channels, ssm in rows
    )


def growth_bytes(sequences_count: int, tokens_count: int, values_count: int, value_bytes: int) -> Interval:
    """Each new token joins a layer's keys (then values) into a new tensor beside the old one.

    Value: the keys and values of the largest layer once more; up to five times that, for PyTorch's allocator
    keeps blocks of sizes that no longer fit.
    """
    size = sequences_count * tokens_count * values_count * value_bytes
    return Interval(size, size // 2, 5 * size)


def score_bytes(sequences_count: int, heads_count: int, queries_count: int, keys_count: int) -> Interval:
    """Scores of eager attention in one layer: sequences x heads x queries x keys x 8.5 bytes.

    Allocations traced on CPU: 6.75 bytes per score in gpt-oss, 10.5 in Gemma 2 (soft cap, f32 softmax).
    """
    scores = sequences_count * heads_count * queries_count * keys_count
    return Interval(scores * 17 // 2, scores * 6, scores * 12)


def mask_bytes(sequences_count: int, queries_count: int, keys_count: int) -> Interval:
    """The mask of sliding-window layers under SDPA: sequences x queries x keys, a byte each.

    Full attention alone needs none (is_causal). CUDA's memory-efficient kernel wants the mask in 16 bits as
    well, hence the upper bound.
    """
    cells = sequences_count * queries_count * keys_count
    return Interval(cells, cells, 3 * cells)


def lines(deployment: Deployment) -> tuple[Line, ...]:
    """Weights, cache, states, activations and logits per device of device_map="auto"."""
    model = deployment.model
    tensors = [t for t in tensors_as(model, deployment.weight_format) if t.role != "mtp"]
    places_of_devices = [device.id for device in devices_of(deployment)] or [HOST]
    places = balanced(layer_bytes(model, tensors), len(places_of_devices))
    groups = groups_by_device(model, tensors, places, lambda tensor: True)
    found: list[Line] = []
    for number, device in enumerate(places_of_devices):
        own = [layer for layer, place in zip(model.layers, places, strict=True) if place == number]
        found.append(
            Line.of(
                sum_bytes,
                {"groups": groups.get(number, {})},
                component="weights",
                label="weights",
                device=device,
                model=model.id,
                origins=tuple(model.origins.values()),
            )
        )
        found += _cache_lines(deployment, device, own)
        found += _adapter_lines(deployment, device, len(own))
        found += _pass_lines(deployment, device, own, is_last=number == len(places_of_devices) - 1)
        found += _unpacked(deployment, device, tensors)
        if device != HOST:
            context = {"typical_bytes": 550 * MIB, "low_bytes": 300 * MIB, "high_bytes": 1100 * MIB}
            found.append(
                Line.of(
                    cuda_context_bytes,
                    context,
                    component="overhead",
                    label="device context and libraries",
                    device=device,
                    model=model.id,
                    basis="calibrated",
                )
            )
    return tuple(line for line in found if line.high_bytes > 0)


def _adapter_lines(deployment: Deployment, device: str, layers_count: int) -> list[Line]:
    """Pairs stand beside the layers they adapt: each device has its layers' share."""
    return [
        Line.of(
            adapter_bytes,
            {"size_bytes": a.size_bytes * layers_count // len(deployment.model.layers), "slots_count": 1},
            component="adapters", label=f"adapter {a.id}", device=device, model=deployment.model.id,
            basis="formula",
        )
        for a in deployment.adapters
    ]  # fmt: skip


def _value_bytes(deployment: Deployment) -> int:
    """Bytes per cached value: of --kv, else of the type the model computes in (16 bits unless it is f32)."""
    if deployment.kv_format_k in PLAIN:
        return PLAIN[deployment.kv_format_k][1]
    return 4 if deployment.weight_format in ("f32", "fp32") else 2


def kept_tokens(layer: LayerSpec, context_tokens: int) -> int:
    """Tokens a layer's cache holds between two steps."""
    return min(context_tokens, layer.window_tokens - 1) if layer.window_tokens else context_tokens


def values_per_token(layer: LayerSpec) -> int:
    """Keys and values of one token; of latent attention the latent, its rotated part and the indexer's key.

    Source: modeling_deepseek_v3.py (past_key_values.update(kv_nope, k_rot)) and modeling_deepseek_v32.py
    (update_indexer), transformers 5.23. Releases that cached unfolded keys and values need more.
    """
    if layer.attention == "none" or layer.shares_kv_with is not None:
        return 0
    if layer.latent_dim:
        return layer.latent_dim + layer.rope_dim + layer.indexer_dim
    return layer.kv_heads_count * (layer.key_dim + layer.value_dim)


def _cache_lines(deployment: Deployment, device: str, layers: Sequence[LayerSpec]) -> list[Line]:
    workload, model, size = deployment.workload, deployment.model.id, _value_bytes(deployment)
    sequences = workload.parallel_sequences_count
    counted: Counter[tuple[int, int]] = Counter()
    for layer in layers:
        if values_per_token(layer):
            counted[(kept_tokens(layer, workload.context_tokens), values_per_token(layer))] += 1
    found = []
    if counted:
        rows = [[count, tokens, values] for (tokens, values), count in counted.items()]
        inputs = {"sequences_count": sequences, "rows": rows, "value_bytes": size}
        found.append(
            Line.of(cache_bytes, inputs, component="kv", label="KV cache", device=device, model=model)
        )
        tokens, values = max(counted, key=lambda row: row[0] * row[1])
        grown = {
            "sequences_count": sequences,
            "tokens_count": tokens,
            "values_count": values,
            "value_bytes": size,
        }
        found.append(
            Line.of(
                growth_bytes,
                grown,
                component="compute",
                label="growing the cache",
                device=device,
                model=model,
                basis="formula",
            )
        )
    states = [layer.state for layer in layers if layer.state is not None]
    if states:
        shapes = Counter((s.conv_values_count, s.conv_channels, s.ssm_values_count) for s in states)
        rows = [[count, *shape] for shape, count in shapes.items()]
        inputs = {"sequences_count": sequences, "rows": rows, "value_bytes": size}
        found.append(
            Line.of(
                state_bytes,
                inputs,
                component="state",
                label="recurrent state",
                device=device,
                model=model,
                basis="formula",
            )
        )
    return found


def _pass_lines(
    deployment: Deployment, device: str, layers: Sequence[LayerSpec], *, is_last: bool
) -> list[Line]:
    model, workload = deployment.model, deployment.workload
    chunk = int(deployment.settings.get("prefill_chunk_size", DEFAULTS["prefill_chunk_size"]))
    tokens = min(chunk, workload.context_tokens) if chunk else workload.context_tokens
    inputs = {
        "tokens_count": tokens * workload.parallel_sequences_count,
        "values_per_token": max((peak_values(layer, model.hidden_dim) for layer in layers), default=0),
        "value_bytes": _value_bytes(deployment),
        "layers_held": 1.1,
        "low": 0.6,
        "high": 6.0 if any(layer.state for layer in layers) else 2.0,
    }
    found = [
        Line.of(
            pass_bytes,
            inputs,
            component="compute",
            label=f"reading {tokens} tokens at once",
            device=device,
            model=model.id,
            basis="formula",
        )
    ]
    found += _attention_lines(deployment, device, layers, tokens)
    if is_last:
        rows = {
            "rows_count": workload.parallel_sequences_count,
            "vocab_size": model.vocab_size,
            "value_bytes": _value_bytes(deployment) + 4,
        }
        found.append(
            Line.of(
                logits_bytes,
                rows,
                component="compute",
                label="logits of the last token, and in f32",
                device=device,
                model=model.id,
                basis="formula",
            )
        )
    return found


def _attention_lines(
    deployment: Deployment, device: str, layers: Sequence[LayerSpec], tokens: int
) -> list[Line]:
    """Scores where attention is eager; the mask of sliding layers where it is not."""
    workload, model = deployment.workload, deployment.model
    chosen = str(deployment.settings.get("attn_implementation", ""))
    heads = max((layer.query_heads_count for layer in layers if layer.attention != "none"), default=0)
    asked = {"sequences_count": workload.parallel_sequences_count, "queries_count": tokens}
    if chosen == "eager" or (not chosen and model.architecture in _EAGER):
        inputs = {**asked, "heads_count": heads, "keys_count": workload.context_tokens}
        return [
            Line.of(
                score_bytes,
                inputs,
                component="compute",
                label="attention scores (eager)",
                device=device,
                model=model.id,
                basis="calibrated",
            )
        ]
    if "flash" in chosen or not any(layer.window_tokens for layer in layers):
        return []
    return [
        Line.of(
            mask_bytes,
            {**asked, "keys_count": workload.context_tokens},
            component="compute",
            label="mask of sliding layers",
            device=device,
            model=model.id,
            basis="formula",
        )
    ]


def _unpacked(deployment: Deployment, device: str, tensors: Sequence[TensorSpec]) -> list[Line]:
    """bitsandbytes unpacks one 4-bit matrix at a time to 16 bits when several tokens are read."""
    packed = [t.elements_count * 2 for t in tensors if t.format in _BITSANDBYTES]
    if not packed:
        return []
    return [
        Line.of(
            sum_bytes,
            {"groups": {"largest matrix in 16 bits": max(packed)}},
            component="compute",
            label="one matrix unpacked",
            device=device,
            model=deployment.model.id,
            basis="formula",
        )
    ]


def estimates(deployment: Deployment) -> tuple[Estimate, ...]:
    """Nothing is printed by Transformers itself."""
    return ()


def problems(deployment: Deployment) -> tuple[str, ...]:
    """Why generate() would not run this at all."""
    found = []
    if deployment.model.naming == "gguf":
        found.append("Transformers unpacks GGUF files to 16 or 32 bits when loading; name the original model")
    if method_of(deployment) in ("exl2", "exl3", "mlx"):
        found.append(f"Transformers does not read {method_of(deployment)} weights")
    if deployment.split.kind in ("tensor", "expert", "pipeline"):
        found.append('only device_map="auto" (a layer split) is modelled for Transformers')
    if deployment.kv_format_k not in ("auto", "bf16", "f16", "f32"):
        found.append(f"DynamicCache keeps 16 or 32 bits, not {deployment.kv_format_k}")
    return tuple(found)
