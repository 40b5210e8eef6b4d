"""ExLlamaV3: EXL3 weights, the paged cache, one unpacked cache layer, the chunk that is read at a time.

Source: exllamav3 model/model.py (reserve_per_device), model/model_ls.py (_load_autosplit), cache/fp16.py,
cache/quant.py, modules/embedding.py (prefer_cpu), turboderp-org/exllamav3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from plimsoll.domain.bill import HOST, Line
from plimsoll.domain.deployment import Deployment, Setting
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.machine import Device
from plimsoll.domain.model import LayerSpec, TensorSpec
from plimsoll.formulas.activations import cuda_context_bytes, pass_bytes, peak_values
from plimsoll.formulas.kv_cache import padded
from plimsoll.formulas.quant_specs import tensors_as
from plimsoll.formulas.weights import sum_bytes
from plimsoll.runtimes.layer_split import devices_of, filled, groups_by_device, is_text, layer_bytes
from plimsoll.runtimes.stored import PLAIN, method_of
from plimsoll.units import GIB, MIB

# `reserve_gib` is reserve_per_device; the rest are arguments of Model.load and of the generator.
DEFAULTS: dict[str, Setting] = {"max_chunk_size": 2048, "reserve_gib": 0.5}
LIMITS = {"max_chunk_size": (1, 2**30), "reserve_gib": (0, 1024)}
_PAGE_TOKENS = 256
_PAD_ROWS = 128


def page_bytes(tokens_count: int, rows: Sequence[Sequence[int]], k_bits: int, v_bits: int) -> int:
    """The cache: tokens x sum of layers x (keys + values), in pages of 256 tokens.

    rows = [[layers_count, keys_per_token, values_per_token], ...]. 16 bits take 2 bytes per value;
    b bits take b/8 and a 2-byte scale per 32 values. Sliding layers are kept in full.
    """
    per_token = 0
    for layers_count, keys, values in rows:
        per_token += layers_count * (_packed(keys, k_bits) + _packed(values, v_bits))
    return padded(tokens_count, _PAGE_TOKENS) * per_token


def _packed(values_count: int, bits: int) -> int:
    return values_count * 2 if bits == 16 else values_count // 32 * (4 * bits + 2)


def unpacked_layer_bytes(tokens_count: int, values_per_token: int) -> int:
    """A quantised cache is unpacked to 16 bits one layer at a time, for all its pages (get_kv)."""
    return padded(tokens_count, _PAGE_TOKENS) * values_per_token * 2


def reserve_bytes(reserve_gib: float) -> int:
    """What the loader leaves free on each device: reserve_per_device, 0.5 GiB unless told."""
    return round(reserve_gib * GIB)


def lines(deployment: Deployment) -> tuple[Line, ...]:
    """Weights, cache, the unpacked layer, activations and CUDA context per device; the embedding in RAM."""
    model, devices = deployment.model, devices_of(deployment)
    tensors = _tensors(deployment)
    places = _places(deployment, tensors, devices)
    ranks = _ranks(deployment)
    groups = groups_by_device(model, tensors, places, lambda t: is_text(t) and t.role != "embedding")
    in_ram = groups_by_device(model, tensors, places, lambda t: t.role == "embedding").get(0, {})
    if ranks > 1:
        share = {key: -(-size // ranks) for key, size in groups[0].items()}
        groups = {rank: share for rank in range(ranks)}
    found = [
        Line.of(
            sum_bytes, {"groups": in_ram}, component="weights", label="embedding", device=HOST, model=model.id
        )
    ]
    for number, device in enumerate(devices):
        own = [x for x, place in zip(model.layers, places, strict=True) if ranks > 1 or place == number]
        found.append(
            Line.of(
                sum_bytes,
                {"groups": groups.get(number, {})},
                component="weights",
                label="weights",
                device=device.id,
                model=model.id,
                origins=tuple(model.origins.values()),
            )
        )
        found += _cache_lines(deployment, device, own)
        found += _overhead_lines(deployment, device)
    return tuple(line for line in found if line.high_bytes > 0)


def _tensors(deployment: Deployment) -> tuple[TensorSpec, ...]:
    """The table as converted. A tied head is stored a second time, so that it can be quantised, its rows
    padded to a multiple of 128 (modules/linear.py: pad_to)."""
    model = deployment.model
    if model.has_tied_embeddings and not any(t.role == "output" for t in model.tensors):
        heads = [
            replace(
                t,
                name="lm_head.weight",
                role="output",
                shape=(padded(t.shape[0], _PAD_ROWS), t.shape[1]),
                size_bytes=padded(t.shape[0], _PAD_ROWS) * t.size_bytes // t.shape[0],
            )
            for t in model.tensors
            if t.role == "embedding" and t.shape == (model.vocab_size, model.hidden_dim)
        ]
        model = replace(model, tensors=(*model.tensors, *heads[:1]))
    return tensors_as(model, deployment.weight_format)


def _places(deployment: Deployment, tensors: Sequence[TensorSpec], devices: Sequence[Device]) -> list[int]:
    """Each device is filled up to what is free less the reserve, then the next one (_load_autosplit)."""
    if _ranks(deployment) > 1:
        return [0] * len(deployment.model.layers)
    cache = [
        page_bytes(
            _cache_tokens(deployment),
            _rows([layer]),
            _bits(deployment.kv_format_k),
            _bits(deployment.kv_format_v),
        )
        for layer in deployment.model.layers
    ]
    sizes = [a + b for a, b in zip(layer_bytes(deployment.model, tensors), cache, strict=True)]
    margin = reserve_bytes(_reserve(deployment)) + GIB
    return filled(sizes, [d.memory_bytes - d.reserved_bytes - margin for d in devices])


def _ranks(deployment: Deployment) -> int:
    """Devices that share every layer: tensor parallelism splits heads and columns evenly over like cards."""
    return len(devices_of(deployment)) if deployment.split.kind == "tensor" else 1


def _rows(layers: Sequence[LayerSpec], ranks: int = 1) -> list[list[int]]:
    counted: Counter[tuple[int, int]] = Counter()
    for layer in layers:
        if layer.attention == "none" or layer.shares_kv_with is not None:
            continue
        heads = layer.query_heads_count if layer.latent_dim else layer.kv_heads_count
        heads = -(-heads // ranks)
        counted[(heads * layer.key_dim, heads * layer.value_dim)] += 1
    return [[count, keys, values] for (keys, values), count in counted.items()]


def _cache_lines(deployment: Deployment, device: Device, layers: Sequence[LayerSpec]) -> list[Line]:
    rows, model = _rows(layers, _ranks(deployment)), deployment.model.id
    if not rows:
        return []
    tokens = _cache_tokens(deployment)
    k_bits, v_bits = _bits(deployment.kv_format_k), _bits(deployment.kv_format_v)
    inputs = {"tokens_count": tokens, "rows": rows, "k_bits": k_bits, "v_bits": v_bits}
    found = [Line.of(page_bytes, inputs, component="kv", label="KV cache", device=device.id, model=model)]
    if (k_bits, v_bits) != (16, 16):
        largest = max(keys + values for _, keys, values in rows)
        found.append(
            Line.of(
                unpacked_layer_bytes,
                {"tokens_count": tokens, "values_per_token": largest},
                component="compute",
                label="one cache layer unpacked",
                device=device.id,
                model=model,
                basis="formula",
            )
        )
    states = sum(
        layer.state.conv_values_count * 2 + layer.state.ssm_values_count * 4
        for layer in layers
        if layer.state is not None
    )
    if states:
        sequences = deployment.workload.parallel_sequences_count
        found.append(
            Line.of(
                sum_bytes,
                {"groups": {f"sequence {n + 1}": states for n in range(sequences)}},
                component="state",
                label="recurrent state",
                device=device.id,
                model=model,
                basis="formula",
            )
        )
    return found


def _overhead_lines(deployment: Deployment, device: Device) -> list[Line]:
    model = deployment.model
    inputs = {
        "tokens_count": min(_setting(deployment, "max_chunk_size"), deployment.workload.context_tokens),
        "values_per_token": max((peak_values(layer, model.hidden_dim) for layer in model.layers), default=0),
        "value_bytes": 2,
        "layers_held": 1.0,
        "low": 0.3,
        "high": 2.2,
    }
    context = {"typical_bytes": 512 * MIB, "low_bytes": 250 * MIB, "high_bytes": 900 * MIB}
    return [
        Line.of(
            pass_bytes,
            inputs,
            component="compute",
            label="activations of one chunk",
            device=device.id,
            model=model.id,
            basis="calibrated",
        ),
        Line.of(
            cuda_context_bytes,
            context,
            component="overhead",
            label="CUDA context and kernels",
            device=device.id,
            model=model.id,
            basis="calibrated",
        ),
        Line.of(
            reserve_bytes,
            {"reserve_gib": _reserve(deployment)},
            component="reserved",
            label="left free by the loader (reserve_per_device)",
            device=device.id,
            model=model.id,
        ),
    ]


def estimates(deployment: Deployment) -> tuple[Estimate, ...]:
    """The size of the cache in tokens, as the generator is given it."""
    tokens = padded(_cache_tokens(deployment), _PAGE_TOKENS)
    return (
        Estimate(
            quantity="kv_cache_tokens",
            unit="tokens",
            value=tokens,
            low=tokens,
            high=tokens,
            basis="exact",
            formula="formulas.kv_cache:padded",
            inputs={"count": _cache_tokens(deployment), "multiple": _PAGE_TOKENS},
        ),
    )


def problems(deployment: Deployment) -> tuple[str, ...]:
    """Why ExLlamaV3 would not run this at all."""
    found = []
    if not any(device.backend == "cuda" for device in deployment.machine.devices):
        found.append("ExLlamaV3 needs an NVIDIA card")
    old = [d.name for d in devices_of(deployment) if d.compute_capability and _capability(d) < (7, 5)]
    if old:
        found.append(f"ExLlamaV3's kernels need compute capability 7.5 or more: {', '.join(old)}")
    if deployment.model.naming == "gguf":
        found.append("ExLlamaV3 reads EXL3 or 16-bit safetensors, not GGUF files")
    elif method_of(deployment) not in (*PLAIN, "exl3"):
        found.append(f"ExLlamaV3 reads EXL3 or 16-bit weights, not {method_of(deployment)}")
    if deployment.split.kind in ("pipeline", "expert"):
        found.append("ExLlamaV3 splits by layers or by tensors only")
    for name in {deployment.kv_format_k, deployment.kv_format_v}:
        if name not in ("auto", "f16") and not (
            name[:1] == "q" and name[1:2].isdecimal() and 2 <= int(name[1]) <= 8
        ):
            found.append(f"ExLlamaV3's cache has f16 or 2 to 8 bits, not {name}")
    return tuple(found)


def _capability(device: Device) -> tuple[int, ...]:
    return tuple(int(part) for part in device.compute_capability.split(".") if part.isdecimal())


def _bits(name: str) -> int:
    """'q6' and 'q6_0' are 6 bits; everything else is kept in 16."""
    return int(name[1]) if name[:1] == "q" and name[1:2].isdecimal() else 16


def _cache_tokens(deployment: Deployment) -> int:
    return deployment.workload.context_tokens * deployment.workload.parallel_sequences_count


def _setting(deployment: Deployment, name: str) -> int:
    return int(deployment.settings.get(name, DEFAULTS[name]))


def _reserve(deployment: Deployment) -> float:
    return float(deployment.settings.get("reserve_gib", DEFAULTS["reserve_gib"]))
