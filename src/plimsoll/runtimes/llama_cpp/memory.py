"""Every byte a llama.cpp deployment takes."""

from __future__ import annotations

from typing import Any

from plimsoll.domain.bill import HOST, Line
from plimsoll.domain.deployment import Deployment
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.model import LayerSpec
from plimsoll.errors import BadSetting
from plimsoll.formulas.buffers import adapter_bytes
from plimsoll.formulas.formats import GGUF, row_bytes
from plimsoll.formulas.kv_cache import cells_bytes, state_bytes
from plimsoll.formulas.weights import sum_bytes
from plimsoll.runtimes.llama_cpp.cache import CacheRow, cache_rows, state_rows
from plimsoll.runtimes.llama_cpp.compute import compute_lines
from plimsoll.runtimes.llama_cpp.formats import KV_FORMATS
from plimsoll.runtimes.llama_cpp.placement import Placement, place
from plimsoll.runtimes.llama_cpp.settings import (
    DEFAULTS,
    Context,
    context_cells,
    context_of,
    flag,
    is_ik,
    sequence_cells,
    setting,
)
from plimsoll.runtimes.llama_cpp.tensors import gguf_architecture
from plimsoll.runtimes.llama_cpp.weights import alignment_of, device_groups, tensor_table

__all__ = ["DEFAULTS", "estimates", "lines", "problems"]

_KINDS = {"full": "KV cache", "window": "KV cache of the window layers", "indexer": "indexer's key cache"}
MOST_SEQUENCES_COUNT = 256  # LLAMA_MAX_SEQ, src/llama-cparams.h of ggml-org/llama.cpp@0c1e57098


def lines(deployment: Deployment) -> tuple[Line, ...]:
    """Weights, KV cache, recurrent state, output buffer, compute buffers and overhead, per device.

    Raises BadSetting where llama.cpp would refuse the combination (see `problems`).
    """
    context = context_of(deployment)
    placement = place(deployment, len(deployment.model.layers))
    return (
        *_weight_lines(deployment, placement),
        *_cache_lines(deployment, context, placement),
        *_state_lines(deployment, context, placement),
        *_adapter_lines(deployment, placement),
        *compute_lines(deployment, context, placement),
    )


def estimates(deployment: Deployment) -> tuple[Estimate, ...]:
    """The context that llama.cpp's log prints: n_ctx over all sequences, and n_ctx_seq of one."""
    context = context_of(deployment)
    inputs: dict[str, Any] = {
        "context_tokens": deployment.workload.context_tokens,
        "sequences_count": context.sequences_count,
        "padding_tokens": context.padding_tokens,
        "is_unified": context.is_unified,
    }
    found = []
    for name, formula in (("n_ctx", context_cells), ("n_ctx_seq", sequence_cells)):
        cells = formula(**inputs)
        found.append(
            Estimate(
                quantity=name,
                unit="tokens",
                value=cells,
                low=cells,
                high=cells,
                basis="exact",
                formula=f"runtimes.llama_cpp.settings:{formula.__name__}",
                inputs=inputs,
            )
        )
    return tuple(found)


def problems(deployment: Deployment) -> tuple[str, ...]:
    """Combinations that llama.cpp refuses: V quantised without flash attention, rows that do not divide, too
    many sequences."""
    try:
        context = context_of(deployment)
        place(deployment, len(deployment.model.layers))
    except BadSetting as error:
        return (error.message,)
    found = [
        f"llama.cpp has no KV format {f}" for f in (context.format_k, context.format_v) if f not in KV_FORMATS
    ]
    if deployment.workload.parallel_sequences_count > MOST_SEQUENCES_COUNT:
        found.append(f"llama.cpp runs at most {MOST_SEQUENCES_COUNT} sequences at once")
    if found:
        return tuple(found)
    rows = _rows(deployment, context)
    if (
        GGUF[context.format_v][0] > 1
        and not context.has_flash_attention
        and any(r.value_values for r in rows)
    ):
        found.append(f"V in {context.format_v} needs flash attention, which is off")
    if context.format_k != context.format_v and any(r.value_values == 0 for r in rows if r.kind != "indexer"):
        found.append("latent attention keeps one cache: K and V must have the same format")
    for row in rows:
        for name, values in ((context.format_k, row.key_values), (context.format_v, row.value_values)):
            try:
                row_bytes(name, values) if values else 0
            except ValueError:
                found.append(f"a KV row of {values} values does not divide into the blocks of {name}")
    return tuple(dict.fromkeys(found))


def _rows(deployment: Deployment, context: Context) -> list[CacheRow]:
    model = deployment.model
    mla = int(setting(deployment, "mla")) if is_ik(deployment) else -1
    return cache_rows(model.layers, gguf_architecture(model), context, mla)


def _weight_lines(deployment: Deployment, placement: Placement) -> list[Line]:
    model = deployment.model
    table = tensor_table(model, deployment.weight_format)
    backends = {d.id: d.backend for d in deployment.machine.devices}
    groups = device_groups(table, model, placement, tuple(sorted(backends.items())))
    origins = tuple(model.origins.values())
    return [
        Line.of(
            sum_bytes,
            {"groups": groups[device]},
            component="weights",
            label="weights",
            device=device,
            model=model.id,
            origins=origins,
        )
        for device in (HOST, *placement.devices)
        if device in groups
    ]


def _cache_lines(deployment: Deployment, context: Context, placement: Placement) -> list[Line]:
    is_offloaded = flag(deployment, "offload_kqv")
    groups: dict[tuple[str, str, int], dict[tuple[int, int], int]] = {}
    for row in _rows(deployment, context):
        device = placement.layers[row.layer] if is_offloaded else HOST
        counts = groups.setdefault((device, row.kind, row.cells), {})
        shape = (row.key_values, row.value_values)
        counts[shape] = counts.get(shape, 0) + 1
    return [
        Line.of(
            cells_bytes,
            {
                "cells_count": cells,
                "streams_count": context.streams_count,
                "rows": [[count, *shape] for shape, count in sorted(counts.items())],
                "format_k": context.format_k,
                "format_v": context.format_v,
            },
            component="kv",
            label=_KINDS[kind],
            device=device,
            model=deployment.model.id,
        )
        for (device, kind, cells), counts in groups.items()
    ]


def _state_lines(deployment: Deployment, context: Context, placement: Placement) -> list[Line]:
    is_offloaded = flag(deployment, "offload_kqv")
    backends = {d.id: d.backend for d in deployment.machine.devices}
    groups: dict[str, dict[tuple[int, int], int]] = {}
    layers: tuple[LayerSpec, ...] = deployment.model.layers
    for row in state_rows(layers):
        counts = groups.setdefault(placement.layers[row.layer] if is_offloaded else HOST, {})
        shape = (row.conv_values, row.ssm_values)
        counts[shape] = counts.get(shape, 0) + 1
    return [
        Line.of(
            state_bytes,
            {
                "sequences_count": context.sequences_count,
                "rows": [[count, *shape] for shape, count in sorted(counts.items())],
                "value_bytes": 4,
                "alignment_bytes": alignment_of(backends.get(device, "cpu")),
            },
            component="state",
            label="recurrent state",
            device=device,
            model=deployment.model.id,
        )
        for device, counts in groups.items()
    ]


def _adapter_lines(deployment: Deployment, placement: Placement) -> list[Line]:
    # llama_adapter_lora_init puts each pair beside the tensor it adapts; the bulk follows the blocks.
    device = placement.output
    return [
        Line.of(
            adapter_bytes,
            {"size_bytes": a.size_bytes, "slots_count": 1},
            component="adapters",
            label=f"adapter {a.id}",
            device=device,
            model=deployment.model.id,
        )
        for a in deployment.adapters
    ]
