"""Rows of a memory-measurement file become deployments, or a reason why not.

The schema is that of the logged measurements this project scores itself with: one JSON object per
line with `runtime`, `runtime_version`, `model`, `quant`, `gpu`, `n_gpu`, `tp`, `ctx`, `batch`,
`ubatch`, `kv_dtype`, `flash_attn`, `ngl`, `other_flags`, `component`, `device`, `value`, `unit`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from plimsoll.ask import models
from plimsoll.core import place
from plimsoll.domain.deployment import Deployment, Offload, Runtime, Split, Workload
from plimsoll.domain.machine import Device, Machine
from plimsoll.domain.model import Model
from plimsoll.errors import PlimsollError
from plimsoll.runtimes import memory_of

Row = dict[str, Any]

_RUNTIMES = (
    ("ik_llama.cpp", "llama_cpp", {"fork": "ik"}),
    ("llama", "llama_cpp", {}), ("koboldcpp", "llama_cpp", {}), ("ollama", "llama_cpp", {}),
    ("vllm", "vllm", {}), ("sglang", "sglang", {}), ("tensorrt", "tensorrt_llm", {}),
    ("exllama", "exllama", {}), ("mlx", "mlx", {}),
)  # fmt: skip
_ENOUGH_BYTES = 2**50
_CONTEXT_WHEN_NOT_TOLD = {"llama_cpp": 640}  # llama-bench's default run: 512 prompt + 128 generated tokens


class NotExpressed(Exception):
    """The row says too little, or something Plimsoll has no words for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expressed:
    """A row as a deployment; `is_whole_card` tells that the devices' real sizes are known."""

    deployment: Deployment
    is_whole_card: bool


def express(row: Row) -> Expressed:
    """The row's deployment. Raises NotExpressed with the reason."""
    runtime_id, settings = _runtime(row)
    _refuse_untold_placement(row, runtime_id)
    model = _model(row)
    weights = _weights(row, runtime_id, model)
    machine, known = _machine(row)
    kv_k, kv_v = _kv(row, runtime_id)
    flags = flags_of(row)
    settings = {**settings, **_settings(row, runtime_id, flags)}
    if settings.pop("needs_mla_mode", False) and any(x.attention == "latent" for x in model.layers):
        raise NotExpressed("ik_llama.cpp's MLA mode (-mla) is not told")
    deployment = Deployment(
        model=model, machine=machine,
        runtime=Runtime(id=runtime_id, version=_version(row), backend=_backend(row)),
        workload=Workload(
            context_tokens=_context(row, runtime_id, model), parallel_sequences_count=_sequences(row, flags)
        ),
        weight_format=weights, kv_format_k=kv_k, kv_format_v=kv_v, split=_split(row, machine, runtime_id),
        offload=_offload(row, model), settings=settings,
    )  # fmt: skip
    return Expressed(deployment=place.natural_split(deployment), is_whole_card=known)


def _refuse_untold_placement(row: Row, runtime_id: str) -> None:
    """Figures per device need to know which layers went where."""
    text, gpu, device = row.get("other_flags") or "", row.get("gpu") or "", row.get("device") or ""
    if re.search(r"\bdflash\b|\bspec=eagle", text, re.IGNORECASE):
        raise NotExpressed("a separate draft model shares the card; the row does not describe it")
    is_current = (row.get("runtime_version") or "").startswith("0.33")
    if runtime_id == "vllm" and row["component"] == "weights" and _backend(row) == "rocm" and not is_current:
        # get_current_memory_usage in vllm/platforms/rocm.py was total - free (nlzy/vllm-gfx906@203f25b68);
        # 0.33.0 asks PyTorch's allocator, as on CUDA.
        raise NotExpressed("on ROCm this log line was the card's used memory, not the weights")
    if runtime_id != "llama_cpp" or row["component"] in ("params", "file_size", "output_buffer", "fits"):
        return
    per_device = bool(re.match(r"(?:CUDA|Vulkan|ROCm|GPU|CPU|gpu)", device))
    by_hand = re.search(r"-ot\b|--override-tensor|--tensor-split|-sm row", f"{text} {gpu}")
    counted = re.match(r"(\d+)x ", gpu)
    mixed = " + " in gpu or "mix" in gpu or (counted and int(counted[1]) != row.get("n_gpu"))
    if per_device and (by_hand or mixed):
        raise NotExpressed("which layers and tensors are on which device is not told")


def _runtime(row: Row) -> tuple[str, dict[str, Any]]:
    name = (row.get("runtime") or "").lower()
    if "training" in name:
        raise NotExpressed("training is another question (plimsoll train-plan)")
    if re.search(r"-fmoe|-rtr|-amb ", row.get("other_flags") or ""):
        return "llama_cpp", {"fork": "ik"}  # flags that only ik_llama.cpp has
    for start, runtime_id, settings in _RUNTIMES:
        if name.startswith(start):
            return runtime_id, dict(settings)
    raise NotExpressed(f"runtime {row.get('runtime')!r} is not one of ours")


def _model(row: Row) -> Model:
    name = row.get("model")
    if not name:
        raise NotExpressed("the row names no model")
    found = model_or_reason(name)
    if isinstance(found, str):
        raise NotExpressed(found)
    return found


@lru_cache(maxsize=256)
def model_or_reason(name: str) -> Model | str:
    """The catalog's model for a name as logs write it, or why there is none."""
    plain = re.sub(r"\(.*?\)|\bQAT\b|\bBF16\b|-128K\b|\bFamily\b", "", name, flags=re.I).strip()
    plain = re.sub(r"^Meta[- _]", "", re.sub(r"\bIt\b.*$", "it", plain)).replace("_", "-").strip("- ")
    tries = [plain, plain.replace(" ", "-"), re.sub(r"[-_ ](it|instruct|chat)$", "", plain, flags=re.I)]
    tries += [f"{plain}-Instruct", f"{plain}-it", f"{plain}-Chat"]
    reason = f"model {name!r} is not in the catalog"
    for attempt in dict.fromkeys(tries):
        try:
            return models.from_catalog(attempt)
        except PlimsollError as error:
            nearest = getattr(error, "nearest", ())
            if type(error).__name__ == "AmbiguousName" and nearest:
                try:
                    return models.from_catalog(nearest[0])
                except PlimsollError as other:
                    error = other
            if "not in the catalog" in reason and type(error).__name__ not in (
                "UnknownModel",
                "AmbiguousName",
            ):
                reason = str(error)
    return reason


_NOT_OF_WEIGHTS = (
    "kv", "kv_tokens", "kv_needed", "recurrent_state", "output_buffer", "block_size", "max_concurrency",
    "max_len_est", "compute", "activation", "cuda_graph", "non_torch",
)  # fmt: skip


def _weights(row: Row, runtime_id: str, model: Model) -> str:
    """The weight format; where the figure does not depend on it, an unknown one does no harm."""
    try:
        return weight_format(row.get("quant"), runtime_id, model)
    except NotExpressed:
        if row["component"] in _NOT_OF_WEIGHTS:
            return ""
        raise


def weight_format(quant: str | None, runtime_id: str, model: Model) -> str:
    """'Q4_K - Medium' -> 'q4_k_m', 'EXL3 4.0bpw' -> 'exl3-4.0bpw', 'FP16/BF16' -> 'bf16'."""
    if not quant:
        raise NotExpressed("the row does not tell the weight format")
    text = quant.lower().strip()
    if re.search(
        r"\bud-|autoround|turboquant|\btq\d|oq\d|mixed|inferact|iq3_k|mtp build|_l\b|w4a8|compressed", text
    ):
        raise NotExpressed(
            f"{quant!r} is a publisher's own mixture: its size stands in its file, not in a rule"
        )
    long = re.fullmatch(r"(i?q\d_k) - (small|medium|large)", text)
    if long:
        # llama.cpp calls its one Q2_K mixture "Q2_K - Medium" (llama_model_ftype_name).
        return long[1] if long[1] == "q2_k" else f"{long[1]}_{long[2][0]}"
    if runtime_id == "mlx":
        bits = re.fullmatch(r"(\d)[ -]?bit(?: g(\d+))?", text)
        return (
            f"mlx-{bits[1]}bit" + (f"-g{bits[2]}" if bits and bits[2] else "")
            if bits
            else _plain_format(text, quant)
        )
    if runtime_id == "exllama":
        bpw = re.fullmatch(r"(exl[23]) ([\d.]+)bpw", text)
        if bpw:
            return f"{bpw[1]}-{bpw[2]}bpw"
    if text.startswith(("mxfp4", "f16 + mxfp4")) or "as released" in text:
        return ""
    return _plain_format(text, quant)


def _plain_format(text: str, quant: str) -> str:
    known = {
        "fp16/bf16": "bf16", "bf16": "bf16", "fp16": "f16", "f16": "f16", "fp8": "fp8", "fp8 (marlin)": "fp8",
        "awq": "awq", "awq 4-bit": "awq", "w8a8": "w8a8", "nvfp4": "nvfp4", "gptq": "gptq",
    }  # fmt: skip
    if text in known:
        return known[text]
    if re.fullmatch(r"i?q\d_(0|1|k|k_[sml]|nl|xs|s|m|xxs)", text):
        return text
    raise NotExpressed(f"weight format {quant!r} is not a rule we know")


def _machine(row: Row) -> tuple[Machine, bool]:
    text = (row.get("gpu") or "").strip()
    if text.upper().startswith(("CPU",)) or row.get("n_gpu") == 0:
        return Machine(name=text or "CPU", devices=(), ram_bytes=None), False
    devices = [_device(part) for part in re.split(r"\s\+\s", text)] if text else [None]
    known = all(devices) and "cpu" not in text.lower()
    backend = _backend(row) or "cuda"
    count = row.get("n_gpu") or row.get("tp") or len(devices)
    if len(devices) == 1:
        devices = devices * count
    made = [d or _nameless(text, backend) for d in devices]
    placed = tuple(
        Device(
            id=f"gpu{i}", name=d.name, vendor=d.vendor, architecture=d.architecture, catalog_id=d.catalog_id,
            backend=backend if backend in ("vulkan", "rocm", "metal", "cuda") else d.backend,
            memory_bytes=d.memory_bytes, is_unified=d.is_unified, compute_capability=d.compute_capability,
            reserved_bytes=d.reserved_bytes, driver_reserved_bytes=d.driver_reserved_bytes,
        )
        for i, d in enumerate(made)
    )  # fmt: skip
    return Machine(name=text or "unnamed", devices=placed, ram_bytes=None), bool(known)


def _nameless(text: str, backend: str) -> Device:
    """A card whose size does not matter for what is asked of it (bytes needed, not bytes left)."""
    return Device(
        id="", name=text or "unnamed", vendor="", architecture="", backend=backend, memory_bytes=_ENOUGH_BYTES
    )


@lru_cache(maxsize=256)
def _device(text: str) -> Device | None:
    from plimsoll.ask.machine import resolve

    plain = re.sub(r"\(.*?\)", " ", text)
    plain = re.sub(r"^\d+x ", "", plain.replace("‑", "-").strip())
    noise = r"\b\d+ ?GB\b|\d+-Core GPU|DGX Spark(?= GB10)|(?<=395)\s+Strix Halo|NVIDIA|AMD|Radeon|GeForce"
    shorter = re.sub(f"{noise}|Workstation", " ", plain)
    for attempt in dict.fromkeys((plain, " ".join(shorter.split()), " ".join(plain.split()[:2]))):
        try:
            found = resolve(attempt)
        except PlimsollError:
            continue
        if len(found.devices) == 1:
            return found.devices[0]
    return None


def _backend(row: Row) -> str:
    text = f"{row.get('gpu') or ''} {row.get('device') or ''} {row.get('other_flags') or ''}".lower()
    for name, backend in (("vulkan", "vulkan"), ("rocm", "rocm"), ("metal", "metal"), ("apple", "metal"),
                          ("mi50", "rocm"), ("cuda", "cuda")):  # fmt: skip
        if name in text:
            return backend
    return ""


def _version(row: Row) -> str:
    """The version as the runtime counts its own; Ollama's and unnamed builds' say nothing of the engine."""
    text = row.get("runtime_version") or ""
    if (row.get("runtime") or "").startswith(("Ollama", "ExLlama", "MLX")):
        return ""
    return text  # vLLM's untagged builds (0.1.dev1+commit) are read by runtimes/vllm/versions.py


def _context(row: Row, runtime_id: str, model: Model) -> int:
    if row.get("ctx"):
        return int(row["ctx"])
    is_bench = "llama-bench" in (row.get("other_flags") or "")
    if row["component"] == "fits" and is_bench and runtime_id in _CONTEXT_WHEN_NOT_TOLD:
        return _CONTEXT_WHEN_NOT_TOLD[runtime_id]
    if row["component"] in (
        "kv",
        "recurrent_state",
        "compute",
        "total",
        "max_concurrency",
        "kv_needed",
        "fits",
    ):
        return model.trained_context_tokens or 4096
    return 4096


def _kv(row: Row, runtime_id: str) -> tuple[str, str]:
    text = (row.get("kv_dtype") or "").lower()
    text = re.sub(r"\(.*?\)", "", text).strip()
    if runtime_id == "llama_cpp":
        k, _, v = (text or "f16/f16").partition("/")
        return k.strip(), (v or k).strip()
    text = {"": "auto", "fp16": "f16"}.get(text, text)
    return text, text


def flags_of(row: Row) -> dict[str, str]:
    """name=value pairs and -np style switches in `other_flags`."""
    text = row.get("other_flags") or ""
    flags = dict(re.findall(r"([a-z_]+)=([^\s,;]+)", text))
    for switch, name in (("-np", "parallel"), ("--n-cpu-moe", "n_cpu_moe"), ("-ncmoe", "n_cpu_moe")):
        found = re.search(rf"{switch} (\d+)", text)
        if found:
            flags[name] = found[1]
    if "PP" in text and (found := re.search(r"\bPP(\d+)", text)):
        flags["pp"] = found[1]
    if re.search(r"--swa-full|\bswa_full\b(?!_)", text):
        flags["swa_full"] = "true"
    if re.search(r"\bMTP\b", text) and (found := re.search(r"k=(\d+)", text)):
        flags["mtp"] = found[1]
    return flags


def _sequences(row: Row, flags: dict[str, str]) -> int:
    return int(flags.get("parallel", 1))


_SETTING_FLAGS = {
    "gpu_memory_utilization": ("gpu_memory_utilization", float),
    "mem_fraction_static": ("mem_fraction_static", float),
    "swa_full_tokens_ratio": ("swa_full_tokens_ratio", float),
    "max_num_seqs": ("max_num_seqs", int),
    "dcp": ("decode_context_parallel_size", int),
    "mtp": ("num_speculative_tokens", int),
    "enable_prefix_caching": ("enable_prefix_caching", lambda text: text.lower() == "true"),
    "language_model_only": ("language_model_only", lambda text: text.lower() == "true"),
}


def _settings(row: Row, runtime_id: str, flags: dict[str, str]) -> dict[str, Any]:
    """The row's settings under the runtime's own names; those it does not have are left out."""
    settings: dict[str, Any] = {}
    if runtime_id == "llama_cpp":
        settings |= {name: int(row[name]) for name in ("batch", "ubatch") if row.get(name)}
        if row.get("flash_attn") in ("on", "off"):
            settings["flash_attn"] = row["flash_attn"]
        if flags.get("swa_full"):
            settings["swa_full"] = True
        if _runtime(row)[1].get("fork") == "ik":
            # The default mode of -mla changed between its builds, which number themselves by their own count.
            found = re.search(r"-mla (\d)", row.get("other_flags") or "")
            if found:
                settings["mla"] = int(found[1])
            elif row["component"] in ("kv", "compute", "total"):
                settings["needs_mla_mode"] = True
        return settings
    if row.get("batch"):
        settings["max_num_batched_tokens"] = int(row["batch"])
    for flag, (name, read) in _SETTING_FLAGS.items():
        if flag in flags:
            try:
                settings[name] = read(flags[flag])
            except ValueError:
                raise NotExpressed(f"{flag}={flags[flag]!r} is not a value of {name}") from None
    known = memory_of(runtime_id).DEFAULTS
    return {name: value for name, value in settings.items() if name in known}


def _split(row: Row, machine: Machine, runtime_id: str) -> Split:
    devices = tuple(d.id for d in machine.devices)
    flags = flags_of(row)
    if "pp" in flags:
        return Split(kind="pipeline", devices=devices)
    if runtime_id in ("vllm", "sglang", "tensorrt_llm") and (row.get("tp") or 1) > 1:
        return Split(kind="tensor", devices=devices[: row["tp"]])
    return Split(kind="none", devices=())


def _offload(row: Row, model: Model) -> Offload:
    text = row.get("other_flags") or ""
    found = re.match(r"(\d+)/(\d+)", str(row.get("ngl") or ""))
    layers = int(found[1]) if found and int(found[1]) < int(found[2]) else None
    cpu_moe = re.search(r"(?:--n-cpu-moe|-ncmoe) (\d+)", text)
    return Offload(gpu_layers_count=layers, cpu_expert_layers_count=int(cpu_moe[1]) if cpu_moe else 0)
