"""From a Measurement, in the catalog's names, to the parts of the time it measured."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from plimsoll.catalog import devices
from plimsoll.catalog.devices import DeviceRecord
from plimsoll.core.conformal import kind_of, machine_of
from plimsoll.core.speed import NoCeiling, prompt_terms, terms
from plimsoll.domain.machine import Device
from plimsoll.domain.model import Model, TensorSpec
from plimsoll.domain.speed import ModelWork, SpeedCase, Terms
from plimsoll.errors import PlimsollError
from plimsoll.formulas.roofline import model_work

if TYPE_CHECKING:  # `speed` needs neither, and every `fit` waits for what is imported here
    from plimsoll.core.calibrate import Sample
    from plimsoll.domain.measurement import Measurement

# Programs whose rows do not tell the build of llama.cpp, nor what else ran: scoreboards that anyone fills.
_BUILD_UNTOLD = ("llamafile", "llama.cpp or ollama")
_BUILD_UNTOLD_WEIGHT = 0.5
_PACKED = ("awq", "gptq", "w4a16", "exl2", "exl3", "mlx")


def sample_of(m: Measurement) -> Sample:
    """The measured time of one pass (decode) or of the prompt, with its parts.

    Raises NoCeiling or PlimsollError where the model, device or format has no speed model.
    """
    from plimsoll.core.calibrate import Sample

    case = case_of(m)
    groups = {
        "device": m.device or m.host,
        "machine": machine_of(case), "model": m.model, "backend": m.backend, "runtime": m.runtime,
        "cell": f"{m.device}|{m.host}|{m.model}|{m.weight_format}|{m.runtime}|{m.backend}|{m.source}",
        "rig": f"{_publisher(m.source)}|{m.devices_count} {m.device}|{m.host}|{kind_of(case)}|{m.flavour}",
        "anchor": "yes" if _is_anchor(m) else "",
    }  # fmt: skip
    found, seconds = _measured(case, m)
    is_untold = m.flavour in _BUILD_UNTOLD or "llmfit" in m.version
    return Sample(
        id=m.id, kind=kind_of(case), terms=found, seconds=seconds, groups=groups,
        weight=_BUILD_UNTOLD_WEIGHT if is_untold else 1.0,
    )  # fmt: skip


def _publisher(url: str) -> str:
    """Host, owner and repository of a source: rows of one publisher and device are taken as one machine's."""
    return "/".join(url.split("/")[2:5])


def _is_anchor(m: Measurement) -> bool:
    """What a short benchmark on one's own machine runs: one sequence, an empty cache, a usual prompt."""
    is_usual = 256 <= m.prompt_tokens <= 4096 if m.metric == "prefill_tps" else m.metric == "decode_tps"
    return m.sequences_count == 1 and m.depth_tokens + m.generated_tokens <= 1024 and is_usual


def _measured(case: SpeedCase, m: Measurement) -> tuple[Terms, float]:
    sequences = m.sequences_count
    if m.metric == "prefill_tps":
        tokens = m.prompt_tokens * sequences
        if tokens == 1:
            found = terms(case, sequences_count=1, new_tokens=1, depth_tokens=m.depth_tokens)
        else:
            found = prompt_terms(
                case, sequences_count=sequences, prompt_tokens=m.prompt_tokens, depth_tokens=m.depth_tokens
            )
        return found, tokens / m.value
    depth = m.depth_tokens + m.generated_tokens // 2
    found = terms(case, sequences_count=sequences, new_tokens=1, depth_tokens=depth)
    return found, (sequences if m.metric == "throughput_tps" else 1) / m.value


def case_of(m: Measurement) -> SpeedCase:
    """The measurement's model and devices with their ceilings."""
    work = work_of(m.model, m.runtime, m.weight_format, m.file_bytes)
    record = _record(m.device) if m.device else None
    layers = len(work.layers)
    on_gpu = layers + 1 if m.gpu_layers_count is None else m.gpu_layers_count
    is_cpu = record is None or (m.gpu_layers_count == 0) or m.backend == "cpu"
    host = 0 if is_cpu else max(0, layers + 1 - on_gpu)
    limit = (record.power_limit_watts if record else None) or 0
    card = None if is_cpu else record
    return SpeedCase(
        work=work, runtime=m.runtime, flavour=m.flavour, era=era_of(m.runtime, m.version),
        backend="cpu" if is_cpu else m.backend, device="" if is_cpu else m.device,
        architecture=architecture_of(card) if card else "cpu",
        bandwidth_bytes_per_s=(card.bandwidth_bytes_per_s if card else m.ram_bytes_per_s) or 0,
        flops_per_s=card.flops_per_s if card else {},
        devices_count=max(m.devices_count, 1), split=m.split.partition(" ")[0], host=m.host,
        host_bytes_per_s=m.ram_bytes_per_s, host_layers_count=host,
        host_expert_layers_count=0 if is_cpu else max(0, min(m.cpu_expert_layers_count, layers) - host),
        kv_format=m.kv_format or "f16", flash_attention=m.flash_attention, ubatch_tokens=m.ubatch_tokens,
        threads_count=m.threads_count, is_unified=bool(card and card.is_unified),
        power_share=m.power_limit_watts / limit if limit and m.power_limit_watts else 1.0,
    )  # fmt: skip


def architecture_of(record: DeviceRecord | Device) -> str:
    """The generation as it matters for speed: NVIDIA's compute capability, else the architecture's name."""
    if record.backend == "cuda" and record.compute_capability:
        return f"sm {record.compute_capability}"
    return re.sub(r"\.0$|\s", "", record.architecture)


def era_of(runtime: str, version: str) -> str:
    """llama.cpp's builds by what changed the time per layer: before March 2025, before October 2025, since.

    Build numbers from the tags of ggml-org/llama.cpp; '' for the newest, 'untold' where no
    version is told or only a commit. llmfit exists since 2026.
    """
    if runtime != "llama_cpp":
        return ""
    found = re.match(r"b(\d{4,5})\b", version)
    if found:
        number = int(found[1])
        return "before b4800" if number < 4800 else "before b6700" if number < 6700 else ""
    if re.search(r"\b202[34]\b", version):
        return "before b4800"
    return "" if re.match(r"2026|since 2025-08|via llmfit", version) else "untold"


@lru_cache(maxsize=256)
def _record(device_id: str) -> DeviceRecord:
    return devices.load(device_id)


@lru_cache(maxsize=2048)
def work_of(model_id: str, runtime: str, weight_format: str, file_bytes: int = 0) -> ModelWork:
    """The work of a catalog model in a format; raises PlimsollError for an unknown one."""
    from plimsoll.ask import models

    return work_in(_model(models, model_id), runtime, weight_format, file_bytes)


_MODELS: dict[str, Model] = {}


def _model(models: object, model_id: str) -> Model:
    if model_id not in _MODELS:
        _MODELS[model_id] = models.from_catalog(model_id)  # type: ignore[attr-defined]
    return _MODELS[model_id]


# The last works, with the tensors they are of: a plan asks for the same one for every cache and context.
_WORKS: dict[tuple[int, str, str, int], tuple[object, ModelWork]] = {}
_KEPT_COUNT = 64


def work_in(model: Model, runtime: str, weight_format: str, file_bytes: int = 0) -> ModelWork:
    """The work of a model in a format of a runtime; the last ones are kept."""
    key = (id(model.tensors), runtime if runtime == "llama_cpp" else "", weight_format, file_bytes)
    if key not in _WORKS:
        while len(_WORKS) >= _KEPT_COUNT:
            del _WORKS[next(iter(_WORKS))]
        _WORKS[key] = (model.tensors, _work_in(model, runtime, weight_format, file_bytes))
    return _WORKS[key][1]


def _work_in(model: Model, runtime: str, weight_format: str, file_bytes: int) -> ModelWork:
    published = model.quantisation.method if model.quantisation and not weight_format else ""
    method = (weight_format or published).partition("-")[0].partition("_")[0]
    return model_work(
        model, tensors_of(model, runtime, weight_format), file_bytes=file_bytes,
        method=method if method in _PACKED else "",
    )  # fmt: skip


def tensors_of(model: Model, runtime: str, weight_format: str) -> tuple[TensorSpec, ...]:
    """The tensor table as the runtime holds it."""
    if runtime == "llama_cpp":
        from plimsoll.runtimes.llama_cpp.weights import tensor_table

        return tensor_table(model, weight_format)
    from plimsoll.formulas.quant_specs import tensors_as

    return tensors_as(model, weight_format)


__all__ = ["NoCeiling", "PlimsollError", "case_of", "sample_of", "work_in"]
