"""What each runtime does with an adapter: runs it or not, why, and what it keeps in memory for it.

Sources: vllm/lora/peft_helper.py (PEFTHelper), vllm/lora/layers/logits_processor.py, vLLM 0.33.0;
srt/lora/lora_manager.py (init_lora_shapes), SGLang 0.5.9; convert_lora_to_gguf.py and src/llama-adapter.cpp
(get_scale), llama.cpp at 0c1e57098; peft 0.21.2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from plimsoll.domain.adapter import LoraAdapter, RuntimeUse, RuntimeVerdict
from plimsoll.domain.deployment import Adapter
from plimsoll.domain.model import Model
from plimsoll.errors import UnsupportedArchitecture
from plimsoll.formulas import adapters as formulas
from plimsoll.runtimes.llama_cpp.adapters import unadapted_targets
from plimsoll.runtimes.llama_cpp.tensors import gguf_architecture
from plimsoll.runtimes.sglang import lora as sglang
from plimsoll.runtimes.vllm import lora as vllm

_ALIGNMENT_BYTES = 32
_SGLANG_SLOTS = 8
Judged = tuple[RuntimeVerdict, str]


def values_count(adapter: LoraAdapter) -> int:
    """Values of all tensors in the file."""
    return sum(t.elements_count for t in adapter.tensors)


def targets_of(adapter: LoraAdapter) -> tuple[str, ...]:
    """The last names of the modules that have a pair in the file."""
    return tuple(sorted({t.module.rpartition(".")[2] for t in adapter.tensors if t.part in ("a", "b")}))


def rank_of(adapter: LoraAdapter) -> int:
    """The largest rank of a module, as vLLM and SGLang compare it with their slots."""
    return max((adapter.rank, *(r for _, r in adapter.rank_pattern)))


def served(adapter: LoraAdapter, runtime: str) -> Adapter:
    """The adapter as part of a deployment on this runtime."""
    sizes = {"llama_cpp": _llama_cpp_bytes(adapter), "transformers": _peft_bytes(adapter)}
    stored = sum(t.size_bytes for t in adapter.tensors)
    return Adapter(
        id=adapter.id, rank=rank_of(adapter), size_bytes=sizes.get(runtime, stored),
        targets=targets_of(adapter),
    )  # fmt: skip


def uses(adapter: LoraAdapter, model: Model | None) -> tuple[RuntimeUse, ...]:
    """One row per runtime that knows adapters; slots need a model."""
    return (
        _llama_cpp(adapter, model), _vllm(adapter, model), _sglang(adapter, model), _transformers(adapter),
    )  # fmt: skip


def _use(
    runtime: str, judged: Judged, formula: Callable[..., int] | None = None,
    inputs: dict[str, Any] | None = None, flags: str = "",
) -> RuntimeUse:  # fmt: skip
    if formula is None or inputs is None:
        return RuntimeUse(runtime=runtime, verdict=judged[0], reason=judged[1], flags=flags)
    return RuntimeUse(
        runtime=runtime, verdict=judged[0], reason=judged[1], resident_bytes=formula(**inputs),
        formula=f"formulas.adapters:{formula.__name__}", inputs=inputs, flags=flags,
    )  # fmt: skip


def _sizes(adapter: LoraAdapter) -> list[list[int]]:
    """[count, bytes] of the pairs as llama.cpp loads them: a GGUF's as stored, others converted to f32."""
    rows = Counter(
        t.size_bytes if adapter.naming == "gguf" else 4 * t.elements_count
        for t in adapter.tensors
        if t.part in ("a", "b")
    )
    return [[count, size] for size, count in rows.items()]


def _llama_cpp_bytes(adapter: LoraAdapter) -> int:
    return formulas.loaded_bytes(_sizes(adapter), 1, _ALIGNMENT_BYTES)


def _peft_bytes(adapter: LoraAdapter) -> int:
    return formulas.cast_bytes(values_count(adapter), 4)


def _llama_cpp(adapter: LoraAdapter, model: Model | None) -> RuntimeUse:
    inputs = {"rows": _sizes(adapter), "adapters_count": 1, "alignment_bytes": _ALIGNMENT_BYTES}
    if adapter.naming == "gguf":
        return _use(
            "llama_cpp", ("supported", "a GGUF adapter"), formulas.loaded_bytes, inputs, "--lora FILE"
        )
    judged = _converted(adapter, model)
    if judged[0] == "unsupported":
        return _use("llama_cpp", judged)
    return _use("llama_cpp", judged, formulas.loaded_bytes, inputs, "--lora FILE")


def _converted(adapter: LoraAdapter, model: Model | None) -> Judged:
    """What convert_lora_to_gguf.py and then llama.cpp's graph make of a PEFT adapter."""
    script, modules = "convert_lora_to_gguf.py", {t.module for t in adapter.tensors if t.part in ("a", "b")}
    if adapter.has_dora:
        return "unsupported", f"{script} stops at DoRA's magnitudes"
    if _has_half_pairs(adapter):
        return "unsupported", f"{script} stops at a pair with one half"
    if any(t.part == "whole" for t in adapter.tensors):
        return "unsupported", f"{script} stops at tensors that are no pair"
    if any(m.endswith((".experts", ".experts.base_layer")) for m in modules):
        return "unsupported", f"{script} does not know pairs of stacked experts (target_parameters)"
    leaves = {m.rpartition(".")[2] for m in modules if ".experts." in m}
    if leaves and leaves not in ({"gate_proj", "up_proj", "down_proj"}, {"w1", "w2", "w3"}):
        return "unsupported", f"{script} wants pairs of all three matrices of the experts"
    if any(m.endswith(".kv_b_proj") for m in modules):
        return "unsupported", f"{script} cannot split the pair of kv_b_proj"
    if adapter.has_rslora or adapter.alpha_pattern:
        what = "use_rslora" if adapter.has_rslora else "alpha_pattern"
        return "penalty", f"its GGUF keeps lora_alpha only, so {what} is lost: another strength"
    if adapter.alpha == 0:
        return "penalty", "llama.cpp takes alpha 0 for none and applies the pairs unscaled"
    lost = sorted(set(targets_of(adapter)) & _unadapted(model))
    if lost:
        return "penalty", f"its graph of this architecture applies no adapter to {', '.join(lost)}"
    return "supported", f"after {script}, which writes f32"


def _unadapted(model: Model | None) -> frozenset[str]:
    if model is None:
        return frozenset()
    try:
        return unadapted_targets(gguf_architecture(model))
    except UnsupportedArchitecture:
        return frozenset()


def _has_half_pairs(adapter: LoraAdapter) -> bool:
    halves = {part: {t.module for t in adapter.tensors if t.part == part} for part in ("a", "b")}
    return halves["a"] != halves["b"]


def _vllm(adapter: LoraAdapter, model: Model | None) -> RuntimeUse:
    problems = _vllm_problems(adapter, model)
    rank = formulas.vllm_rank(rank_of(adapter))
    if adapter.naming == "gguf" or problems or rank is None:
        reason = "; ".join(problems) if problems else "vLLM loads PEFT adapters"
        return _use("vllm", ("unsupported", reason))
    flags = f"--enable-lora --max-loras 1 --max-lora-rank {rank}"
    reason = f"slots of rank {rank} for every module that could be adapted"
    if model is None:
        return _use("vllm", ("supported", f"{reason}; --for MODEL tells their size"), flags=flags)
    inputs = {"rows": vllm.slot_rows(model), "rank": rank, "slots_count": 1, "value_bytes": 2}
    return _use("vllm", ("supported", reason), formulas.slots_bytes, inputs, flags)


def _vllm_problems(adapter: LoraAdapter, model: Model | None) -> list[str]:
    found = []
    if adapter.has_dora:
        found.append("DoRA is not supported")
    if adapter.has_lora_bias or adapter.bias != "none":
        found.append("trained biases are not supported")
    others = [m for m in adapter.saved_modules if m not in ("classifier", "score")]
    if others:
        found.append(f"modules_to_save {', '.join(others)} is not supported")
    if adapter.other_methods:
        found.append(f"{', '.join(adapter.other_methods)} is not supported")
    if formulas.vllm_rank(rank_of(adapter)) is None:
        found.append(f"rank {rank_of(adapter)} is more than {formulas.VLLM_RANKS[-1]}")
    if model is not None and model.architecture in vllm.WITHOUT_LORA:
        found.append(f"its class for {model.architecture} does not support LoRA")
    return found


def _sglang(adapter: LoraAdapter, model: Model | None) -> RuntimeUse:
    if adapter.naming == "gguf":
        return _use("sglang", ("unsupported", "SGLang loads PEFT adapters"))
    if adapter.has_dora or adapter.target_parameters:
        what = "DoRA" if adapter.has_dora else "target_parameters"
        return _use("sglang", ("unsupported", f"{what} is not read"))
    targets = targets_of(adapter)
    strange = [t for t in targets if t not in sglang.KNOWN_TARGETS]
    if strange:
        return _use("sglang", ("unknown", f"no widths are known for {', '.join(strange[:6])}"))
    flags = "--enable-lora --lora-paths NAME=PATH"
    if adapter.target_pattern:
        flags += f" --lora-target-modules {' '.join(targets)}"
    reason = f"a pool of {_SGLANG_SLOTS} slots (max_loras_per_batch) for its targets in every layer"
    if model is None:
        return _use("sglang", ("supported", f"{reason}; --for MODEL tells their size"), flags=flags)
    if any(layer.experts_count for layer in model.layers) and set(targets) & {
        "gate_proj",
        "up_proj",
        "down_proj",
    }:
        return _use("sglang", ("unknown", "its pool takes one width for all layers; this is a mixture"))
    inputs = {
        "rows": sglang.pool_rows(model, targets), "rank": rank_of(adapter), "slots_count": _SGLANG_SLOTS,
        "value_bytes": 2,
    }  # fmt: skip
    return _use("sglang", ("supported", reason), formulas.slots_bytes, inputs, flags)


def _transformers(adapter: LoraAdapter) -> RuntimeUse:
    if adapter.naming == "gguf":
        return _use("transformers", ("unsupported", "PEFT loads safetensors"))
    inputs = {"values_count": values_count(adapter), "value_bytes": 4}
    reason = "PEFT keeps pairs in f32, whatever the file holds (autocast_adapter_dtype)"
    return _use(
        "transformers", ("supported", reason), formulas.cast_bytes, inputs, "PeftModel.from_pretrained"
    )
