"""Load settings for LM Studio, in the form in which it keeps a model's own defaults.

Keys and the form of their values: lmstudio 1.5.0 (PyPI), `_kv_config.py`, which names
lms-kv-config/src/schema.ts of lmstudio-ai/lmstudio-js as its source. LM Studio keeps such a file per model at
~/.lmstudio/.internal/user-concrete-model-default-config/PUBLISHER/REPOSITORY/FILE.gguf.json.
"""

from __future__ import annotations

import json
from typing import Any

from plimsoll.domain.deployment import Deployment
from plimsoll.domain.launch import LaunchFile, LaunchFiles, LaunchParts
from plimsoll.errors import BadSetting
from plimsoll.runtimes.llama_cpp.settings import context_of, flag

RUNTIMES = ("llama_cpp",)
NAME = "lm-studio.json"
_FOLDER = "~/.lmstudio/.internal/user-concrete-model-default-config/PUBLISHER/REPOSITORY/FILE.gguf.json"
_CACHE_FORMATS = ("f32", "f16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")


def files(parts: LaunchParts) -> LaunchFiles:
    """The file. Raises BadSetting for what LM Studio has no setting for."""
    deployment = parts.deployment
    _refuse(deployment)
    fields = [{"key": key, "value": value} for key, value in _fields(deployment).items()]
    text = json.dumps({"preset": "", "operation": {"fields": []}, "load": {"fields": fields}}, indent=2)
    return LaunchFiles(
        files=(LaunchFile(name=NAME, text=text + "\n", reason="how LM Studio loads the model by default"),),
        notes=(
            f"put it at {_FOLDER}, with the model's own names, while LM Studio is closed",
            "LM Studio's own guard against overloading and its llama.cpp version decide besides: "
            "compare with what it shows when it loads",
        ),
    )


def _fields(deployment: Deployment) -> dict[str, Any]:
    context = context_of(deployment)
    blocks = len(deployment.model.layers) + 1
    layers = deployment.offload.gpu_layers_count
    share = 0.0 if not deployment.machine.devices else 1.0 if layers is None else min(layers / blocks, 1.0)
    found: dict[str, Any] = {
        "llm.load.contextLength": deployment.workload.context_tokens,
        "llm.load.llama.acceleration.offloadRatio": round(share, 4),
        "llm.load.llama.evalBatchSize": context.ubatch_tokens,
        "llm.load.llama.flashAttention": context.has_flash_attention,
        "llm.load.llama.kCacheQuantizationType": {"checked": True, "value": context.format_k},
        "llm.load.llama.vCacheQuantizationType": {"checked": True, "value": context.format_v},
        "llm.load.offloadKVCacheToGpu": flag(deployment, "offload_kqv"),
        "llm.load.llama.tryMmap": flag(deployment, "mmap"),
        "llm.load.llama.keepModelInMemory": flag(deployment, "mlock"),
    }
    devices = deployment.machine.devices
    if len(devices) > 1:
        used = deployment.split.devices or tuple(d.id for d in devices)
        idle = [i for i, d in enumerate(devices) if d.id not in used]
        found["load.gpuSplitConfig"] = {
            "strategy": "evenly", "disabledGpus": idle, "priority": [], "customRatio": [],
        }  # fmt: skip
    return found


def _refuse(deployment: Deployment) -> None:
    offload, work = deployment.offload, deployment.workload
    trained = deployment.model.trained_context_tokens
    sizes = {d.memory_bytes - d.reserved_bytes for d in deployment.machine.devices}
    wrong = (
        (work.parallel_sequences_count > 1, "how several sequences divide a context", "--parallel 1"),
        (bool(offload.overrides or offload.cpu_expert_layers_count), "which experts stay in host memory",
         "--as command"),
        (bool(deployment.adapters), "adapters", "--as command"),
        (bool(trained and work.context_tokens > trained), "YaRN beyond the trained context",
         f"--context {trained}"),
        (any(deployment.split.shares) or (deployment.split.kind == "layer" and len(sizes) > 1),
         "shares of unlike devices", "--as command"),
        (deployment.kv_format_k not in _CACHE_FORMATS or deployment.kv_format_v not in _CACHE_FORMATS,
         f"a cache in {deployment.kv_format_k}/{deployment.kv_format_v}", f"--kv {'|'.join(_CACHE_FORMATS)}"),
        (flag(deployment, "swa_full") or flag(deployment, "kv_unified"), "swa_full and kv_unified",
         "--as command"),
    )  # fmt: skip
    for is_wrong, what, hint in wrong:
        if is_wrong:
            raise BadSetting(f"LM Studio has no setting that is known for {what}", hint=hint)
