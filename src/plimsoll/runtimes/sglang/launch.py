"""The `python -m sglang.launch_server` command of a deployment, a reason with every flag.

Flags as declared in srt/server_args.py and srt/arg_groups/fields of SGLang 0.5.9, 0.5.16 and 0.5.23 (and, for
what changed between, 0.5.12, 0.5.18 and 0.5.20). What SGLang would choose by itself is written out where the
bill counts on it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from plimsoll.domain.deployment import Deployment
from plimsoll.domain.launch import Command, Flag, Serving
from plimsoll.errors import BadSetting
from plimsoll.runtimes.serving_flags import address, with_theta, yarn
from plimsoll.runtimes.sglang.memory import Setup, lines, setting, setup_of
from plimsoll.runtimes.stored import is_published
from plimsoll.runtimes.visible import visible
from plimsoll.units import format_bytes, format_count

# Settings that no flag carries, and why.
WITHOUT_FLAG = {
    "kv_cache_memory_bytes": "what a logged pool holds is asked with it; SGLang sizes pools by a share",
    "pool": "names the logged pool that kv_cache_memory_bytes is about",
}
_NEWEST = (0, 5, 23)
_OLDEST = (0, 5, 9)  # the oldest release whose options were read
_DTYPES = {"bf16": "bfloat16", "f16": "float16", "fp16": "float16", "f32": "float32", "fp32": "float32"}
_MADE_FP8 = ("fp8", "fp8_block", "fp8_channel", "fp8_dynamic", "fp8_tensor")
_CHOSEN = "SGLang's own choice for this card, written out"


def command(deployment: Deployment, serving: Serving) -> Command:
    """What starts SGLang with exactly this deployment.

    Raises BadSetting where no flag makes SGLang run it.
    """
    setup = setup_of(deployment)
    for name, reason in WITHOUT_FLAG.items():
        if deployment.settings.get(name):
            raise BadSetting(f"no flag of SGLang says {name}: {reason}", hint="--set mem_fraction_static=0.9")
    flags = (
        *_server(serving), *_context(deployment), *_weights(deployment, serving), *_cache(setup),
        *_batches(setup), *_split(setup), *_adapters(deployment, serving), *_parsers(deployment),
    )  # fmt: skip
    return Command(
        program=("python", "-m", "sglang.launch_server"), flags=flags,
        environment=visible(deployment, setup.devices), notes=tuple(_notes(deployment)),
    )  # fmt: skip


def release(version: str) -> tuple[int, ...]:
    """(0, 5, 9) of '0.5.9.post1'; the newest known for '' and for dated builds."""
    match = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", version)
    return tuple(int(part or 0) for part in match.groups()) if match else _NEWEST


def _server(serving: Serving) -> Iterator[Flag]:
    yield Flag(name="--model-path", value=serving.model_path, reason="what is loaded")
    yield Flag(name="--served-model-name", value=serving.served_name, reason="the name that clients ask for")
    yield from address(serving)


def _context(deployment: Deployment) -> Iterator[Flag]:
    tokens = deployment.workload.context_tokens
    count = deployment.workload.parallel_sequences_count
    kv = format_bytes(sum(x.size_bytes for x in lines(deployment) if x.component in ("kv", "state")))
    yield Flag(
        name="--context-length", value=str(tokens),
        reason=f"{format_count(tokens)} tokens per sequence, {count} at once: {kv} of cache in all",
    )  # fmt: skip
    if not (extension := yarn(deployment, "SGLang")):
        return
    overrides = {"rope_scaling": extension.scaling, "max_position_embeddings": tokens}
    if release(deployment.runtime.version) >= (0, 5, 12):
        # With Transformers 5 (0.5.12 pins it) theta stands beside the factor; the object is replaced whole.
        scaling = with_theta(deployment, extension.scaling)
        overrides = {"rope_parameters": scaling, "max_position_embeddings": tokens}
    yield Flag(name="--json-model-override-args", value=json.dumps(overrides), reason=extension.reason)


def makes(deployment: Deployment) -> bool:
    """Whether SGLang makes the asked format of the published checkpoint while it loads it."""
    return is_published(deployment) or bool(_made(deployment)[0])


def _made(deployment: Deployment) -> tuple[str, str]:
    """The flag and word that make the asked format of 16- or 32-bit weights; ('', '') where none does."""
    wanted = deployment.weight_format.lower()
    if deployment.model.weight_format not in ("bf16", "f16", "f32"):
        return "", ""
    if wanted in _DTYPES:
        return "--dtype", _DTYPES[wanted]
    return ("--quantization", "fp8") if wanted in _MADE_FP8 else ("", "")


def _weights(deployment: Deployment, serving: Serving) -> Iterator[Flag]:
    model = deployment.model
    if is_published(deployment) or serving.model_path != model.id:
        return
    flag, word = _made(deployment)
    if not flag:
        raise BadSetting(
            f"{model.id} is published in {model.weight_format}, and SGLang does not make "
            f"{deployment.weight_format} of it",
            hint=f"--model-path PATH of a checkpoint in {deployment.weight_format}, or leave out --weights",
        )
    weights = format_bytes(sum(x.size_bytes for x in lines(deployment) if x.component == "weights"))
    more = "; a scale per channel or matrix, less than per block on the bill" if word == "fp8" else ""
    yield Flag(
        name=flag, value=word,
        reason=f"made of the {model.weight_format} checkpoint while loading: {weights} of weights{more}",
    )  # fmt: skip


def _cache(setup: Setup) -> Iterator[Flag]:
    deployment = setup.deployment
    k, v = deployment.kv_format_k, deployment.kv_format_v
    if k != v:
        raise BadSetting("SGLang keeps keys and values in one format (--kv-cache-dtype)", hint=f"--kv {k}")
    if k != "auto":
        kv = format_bytes(sum(x.size_bytes for x in lines(deployment) if x.component == "kv"))
        # 0.5.16 knows the format by both names.
        is_new = k == "fp4_e2m1" and release(deployment.runtime.version) >= (0, 5, 16)
        word = "fp4_mx_block16" if is_new else k
        yield Flag(
            name="--kv-cache-dtype", value=word, reason=f"{k} keys and values: {kv} of cache are needed"
        )
    chosen = "as set" if setting(deployment, "mem_fraction_static") else _CHOSEN
    yield Flag(
        name="--mem-fraction-static", value=f"{setup.static_share:g}",
        reason=f"weights and pools may take {setup.static_share:g} of each device ({chosen}), as on the bill",
    )  # fmt: skip
    if any(x.attention == "sliding" for x in deployment.model.layers):
        ratio = float(setting(deployment, "swa_full_tokens_ratio"))
        reason = f"window layers keep {ratio:g} of the tokens that full layers keep, as on the bill"
        yield Flag(name="--swa-full-tokens-ratio", value=f"{ratio:g}", reason=reason)
    if any(x.state for x in deployment.model.layers):
        ratio = float(setting(deployment, "mamba_full_memory_ratio"))
        reason = f"states get {ratio:g} times the memory of the KV pool"
        yield Flag(name="--mamba-full-memory-ratio", value=f"{ratio:g}", reason=reason)
    page = int(setting(deployment, "page_size"))
    if page != 1:
        yield Flag(name="--page-size", value=str(page), reason=f"as set: pages of {page} tokens")
    if setting(deployment, "disable_radix_cache"):
        yield Flag(name="--disable-radix-cache", value="", reason="as set: no prompt is kept for the next")


def _batches(setup: Setup) -> Iterator[Flag]:
    deployment, number = setup.deployment, release(setup.deployment.runtime.version)
    chosen = "as set" if setting(deployment, "chunked_prefill_size") else _CHOSEN
    peak = format_bytes(max((x.size_bytes for x in lines(deployment) if x.component == "compute"), default=0))
    yield Flag(
        name="--chunked-prefill-size", value=str(setup.chunk_tokens),
        reason=f"a pass of {format_count(setup.chunk_tokens)} tokens ({chosen}) peaks at {peak}",
    )  # fmt: skip
    if setting(deployment, "disable_cuda_graph"):
        yield Flag(
            name="--disable-cuda-graph", value="", reason="as set: no CUDA graphs, hence no bytes for them"
        )
    else:
        chosen = "as set" if setting(deployment, "cuda_graph_max_bs") else _CHOSEN
        name = "--cuda-graph-max-bs-decode" if number >= (0, 5, 16) else "--cuda-graph-max-bs"
        reason = f"CUDA graphs for up to {setup.graph_batch} sequences ({chosen}) are on the bill"
        yield Flag(name=name, value=str(setup.graph_batch), reason=reason)
    if most := int(setting(deployment, "max_running_requests")):
        yield Flag(name="--max-running-requests", value=str(most), reason=f"as set: {most} sequences at once")
    if setting(deployment, "language_only"):
        name = "--language-model-only" if number >= (0, 5, 18) else "--language-only"
        yield Flag(name=name, value="", reason="as set: the vision tower is not loaded")


def _split(setup: Setup) -> Iterator[Flag]:
    weights = [x for x in lines(setup.deployment) if x.component == "weights"]
    most = max(
        sum(x.size_bytes for x in weights if x.device == device.id) for device in setup.devices
    )  # fmt: skip
    if setup.tensor_parallel > 1:
        reason = f"each matrix is cut over {setup.tensor_parallel} devices: {format_bytes(most)} on each"
        yield Flag(name="--tp-size", value=str(setup.tensor_parallel), reason=reason)
    if setup.pipeline_parallel > 1:
        layers = len(setup.deployment.model.layers)
        reason = (
            f"{layers} layers in {setup.pipeline_parallel} stages: at most {format_bytes(most)} on one device"
        )
        yield Flag(name="--pp-size", value=str(setup.pipeline_parallel), reason=reason)
    if setup.is_expert_parallel:
        experts = max((x.experts_count for x in setup.deployment.model.layers), default=0)
        reason = f"{experts} experts are shared out whole over the ranks instead of being cut"
        yield Flag(name="--ep-size", value=str(setup.tensor_parallel), reason=reason)


def _adapters(deployment: Deployment, serving: Serving) -> Iterator[Flag]:
    if not deployment.adapters:
        return
    slots = int(setting(deployment, "max_loras_per_batch"))
    rank = int(setting(deployment, "max_lora_rank")) or max(a.rank for a in deployment.adapters)
    size = format_bytes(sum(x.size_bytes for x in lines(deployment) if x.component == "adapters"))
    named = ", ".join(f"{a.id} of rank {a.rank}" for a in deployment.adapters)
    yield Flag(name="--enable-lora", value="", reason=f"adapters beside the model: {named}")
    yield Flag(
        name="--max-loras-per-batch",
        value=str(slots),
        reason=f"{slots} adapters in one batch: {size} of pool",
    )
    yield Flag(name="--max-lora-rank", value=str(rank), reason=f"the pool has room for rank {rank}")
    # One option with a list: a second --lora-paths would replace the first.
    flag = "--lora-paths"
    for number, adapter in enumerate(deployment.adapters):
        name = adapter.id.rstrip("/").rpartition("/")[2] or adapter.id
        path = serving.adapter_paths[number] if serving.adapter_paths else adapter.id
        value = json.dumps({"lora_name": name, "lora_path": path})
        yield Flag(name=flag, value=value, reason=f"clients ask for it as {name}")
        flag = ""


def _parsers(deployment: Deployment) -> Iterator[Flag]:
    if release(deployment.runtime.version) >= (0, 5, 16):
        told = "SGLang looks for the family's form in the chat template (its own 'auto')"
        yield Flag(name="--tool-call-parser", value="auto", reason=told)
        yield Flag(name="--reasoning-parser", value="auto", reason=told)


def _notes(deployment: Deployment) -> Iterator[str]:
    number = release(deployment.runtime.version)
    if number < _OLDEST:
        yield f"the options of SGLang {deployment.runtime.version} were not read; these are of 0.5.9 on"
    if number < (0, 5, 16):
        yield "this release finds no parser by itself: tool calls and reasoning come as plain text"
