"""Rows of a speed-measurement file become Measurements in the catalog's names, or a reason why not.

The schema is that of the published measurements this project scores itself with: one JSON object per line
with `runtime`, `version`, `backend`, `hardware`, `n_gpu`, `model`, `quant`, `size_gib`, `ngl`, `n_cpu_moe`,
`ubatch`, `kv_dtype`, `n_prompt`, `n_gen`, `depth`, `concurrency`, `metric`, `value`, `notes`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import memory_rows
from memory_rows import NotExpressed

from plimsoll.ask.measured import work_of
from plimsoll.catalog import devices
from plimsoll.catalog.devices import DeviceRecord
from plimsoll.domain.measurement import Measurement
from plimsoll.domain.model import Model
from plimsoll.errors import PlimsollError

Row = dict[str, Any]
GIB = 2**30

_RUNTIMES: dict[str, tuple[str, str]] = {
    "llama.cpp": ("llama_cpp", ""), "llama-server": ("llama_cpp", ""),
    "llama.cpp or ollama": ("llama_cpp", "llama.cpp or ollama"),
    "ollama": ("llama_cpp", "ollama"), "llamafile": ("llama_cpp", "llamafile"),
    "ik_llama.cpp": ("llama_cpp", "ik"), "ik_llama.cpp / llama.cpp": ("llama_cpp", "ik"),
    "vllm": ("vllm", ""), "sglang": ("sglang", ""), "tensorrt-llm": ("tensorrt_llm", ""),
    "transformers": ("transformers", ""), "exllamav2": ("exllama", ""), "mlx": ("mlx", ""),
    "mlx-lm": ("mlx", ""), "mlx-vlm": ("mlx", "mlx-vlm"), "omlx": ("mlx", "omlx"),
    "vllm-mlx": ("mlx", "vllm-mlx"),
}  # fmt: skip
_OF_VENDOR = {"nvidia": "cuda", "apple": "metal"}  # elsewhere several backends are usual
# Fine-tunes and labels of llama-bench: the catalog's model of the same architecture and shapes.
_SAME_SHAPES = (
    (r"shisa-v2-llama3\.1-8b.*", "Llama-3.1-8B"), (r"shisa-v2-llama3\.3-70b.*", "Llama-3.3-70B-Instruct"),
    (r"llama 7B", "Llama-2-7b-hf"), (r"LLaMA 7B", "Llama-2-7b-hf"), (r"llama 70B", "Llama-3.1-70B"),
    (r"qwen2 7B", "Qwen2.5-7B"), (r"qwen3moe.*", "Qwen3-30B-A3B"), (r"deepseek2 16B", "DeepSeek-V2-Lite"),
    (r"deepseek2 671B", "DeepSeek-V3"), (r"nemotron_h_moe 120B.*", "Nemotron-3-Super-120B-A12B"),
    (r"DeepSeek-R1-Distill-Qwen-14B", "Qwen2.5-14B"), (r"DeepSeek-R1-Distill-Qwen-7B", "Qwen2.5-Math-7B"),
    (r"DeepSeek-R1-Distill-Llama-8B", "Llama-3.1-8B"), (r"DeepSeek-R1-Llama-70b", "Llama-3.3-70B-Instruct"),
    (r"Nemotron-3-Nano-Omni-30B-A3B.*", "Nemotron-3-Nano-30B-A3B"),
    (r"(NVIDIA-)?Nemotron-Cascade-2-30B-A3B.*", "Nemotron-3-Nano-30B-A3B"),
    (r"(NVIDIA-)?Nemotron-3-Nano-30B.*", "Nemotron-3-Nano-30B-A3B"),
    (r"Mistral-Small-4-119B.*", "Mistral-Small-4-119B-2603"), (r"Qwen2\.5-Coder-(\d+B).*", r"Qwen2.5-\1"),
    (r"(?i)qwen2\.5-coder-(\d+b).*", r"Qwen2.5-\1"), (r"Qwen3-VL-(\d+B).*", r"Qwen3-\1"),
    (r"Meta-Llama-3\.1-8B.*", "Llama-3.1-8B"), (r"GLM-5-FP8", "GLM-5"),
    (r"Qwen3-30B-A3B-(Instruct|Thinking).*", "Qwen3-30B-A3B"), (r"Qwen3-5-27B-Claude.*", "Qwen3.5-27B"),
    (r"[\w-]+_(Qwen3\.[56]-\d+B(-A\d+B)?)-\w+", r"\1"),
)  # fmt: skip
_QUANT_IN_NAME = re.compile(
    r"[-_.](?:i1-)?(?:UD-)?(?:i?q\d(?:_[0k1](?:_(?:xl|[sml]))?|_nl|_xs|_xxs)|iq\d_\w+|f16|bf16|fp8|mxfp4|nvfp4|\dbit|mxfp4-q4)$",
    re.IGNORECASE,
)


def express(row: Row) -> Measurement:
    """The row as a Measurement. Raises NotExpressed with the reason."""
    _refuse_tricks(row)
    runtime, flavour = _runtime(row)
    model = model_of(row["model"])
    device, host, ram_bytes_per_s = _machine(row)
    backend, driver = _backend(row, device)
    count = row.get("n_gpu") if row.get("n_gpu") is not None else 1
    value = float(row["value"])
    if value <= 0:
        raise NotExpressed("the value is not positive")
    found = Measurement(
        id=row["id"], source=row["source_url"], runtime=runtime, flavour=flavour or driver,
        version=_version(row), backend=backend, device=_chip(device) if device else "",
        devices_count=count if device else 0, split=_split(row, runtime, count), host=host,
        ram_bytes_per_s=ram_bytes_per_s, model=model.id, weight_format=weight_format(row, runtime, model),
        file_bytes=round((row.get("size_gib") or 0) * GIB), kv_format=_kv_format(row),
        gpu_layers_count=row.get("ngl"),
        cpu_expert_layers_count=row.get("n_cpu_moe") or _experts_in_host_memory(row),
        threads_count=_threads(row),
        flash_attention={1: "on", 0: "off"}.get(row.get("flash_attn"), ""),  # type: ignore[arg-type]
        ubatch_tokens=row.get("ubatch") or 0, prompt_tokens=_prompt_tokens(row),
        generated_tokens=int(row.get("n_gen") or 0), depth_tokens=_depth_tokens(row),
        sequences_count=row.get("concurrency") or 1, power_limit_watts=int(row.get("power_limit_w") or 0),
        metric=row["metric"], value=value,
    )  # fmt: skip
    _refuse_what_does_not_fit(row, device, found)
    return found


def _chip(device: DeviceRecord) -> str:
    """The id without the memory size: speed does not depend on it."""
    return re.sub(r"-\d+gb$", "", device.id) if device.memory_options_bytes else device.id


def _refuse_what_does_not_fit(row: Row, device: DeviceRecord | None, m: Measurement) -> None:
    """Weights larger than the cards, and nothing told about offload: part of it ran on the processor."""
    if device is None or m.cpu_expert_layers_count or m.backend == "cpu":
        return
    told = m.gpu_layers_count is not None and m.gpu_layers_count < 90
    memory = (device.memory_bytes or 0) * max(m.devices_count, 1)
    work = work_of(m.model, m.runtime, m.weight_format, m.file_bytes)
    if not told and memory and work.weights_bytes > 0.97 * memory:
        raise NotExpressed("the weights do not fit the cards, and what was left to the processor is not told")


def _refuse_tricks(row: Row) -> None:
    notes, kv, quant = row.get("notes") or "", row.get("kv_dtype") or "", row.get("quant") or ""
    spec = re.search(r"spec=(\w+)", notes)
    if (spec and spec[1] != "None") or re.search(r"spec|mtp|dflash", f"{kv} {quant} {row['model']}", re.I):
        raise NotExpressed("speculative decoding: the acceptance rate is not told")
    if re.search(r"reuse|ssd|turboquant|think|cache32k", kv):
        raise NotExpressed(f"{kv!r} is not a KV format with a known speed")
    untold = re.search(r"placement: (?!CPU only)|-ot |exps=CPU|line \d+ of the archived", notes)
    if untold and not _PLACED.search(notes):
        raise NotExpressed("which tensors are in host memory is told in words only")
    if "active experts" in notes:
        raise NotExpressed("the number of active experts was changed")
    if re.search(r"NOT a pure decode|source defines speed", notes) and (row.get("n_prompt") or 0) > 1:
        raise NotExpressed("prompt and generated tokens are counted together")
    if row["metric"] == "throughput_tps" and not _is_generation_only(row):
        raise NotExpressed("prompt and generated tokens are counted together")
    if "maximum load" in notes or row.get("concurrency") is None:
        raise NotExpressed("the number of parallel sequences is not told")
    if (
        re.search(r"Cluster|RPC cluster|Windows gives", f"{row['hardware']} {notes}")
        and "native" not in notes
    ):
        raise NotExpressed("several hosts")


# Experts of some layers, or all that is not attention of them (of a mixture nearly the same), on the host.
_PLACED = re.compile(
    r"placement: (?:experts of the last (\d+) of \d+ layers|ffn of layers (\d+)\.\.(\d+)) on CPU(?:;|$)"
)


def _experts_in_host_memory(row: Row) -> int:
    found = _PLACED.search(row.get("notes") or "")
    if not found:
        return 0
    return int(found[1]) if found[1] else int(found[3]) - int(found[2]) + 1


def _threads(row: Row) -> int:
    text = f"{row.get('notes')} {row.get('ram_channels_or_bw')}"
    found = re.search(r"\b(\d+)(?: of \d+)? threads", text)
    return int(row.get("threads") or (found[1] if found else 0))


def _version(row: Row) -> str:
    """The build; of a commit in a scoreboard that was opened in August 2025, at least that."""
    told = row.get("version") or ""
    is_recent = re.search(r"llama\.cpp/discussions/(15013|15021)", row["source_url"])
    return f"since 2025-08 {told}".strip() if is_recent else told


def _is_generation_only(row: Row) -> bool:
    """llama-batched-bench's S_TG and llama-benchy's tests without a prompt count generated tokens only."""
    notes = row.get("notes") or ""
    return "S_TG" in notes or ("llama-benchy total" in notes and not row.get("n_prompt"))


def _runtime(row: Row) -> tuple[str, str]:
    name = (row.get("runtime") or "").lower()
    if name == "ollama" and "mlx" in row["model"]:
        return "mlx", "ollama"
    if name not in _RUNTIMES:
        raise NotExpressed(f"runtime {row.get('runtime')!r} is not one of ours")
    return _RUNTIMES[name]


def model_of(name: str) -> Model:
    """The catalog's model for a name as benchmarks write it. Raises NotExpressed."""
    found = _model(name)
    if isinstance(found, str):
        raise NotExpressed(found)
    return found


@lru_cache(maxsize=1024)
def _model(name: str) -> Model | str:
    plain = re.sub(r"\.gguf$", "", name.rpartition("/")[2])
    plain = re.sub(r":(?=mlx|q\d|latest)", "-", plain).replace("-mlx", "").removesuffix("-GGUF")
    plain = _QUANT_IN_NAME.sub("", plain)
    plain = re.sub(r"-(UD|QAT|AWQ|AWQ-INT4|GPTQ-Int\d|NVFP4|MTP)$", "", plain)
    for pattern, same in _SAME_SHAPES:
        if re.fullmatch(pattern, plain) or re.fullmatch(pattern, name):
            plain = re.sub(pattern, same, plain) if re.fullmatch(pattern, plain) else same
            break
    found: Model | str = memory_rows.model_or_reason(name) if plain == name else name
    for attempt in (plain, plain.partition("_")[2] or plain):
        found = memory_rows.model_or_reason(attempt)
        if not isinstance(found, str):
            return found
    return f"model {name!r} is not in the catalog"


def _backend(row: Row, device: DeviceRecord | None) -> tuple[str, str]:
    """('vulkan', 'radv'): the backend and, for Vulkan, the driver where it was told."""
    text = (row.get("backend") or "").lower()
    if device is None:
        return "cpu", ""
    for name in ("cuda", "rocm", "vulkan", "sycl", "metal"):
        if name in text:
            driver = re.search(r"vulkan_(radv|amdvlk)", text)
            return name, driver[1] if driver else ""
    if text.startswith("mtl"):
        return "metal", ""
    if text == "cpu":
        return "cpu", ""
    vendor = _OF_VENDOR.get(device.vendor)
    if vendor is None:
        raise NotExpressed("the backend is not told, and this card has several")
    return vendor, ""


_LOCALSCORE_TOKENS = 1024  # its tests range from 64 to 4096 tokens; the published figure is their mean


def _prompt_tokens(row: Row) -> int:
    if row.get("n_prompt"):
        return int(row["n_prompt"])
    if row["metric"] == "prefill_tps":
        return _LOCALSCORE_TOKENS if row["runtime"] == "llamafile" else _no_length()
    return 0


def _no_length() -> int:
    raise NotExpressed("the length of the prompt is not told")


def _depth_tokens(row: Row) -> int:
    is_mixture = row["runtime"] == "llamafile" and row["metric"] == "decode_tps"
    return int(row.get("depth") or (_LOCALSCORE_TOKENS if is_mixture else 0))


def _split(row: Row, runtime: str, count: int) -> str:
    notes = row.get("notes") or ""
    if count < 2:
        return "none"
    found = re.search(r"tp(\d+) pp(\d+) instances(\d+)", notes)
    if found:
        tensor, pipeline, instances = int(found[1]), int(found[2]), int(found[3])
        if instances > 1:
            return f"instances {instances}" if tensor * pipeline == 1 else _no("instances with a split")
        return "tensor" if pipeline == 1 else _no("a pipeline with tensor parallelism")
    return "layer" if runtime in ("llama_cpp", "transformers", "exllama") else "tensor"


def _no(reason: str) -> str:
    raise NotExpressed(f"{reason} has no speed model")


_KV = {
    "": "", "auto": "", "default": "", "f16": "f16", "f16/f16": "f16", "bfloat16": "bf16", "fp8": "fp8_e4m3",
    "fp8_e4m3": "fp8_e4m3", "q8_0": "q8_0", "q8_0/q8_0": "q8_0", "kv-q8": "q8_0", "kv4": "q4_0",
    "int8_per_token_head": "i8",
}  # fmt: skip


def _kv_format(row: Row) -> str:
    text = (row.get("kv_dtype") or "").lower()
    if text not in _KV:
        raise NotExpressed(f"KV format {text!r} is not one we know")
    return _KV[text]


def weight_format(row: Row, runtime: str, model: Model) -> str:
    """The catalog's name for the row's format; of a publisher's own mixture its base recipe."""
    quant = row.get("quant")
    if not quant and (found := _QUANT_IN_NAME.search(re.sub(r"\.gguf$", "", row["model"]))):
        quant = found[0][1:]
    if not quant and runtime == "mlx" and (found := re.search(r"mlx-(mxfp8|nvfp4|mxfp4)", row["model"])):
        quant = found[1]
    if not quant and runtime == "llama_cpp" and row["runtime"] == "ollama" and ":" in row["model"]:
        # What a tag without a format is in Ollama's library since 2024; gpt-oss is as published.
        quant = "mxfp4" if model.architecture == "gpt_oss" else "q4_k_m"
    if not quant:
        raise NotExpressed("the row does not tell the weight format")
    text = quant.lower().removesuffix("-v23").strip()
    if runtime == "llama_cpp":
        return _gguf_format(text, quant, model)
    if runtime == "mlx":
        if found := re.fullmatch(r"(\d)[- ]?bit|int(\d)", text):
            return f"mlx-{found[1] or found[2]}bit"
        if text in ("mxfp4", "nvfp4", "mxfp8"):
            return "" if model.architecture == "gpt_oss" else f"mlx-{text}"
    if runtime == "exllama" and (found := re.fullmatch(r"exl([23]) ([\d.]+) ?bpw", text)):
        return f"exl{found[1]}-{found[2]}bpw"
    known = {
        "bf16": "bf16", "fp16": "f16", "f16": "f16", "fp8": "fp8", "fp8-dynamic": "fp8_dynamic", "awq": "awq",
        "awq-int4": "awq", "nvfp4": "nvfp4", "mxfp4": "mxfp4", "gptq-int4": "gptq", "gptq": "gptq",
        "gptq-int8": "gptq_int8",
        # AutoRound packs its 4 bits as GPTQ does.
        "autoround-int4": "gptq", "int8-w8a8": "w8a8", "fp8-static": "fp8_tensor",
        "compressed-tensors-int4-g32-symmetric": "w4a16",
        "compressed-tensors-w4a16-g32-asym-rtn": "w4a16",
    }  # fmt: skip
    if text in known:
        is_published = known[text] in ("mxfp4", "bf16") and model.weight_format == known[text]
        return "" if is_published else known[text]
    raise NotExpressed(f"weight format {quant!r} is not a rule we know")


# Their size is told with the row; the base recipe is that of as many bits per weight.
_MIXTURES = {"iq6_k mix": "q6_k", "iq3_k mix": "iq3_s", "iq4_xs experts + q5_k attention": "iq4_xs"}


def _gguf_format(text: str, quant: str, model: Model) -> str:
    text = re.sub(r"^(gguf-|ud-)", "", text)
    text = _MIXTURES.get(text, text)
    text = re.sub(r"_r[48]$|-[\d.]+bpw$", "", text)
    text = re.sub(
        r"^(i?q[2-8]_k)_(xl|l)$", lambda m: {"q6_k": "q6_k", "q8_k": "q8_0"}.get(m[1], f"{m[1]}_m"), text
    )
    text = {"q2_k_m": "q2_k", "q2_k_s": "q2_k_s", "iq4_nl_xl": "iq4_nl", "fp16": "f16"}.get(text, text)
    if "mxfp4" in text or (model.architecture == "gpt_oss" and text in ("f16", "bf16")):
        # llama.cpp's own files keep the attention in Q8_0 (MXFP4), others as published in 16 bits (F16).
        return "" if text in ("f16", "bf16") else "mxfp4_moe"
    if text in ("f16", "bf16") or re.fullmatch(r"i?q\d_(0|1|k|k_[sml]|nl|xs|s|m|xxs)", text):
        return text
    raise NotExpressed(f"weight format {quant!r} is not a rule we know")


_CORES = {"m1": 8, "m1 pro": 16, "m1 max": 32, "m1 ultra": 64, "m2": 10, "m2 pro": 19, "m2 max": 38}


def _machine(row: Row) -> tuple[DeviceRecord | None, str, int]:
    """(accelerator or None, the host processor as written, bytes per second of host memory or 0)."""
    text = row["hardware"]
    ram = _ram_bytes_per_s(row, text)
    if (re.search(r"\[?\(?CPU\)?\]?$", text) and "+" not in text) or row.get("n_gpu") == 0:
        if "GPU/CPU" in text:
            raise NotExpressed("how much ran on the processor is not told")
        host = re.sub(r"\s*[\[(]CPU[\])]", "", text)
        return None, host, ram or _host_bandwidth(host)
    host, plus, card = text.rpartition(" + ")
    if plus and card == "CPU":
        host, card = "", host
    return _device(card, row), host, ram or (_host_bandwidth(host) if host else 0)


def _device(text: str, row: Row) -> DeviceRecord:
    if "vGPU" in text:
        raise NotExpressed("a slice of a card has no figures of its own")
    memory = re.match(r"(\d+) GB", row.get("ram_channels_or_bw") or "")
    size = int(memory[1]) if memory and "unified" in row["ram_channels_or_bw"] else 0
    if text.startswith("Apple") and (told := re.search(r"RAM (\d+)\.\d+ GB", row.get("notes") or "")):
        size = int(told[1])
    found = _record(text, size)
    if isinstance(found, str):
        raise NotExpressed(found)
    return found


@lru_cache(maxsize=512)
def _record(text: str, ram_gib: int) -> DeviceRecord | str:
    """The record of a device's usual name; where only memory size is open any will do (same speed)."""
    if "(Strix Halo" in text or "(395+)" in text:
        text = "strix-halo"
    if "GB10" in text:
        text = "dgx-spark"
    cores = re.search(r"\((\d+)c GPU\)", text)
    plain = re.sub(r"\(.*?\)", "", text).strip()
    apple = plain.startswith("Apple")
    options = [f"{plain}-{cores[1]}"] if apple and cores else []
    options += [plain]
    if apple and not cores and ram_gib == 48 and "M5 Max" in plain:
        options.insert(0, "M5 Max 40")  # the 32-core part is sold with 36 GB
    if apple and not cores and ram_gib == 64 and "M3 Max" in plain:
        options.insert(0, "M3 Max 40")  # the 30-core part was sold with 36 and 96 GB
    if sized := re.fullmatch(r"(?:Tesla )?(\w+) (\d+GB) ?(SXM|PCIe)?", plain):
        options.append(f"{sized[1]} {sized[3] or ''} {sized[2]}")
    options += [
        re.sub(r"(\d+) ?GB", "", plain).strip(),
        plain.replace(" 48GB", ""),
        plain.replace("Tesla ", ""),
    ]
    for option in options:
        try:
            return devices.find(option)
        except PlimsollError as error:
            near = getattr(error, "nearest", ())
            if type(error).__name__ == "AmbiguousName" and near:
                records = [devices.find(n) for n in near]
                if len({(r.bandwidth_bytes_per_s, r.compute_capability, r.vendor) for r in records}) == 1:
                    return records[0]
    return f"device {text!r} is not in the catalog, or its name is ambiguous"


def _ram_bytes_per_s(row: Row, text: str) -> int:
    told = row.get("ram_channels_or_bw") or ""
    if found := re.search(r"(\d+)ch (?:LP)?DDR\d-(\d+)", told):
        return int(found[1]) * int(found[2]) * 8 * 10**6
    if found := re.search(r"([\d.]+) GB/s", told):
        return round(float(found[1]) * 1e9)
    return 0


@lru_cache(maxsize=64)
def _host_bandwidth(host: str) -> int:
    plain = re.sub(r"^2x ", "dual ", host)
    if "M2 Max" in host:
        return 400 * 10**9
    for option in (plain, host):
        try:
            return devices.find(option).bandwidth_bytes_per_s or 0
        except PlimsollError:
            continue
    return 0
