"""The `trtllm-serve` command of a deployment, a reason with every flag, and the YAML that it reads beside.

Options as declared in tensorrt_llm/commands/serve.py of NVIDIA/TensorRT-LLM@00209af149e7, in the spelling
that @4c05a74891e4 knows, too; keys of kv_cache_config as in KvCacheConfig of llmapi/llm_args.py; the word fp8
for `dtype` as in examples/pytorch/README.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from plimsoll.domain.deployment import Deployment
from plimsoll.domain.launch import Command, Flag, Serving
from plimsoll.errors import BadSetting
from plimsoll.runtimes.layer_split import devices_of
from plimsoll.runtimes.serving_flags import address
from plimsoll.runtimes.stored import is_published
from plimsoll.runtimes.tensorrt_llm.memory import DEFAULTS, lines
from plimsoll.runtimes.visible import visible
from plimsoll.units import format_bytes, format_count

WITHOUT_FLAG: dict[str, str] = {}
EXTRA_FILE = "trtllm.yaml"


def command(deployment: Deployment, serving: Serving) -> Command:
    """What starts `trtllm-serve` with this deployment; raises BadSetting where nothing says it."""
    _check(deployment, serving)
    extra = extra_options(deployment)
    flags = (*_server(serving), *_limits(deployment), *_split(deployment), *_cache(deployment, extra))
    path = f"./{serving.model_path}" if serving.model_path.startswith("-") else serving.model_path
    return Command(
        program=("trtllm-serve", path), flags=flags, environment=visible(deployment, devices_of(deployment)),
        notes=tuple(_notes(extra)),
    )  # fmt: skip


def makes(deployment: Deployment) -> bool:
    """Whether the published checkpoint is read as asked: what is quantised is quantised before."""
    return is_published(deployment)


def extra_options(deployment: Deployment) -> tuple[Flag, ...]:
    """`kv_cache_config.key` and value of what only the YAML file can say; nothing where all is default."""
    found = []
    if deployment.kv_format_k == "fp8":
        kv = format_bytes(sum(x.size_bytes for x in lines(deployment) if x.component == "kv"))
        found.append(
            Flag(name="dtype", value="fp8", reason=f"keys and values in FP8: {kv} of cache are needed")
        )
    block = int(_setting(deployment, "tokens_per_block"))
    if block != DEFAULTS["tokens_per_block"]:
        reason = f"as set: {block} tokens per block of the cache"
        found.append(Flag(name="tokens_per_block", value=str(block), reason=reason))
    if cap := int(_setting(deployment, "max_gpu_total_bytes")):
        reason = f"as set: a cache of at most {format_bytes(cap)}"
        found.append(Flag(name="max_gpu_total_bytes", value=str(cap), reason=reason))
    if not found:
        return ()
    share = float(_setting(deployment, "free_gpu_memory_fraction"))
    reason = f"{share:g} of what weights and buffers leave; stands here, for the file wins over the option"
    return (*found, Flag(name="free_gpu_memory_fraction", value=f"{share:g}", reason=reason))


def _setting(deployment: Deployment, name: str) -> float:
    return float(deployment.settings.get(name, DEFAULTS[name]))


def _check(deployment: Deployment, serving: Serving) -> None:
    if deployment.kv_format_k != deployment.kv_format_v:
        raise BadSetting(
            "TensorRT-LLM keeps keys and values in one format", hint=f"--kv {deployment.kv_format_k}"
        )
    if deployment.kv_format_k not in ("auto", "bf16", "fp8"):
        raise BadSetting(
            f"with which word trtllm-serve is told a cache in {deployment.kv_format_k} is not known",
            hint="--kv fp8",
        )
    if not is_published(deployment) and serving.model_path == deployment.model.id:
        raise BadSetting(
            f"{deployment.model.id} is published in {deployment.model.weight_format}; trtllm-serve makes no "
            f"{deployment.weight_format} of it",
            hint=f"--model-path PATH of a checkpoint in {deployment.weight_format}, or leave out --weights",
        )
    trained, tokens = deployment.model.trained_context_tokens, deployment.workload.context_tokens
    if trained and tokens > trained:
        raise BadSetting(
            f"how trtllm-serve is told to run {deployment.model.id} beyond {format_count(trained)} tokens is "
            "not known",
            hint=f"--context {trained}",
        )
    if deployment.adapters:
        raise BadSetting("LoRA adapters on TensorRT-LLM are not modelled", hint="leave out --lora")


def _server(serving: Serving) -> Iterator[Flag]:
    yield from address(serving)


def _limits(deployment: Deployment) -> Iterator[Flag]:
    tokens, count = deployment.workload.context_tokens, deployment.workload.parallel_sequences_count
    kv = format_bytes(sum(x.size_bytes for x in lines(deployment) if x.component in ("kv", "state")))
    yield Flag(
        name="--max_seq_len", value=str(tokens),
        reason=f"{format_count(tokens)} tokens per sequence, {count} at once: {kv} of cache in all",
    )  # fmt: skip
    batch, most = int(_setting(deployment, "max_batch_size")), int(_setting(deployment, "max_num_tokens"))
    decoder = max((x.size_bytes for x in lines(deployment) if x.label.startswith("decoder")), default=0)
    yield Flag(
        name="--max_batch_size", value=str(batch),
        reason=f"the decoder takes {format_bytes(decoder)} for {format_count(batch)} sequences; {count} of "
        "full length were asked for",
    )  # fmt: skip
    peak = max((x.size_bytes for x in lines(deployment) if x.component == "compute"), default=0)
    yield Flag(
        name="--max_num_tokens", value=str(most),
        reason=f"a pass of {format_count(most)} tokens peaks at {format_bytes(peak)}",
    )  # fmt: skip


def _split(deployment: Deployment) -> Iterator[Flag]:
    devices = devices_of(deployment)
    is_pipeline = deployment.split.kind in ("pipeline", "layer")
    stages = len(devices) if is_pipeline else int(_setting(deployment, "pipeline_parallel_size"))
    ranks = max(1, len(devices) // stages)
    weights = [x for x in lines(deployment) if x.component == "weights"]
    most = format_bytes(max(x.size_bytes for x in weights))
    if ranks > 1:
        reason = f"each matrix is cut over {ranks} devices: {most} of weights on each"
        yield Flag(name="--tp_size", value=str(ranks), reason=reason)
    if stages > 1:
        reason = f"{len(deployment.model.layers)} layers in {stages} stages: at most {most} on one device"
        yield Flag(name="--pp_size", value=str(stages), reason=reason)
    if deployment.split.kind == "expert":
        experts = max((x.experts_count for x in deployment.model.layers), default=0)
        reason = f"{experts} experts are shared out whole over the ranks"
        yield Flag(name="--ep_size", value=str(ranks), reason=reason)


def _cache(deployment: Deployment, extra: tuple[Flag, ...]) -> Iterator[Flag]:
    if extra:
        reason = f"what no option says: {', '.join(flag.name for flag in extra)}"
        yield Flag(name="--extra_llm_api_options", value=EXTRA_FILE, reason=reason)
        return
    share = float(_setting(deployment, "free_gpu_memory_fraction"))
    free = format_bytes(
        max((x.size_bytes for x in lines(deployment) if x.component == "reserved"), default=0)
    )
    yield Flag(
        name="--kv_cache_free_gpu_memory_fraction", value=f"{share:g}",
        reason=f"the cache takes {share:g} of what weights and buffers leave; {free} stay free",
    )  # fmt: skip


def _notes(extra: tuple[Flag, ...]) -> Iterator[str]:
    if extra:
        config = {"kv_cache_config": {flag.name: typed(flag.value) for flag in extra}}
        yield f"{EXTRA_FILE} must hold (JSON is YAML): {json.dumps(config)}"
    yield "which --reasoning_parser and --tool_parser fit a model is not known here; they are left out"


def typed(text: str) -> int | float | str:
    """A value of `extra_options` as YAML has it."""
    return int(text) if text.isdecimal() else float(text) if text.replace(".", "", 1).isdecimal() else text
