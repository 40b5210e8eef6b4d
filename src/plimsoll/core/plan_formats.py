"""Which formats are worth trying for a model on a runtime and a machine, and why others are not."""

from __future__ import annotations

import re

from plimsoll.core.place import splits_of
from plimsoll.domain.deployment import SplitKind
from plimsoll.domain.machine import Machine
from plimsoll.domain.model import Model
from plimsoll.errors import BadSetting
from plimsoll.formulas.formats import GGUF
from plimsoll.formulas.quant_specs import named_spec_or_none
from plimsoll.runtimes import formats_of

# Requantising what is published quantised must save at least a tenth, else it only loses.
_WORTHWHILE_SHARE = 0.9
_FAMILIES = {"fp8": "fp8", "nvfp4": "fp4", "mxfp4": "fp4", "int8": "int8", "w8a8": "int8", "fp4": "fp4"}
_MXFP4_BESIDES = {"llama_cpp": ("mxfp4_moe",), "mlx": ("mlx-mxfp4-q8",)}


def weight_formats(model: Model, runtime_id: str) -> tuple[str, ...]:
    """'' (as published) and the smaller formats of a runtime, largest first; for a model published quantised
    only those that save something."""
    if model.naming == "gguf":
        return ("",)
    smaller: tuple[str, ...] = formats_of(runtime_id).SMALLER_WEIGHTS
    published = model.quantisation
    if published is None:
        return ("", *smaller)
    limit = _WORTHWHILE_SHARE * published.bits
    besides = _MXFP4_BESIDES.get(runtime_id, ()) if published.method == "mxfp4" else ()
    return ("", *besides, *(name for name in smaller if nominal_bits(name) < limit))


def nominal_bits(weight_format: str) -> float:
    """Bits per weight of the format's own blocks, without what a recipe keeps in more: for GGUF 8 x bytes /
    values of a block, else bits of a value + 16 per group."""
    name = weight_format.lower()
    while name:
        if name in GGUF:
            values, size = GGUF[name]
            return 8 * size / values
        name = name.rpartition("_")[0]
    try:
        spec = named_spec_or_none(weight_format)
    except BadSetting:
        return 16.0
    if spec is None:
        return 16.0
    return spec.bits + (16 / spec.group_size if spec.group_size and spec.method != "nvfp4" else 0)


def kv_formats(runtime_id: str, *, is_deep: bool) -> tuple[str, ...]:
    """'' (the runtime's own) and its smaller caches, the smallest only where depth is what counts."""
    smaller: tuple[str, ...] = formats_of(runtime_id).SMALLER_KV
    return ("", *(smaller if is_deep else smaller[:1]))


def split_kinds(runtime_id: str, machine: Machine, *, has_experts: bool) -> tuple[SplitKind | None, ...]:
    """None for one device; else one card alone, all by layers, or all by tensors. Pipelines are what
    `natural_split` falls back on where the shapes do not divide; experts are split where there are any."""
    if len(machine.devices) < 2:
        return (None,)
    ways = splits_of(runtime_id)
    if "tensor" not in ways or "pipeline" not in ways:
        return ways
    return ("none", "tensor", "pipeline", *(("expert",) if has_experts else ()))


def without_unit(format_name: str, machine: Machine) -> str:
    """Why the first card has no arithmetic for a format ('fp8', 'fp8_e4m3', 'nvfp4'), or ''."""
    family = next((unit for name, unit in _FAMILIES.items() if re.match(name, format_name.lower())), "")
    if not family or not machine.devices or machine.devices[0].backend == "metal":
        return ""
    device = machine.devices[0]
    if not device.flops_per_s or device.flops_per_s.get(family):
        return ""
    return f"{device.name} has no {family} unit"
