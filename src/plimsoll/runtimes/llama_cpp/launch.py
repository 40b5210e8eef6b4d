"""The llama-server command of a deployment, a reason with every flag.

Flags as read by common/arg.cpp of ggml-org/llama.cpp, b11434 (0.6.0-dev); `_SINCE` says from which day a flag
is known where older builds refuse it.
"""

from __future__ import annotations

from collections.abc import Iterator

from plimsoll.domain.bill import HOST, Line
from plimsoll.domain.deployment import Deployment
from plimsoll.domain.launch import Command, Flag, Serving
from plimsoll.domain.machine import Device
from plimsoll.errors import BadSetting
from plimsoll.runtimes.llama_cpp.eras import month_of
from plimsoll.runtimes.llama_cpp.memory import lines
from plimsoll.runtimes.llama_cpp.placement import place, shares_of
from plimsoll.runtimes.llama_cpp.settings import Context, context_of, flag, is_ik
from plimsoll.runtimes.llama_cpp.tensors import gguf_architecture
from plimsoll.units import MIB, format_bytes, format_count

# Flags that older builds end on: the first day on which a build was seen to know them.
_SINCE = {
    "--override-tensor": ("2025-04-02", "https://github.com/ggml-org/llama.cpp/pull/11397"),
    "--no-op-offload": ("2025-07-18", "common/arg.cpp of ggml-org/llama.cpp@79e0b68c"),
    "--n-cpu-moe": ("2025-08-04", "https://github.com/ggml-org/llama.cpp/pull/15077"),
    "--fit": ("2025-12-18", "https://github.com/ggml-org/llama.cpp/issues/18175"),
    "--log-verbosity 4": ("2026-05-16", "https://github.com/ggml-org/llama.cpp/issues/23162"),
    "--models-preset": ("2026-08-01", "--help of llama-server b10434"),
    "--spec-draft-n-max": ("2026-08-01", "--help of llama-server b10434"),
    "--load-mode": ("2026-07-24", "https://github.com/ggml-org/llama.cpp/issues/26110"),
}
# llama.cpp reads more layers than there are as all; 'all' as a word is newer.
_EVERY_LAYER = 999
# Seen with b11549: its own trial of the cache (common_context_can_seq_rm) takes two tokens at once.
_LEAST_BATCH_TOKENS = 2
_MOST_TOKENS = 2**31 - 1  # -c is read as an int
_WORTH_SAYING_BYTES = 1 << 30
_PROMPT_CACHE_BYTES = 8192 * MIB  # cache_ram_mib of common/common.h
_BUFFERS = {"cuda": "CUDA", "rocm": "ROCm", "vulkan": "Vulkan", "sycl": "SYCL", "metal": "MTL"}


def command(deployment: Deployment, serving: Serving) -> Command:
    """What starts `llama-server` with exactly this deployment.

    Raises BadSetting for ik_llama.cpp and for what flags cannot say (a pattern of -ot with a comma).
    """
    if is_ik(deployment):
        raise BadSetting(
            "the flags of ik_llama.cpp were not read, so no command for it is told",
            hint="leave out --set fork=ik, or use the numbers of plimsoll fit",
        )
    bill = lines(deployment)
    context = context_of(deployment)
    work = deployment.workload
    if work.context_tokens * work.parallel_sequences_count > _MOST_TOKENS:
        raise BadSetting(
            f"llama-server counts at most {format_count(_MOST_TOKENS)} tokens over all sequences",
            hint="fewer sequences or a shorter context",
        )
    if context.batch_tokens < _LEAST_BATCH_TOKENS:
        raise BadSetting(
            "llama-server ends at its start on a batch of one token", hint="--context 2 or --set batch=2"
        )
    flags = (
        *_model(deployment, serving),
        *_context(deployment, context, bill),
        *_extension(deployment),
        *_placement(deployment, bill),
        *_cache(deployment, context, bill),
        *_batches(context, bill),
        *_memory(deployment, bill),
        *_adapters(deployment, serving),
        *_server(deployment, serving),
    )
    return Command(program=("llama-server",), flags=flags, notes=tuple(_notes(deployment, bill)))


def draft_flags(draft: Deployment, serving: Serving, drafted_tokens: int) -> tuple[Flag, ...]:
    """What makes llama-server draft with a second model, which the bill holds as a model of its own.

    Its context is the target's: as many tokens and slots (b10434 logs n_ctx and n_seq_max of both).
    """
    need(draft, "--spec-draft-n-max")
    bill, recipe = lines(draft), draft.weight_format or draft.model.weight_format
    weights, kv = (
        format_bytes(sum(x.size_bytes for x in bill if x.component == c)) for c in ("weights", "kv")
    )
    context = context_of(draft)
    layers = str(_EVERY_LAYER) if draft.machine.devices else "0"
    where = "all its layers on the devices" if draft.machine.devices else "the machine has no accelerator"
    return (
        Flag(name="--spec-type", value="draft-simple", reason="a small model drafts, the large one verifies"),
        Flag(name="-md", value=_path(serving.draft_path), reason=f"{draft.model.id} in {recipe}: {weights}"),
        Flag(name="--spec-draft-n-max", value=str(drafted_tokens), reason="tokens drafted a step, at most"),
        Flag(name="-ngld", value=layers, reason=where),
        Flag(name="-ctkd", value=context.format_k, reason=f"K of the draft's cache; {kv} with V"),
        Flag(name="-ctvd", value=context.format_v, reason="V of the draft's cache"),
    )


def knows(deployment: Deployment, name: str) -> bool:
    """Whether the asked version of llama.cpp knows a flag of `_SINCE`."""
    day = month_of(deployment.runtime.version)
    return not day or day >= _SINCE[name][0]


def buffer_of(device: Device, devices: tuple[Device, ...]) -> str:
    """The device as llama.cpp names it and its buffer: 'CUDA0', counted per backend."""
    before = [d for d in devices if d.backend == device.backend]
    return f"{_BUFFERS.get(device.backend, 'CPU')}{before.index(device)}"


def _model(deployment: Deployment, serving: Serving) -> Iterator[Flag]:
    recipe = deployment.weight_format or deployment.model.weight_format
    yield Flag(name="-m", value=_path(serving.model_path), reason=f"{deployment.model.id} in {recipe}")


def _path(text: str) -> str:
    """A path that no program takes for a flag."""
    return f"./{text}" if text.startswith("-") else text


def _context(deployment: Deployment, context: Context, bill: tuple[Line, ...]) -> Iterator[Flag]:
    work = deployment.workload
    count, tokens = work.parallel_sequences_count, work.context_tokens
    kv = format_bytes(sum(x.size_bytes for x in bill if x.component == "kv"))
    many = f"{format_count(tokens)} tokens x {count} sequences: -c is the sum over all"
    one = f"{format_count(tokens)} tokens"
    yield Flag(
        name="-c", value=str(count * tokens), reason=f"{many if count > 1 else one}; the KV cache takes {kv}"
    )
    shared = context.is_unified and count > 1
    how = "that share one cache" if shared else "each with a cache of its own"
    yield Flag(
        name="-np", value=str(count),
        reason=f"{count} slots, {how}" if count > 1 else "one slot; llama-server would open 4 by itself",
    )  # fmt: skip
    if flag(deployment, "kv_unified") and context.rules.has_streams:
        yield Flag(
            name="--kv-unified", value="",
            reason=f"one sequence may take all {format_count(context.sequence_cells)} tokens",
        )  # fmt: skip
    if flag(deployment, "swa_full") and context.rules.has_window_cache:
        yield Flag(name="--swa-full", value="", reason="asked for: window layers keep the whole context")


def _extension(deployment: Deployment) -> Iterator[Flag]:
    """YaRN beyond the trained context, and the file's context length raised: the server cuts slots to it."""
    model, tokens = deployment.model, deployment.workload.context_tokens
    trained = model.trained_context_tokens
    if not trained or tokens <= trained:
        return
    native, factor = trained, tokens / trained
    if model.rope and model.rope.kind == "yarn" and model.rope.original_context_tokens:
        native = model.rope.original_context_tokens
        factor = tokens / native
    yield Flag(
        name="--rope-scaling", value="yarn",
        reason=f"{format_count(tokens)} tokens are more than the {format_count(trained)} it was trained for",
    )  # fmt: skip
    yield Flag(
        name="--rope-scale", value=f"{factor:.6g}", reason=f"{format_count(tokens)} / {format_count(native)}"
    )
    yield Flag(name="--yarn-orig-ctx", value=str(native), reason="the context the factor counts from")
    yield Flag(
        name="--override-kv", value=f"{gguf_architecture(model)}.context_length=int:{tokens}",
        reason=f"the server would cut each slot to the file's {format_count(trained)} tokens",
    )  # fmt: skip


def _placement(deployment: Deployment, bill: tuple[Line, ...]) -> Iterator[Flag]:
    machine, offload, blocks = deployment.machine, deployment.offload, len(deployment.model.layers)
    if not machine.devices:
        yield Flag(
            name="-ngl", value="0", reason="the machine has no accelerator: all layers stay in host memory"
        )
        return
    placement = place(deployment, blocks)
    held = [d for d in placement.devices if any(x.component == "weights" and x.device == d for x in bill)]
    there = ", ".join(f"{_weights(bill, d)} on {d}" for d in held) or "none on a device"
    if offload.gpu_layers_count is None or offload.gpu_layers_count > blocks:
        yield Flag(
            name="-ngl", value=str(_EVERY_LAYER), reason=f"all {blocks} layers and the output: {there}"
        )
    else:
        here = offload.gpu_layers_count
        yield Flag(name="-ngl", value=str(here), reason=f"{here} of {blocks} layers and the output: {there}")
    if offload.cpu_expert_layers_count:
        yield from _expert_layers(deployment, bill)
    for pattern, buffer in offload.overrides:
        yield _override(deployment, pattern, buffer)
    yield from _split(deployment)


def _weights(bill: tuple[Line, ...], device: str) -> str:
    return format_bytes(sum(x.size_bytes for x in bill if x.component == "weights" and x.device == device))


def _expert_layers(deployment: Deployment, bill: tuple[Line, ...]) -> Iterator[Flag]:
    count = deployment.offload.cpu_expert_layers_count
    need(deployment, "--n-cpu-moe")
    yield Flag(
        name="--n-cpu-moe", value=str(count),
        reason=f"experts of the first {count} layers in host memory, which holds {_weights(bill, HOST)}",
    )  # fmt: skip


def _override(deployment: Deployment, pattern: str, buffer: str) -> Flag:
    need(deployment, "--override-tensor")
    if "," in pattern or "=" in pattern:
        raise BadSetting(
            f"llama-server divides -ot at commas and the first '=': it cannot read {pattern!r}",
            hint="write alternatives as (a|b), or give -ot several times",
        )
    devices = deployment.machine.devices
    by_id = {d.id: buffer_of(d, devices) for d in devices}
    name = "CPU" if buffer.lower() in ("cpu", HOST) else by_id.get(buffer, buffer)
    return Flag(name="-ot", value=f"{pattern}={name}", reason=f"asked for: tensors like {pattern} in {name}")


def _split(deployment: Deployment) -> Iterator[Flag]:
    devices = deployment.machine.devices
    if len(devices) < 2:
        return
    placement = place(deployment, len(deployment.model.layers))
    used = [d for d in devices if d.id in placement.devices]
    if len(used) < len(devices):
        names = ",".join(buffer_of(d, devices) for d in used)
        yield Flag(name="-dev", value=names, reason=f"{len(used)} of {len(devices)} devices")
    if len(used) < 2:
        yield Flag(name="-sm", value="none", reason="the whole model on one device")
        return
    yield Flag(name="-sm", value="layer", reason="whole layers on each device, one after the other")
    shares = shares_of(deployment)
    yield Flag(
        name="-ts", value=",".join(shares),
        reason="shares of the layers; without it llama.cpp takes what happens to be free at the start",
    )  # fmt: skip


def _cache(deployment: Deployment, context: Context, bill: tuple[Line, ...]) -> Iterator[Flag]:
    size = format_bytes(sum(x.size_bytes for x in bill if x.component == "kv"))
    is_value = context.rules.has_automatic_flash_attention
    if context.has_flash_attention:
        needs = (
            f"V in {context.format_v} needs it"
            if context.is_quantised_v
            else "the promised buffers count on it"
        )
        yield Flag(name="-fa", value="on" if is_value else "", reason=needs)
    elif is_value:
        yield Flag(name="-fa", value="off", reason="asked for")
    yield Flag(name="-ctk", value=context.format_k, reason=f"K of the cache; {size} with V")
    yield Flag(name="-ctv", value=context.format_v, reason="V of the cache")
    if not flag(deployment, "offload_kqv"):
        yield Flag(name="-nkvo", value="", reason="asked for: the KV cache stays in host memory")


def _batches(context: Context, bill: tuple[Line, ...]) -> Iterator[Flag]:
    compute = [x for x in bill if x.component == "compute" and x.label.startswith("compute buffer")]
    size = format_bytes(sum(x.size_bytes for x in compute))
    yield Flag(name="-b", value=str(context.batch_tokens), reason="tokens of prompts taken up at once")
    yield Flag(
        name="-ub",
        value=str(context.ubatch_tokens),
        reason=f"tokens computed at once: {size} of compute buffers",
    )


def _memory(deployment: Deployment, bill: tuple[Line, ...]) -> Iterator[Flag]:
    if knows(deployment, "--fit"):
        yield Flag(
            name="--fit", value="off",
            reason="placement and context are given here; llama.cpp would estimate them anew and change them",
        )  # fmt: skip
    yield from _loading(deployment)
    if not flag(deployment, "op_offload"):
        need(deployment, "--no-op-offload")
        yield Flag(
            name="--no-op-offload", value="", reason="asked for: host tensors are computed on the host"
        )
    limit = _prompt_cache_mib(deployment, bill)
    if limit is not None:
        yield Flag(
            name="--cache-ram", value=str(limit),
            reason="old prompts kept in host memory, at most half of what is left there (8 GiB by default)",
        )  # fmt: skip


def _loading(deployment: Deployment) -> Iterator[Flag]:
    mapped, locked = flag(deployment, "mmap"), flag(deployment, "mlock")
    if mapped and not locked:
        return
    why = "asked for: " + ("" if mapped else "read, not mapped") + (" and " if locked and not mapped else "")
    why += "locked into memory" if locked else ""
    if locked and not mapped and knows(deployment, "--load-mode"):
        raise BadSetting(
            "this llama.cpp cannot lock what it has not mapped", hint="leave out --set mmap=off, or mlock=on"
        )
    if knows(deployment, "--load-mode"):
        yield Flag(name="--load-mode", value="mlock" if locked else "none", reason=why)
        return
    if not mapped:
        yield Flag(name="--no-mmap", value="", reason=why)
    if locked:
        yield Flag(name="--mlock", value="", reason=why)


def _prompt_cache_mib(deployment: Deployment, bill: tuple[Line, ...]) -> int | None:
    """A limit for the server's cache of old prompts where host memory does not hold its 8 GiB; else None."""
    ram = deployment.machine.ram_bytes
    if ram is None or not knows(deployment, "--fit"):
        return None
    used = sum(x.size_bytes for x in bill if x.device == HOST) + deployment.machine.ram_reserved_bytes
    left = ram - used
    return None if left >= 2 * _PROMPT_CACHE_BYTES else max(0, left // 2 // MIB)


def _adapters(deployment: Deployment, serving: Serving) -> Iterator[Flag]:
    if not deployment.adapters:
        return
    paths = serving.adapter_paths or tuple(f"{a.id}.gguf" for a in deployment.adapters)
    for adapter, path in zip(deployment.adapters, paths, strict=True):
        yield Flag(
            name="--lora", value=_csv(_path(path)),
            reason=f"rank {adapter.rank}, {format_bytes(adapter.size_bytes)}; applied with scale 1",
        )  # fmt: skip


def _csv(text: str) -> str:
    """A value that llama.cpp divides at commas, quoted as its parse_csv_row reads it."""
    return '"' + text.replace('"', '""') + '"' if "," in text or text.startswith('"') else text


def _server(deployment: Deployment, serving: Serving) -> Iterator[Flag]:
    yield Flag(name="--jinja", value="", reason="the chat template of the file, with tool calls")
    yield Flag(
        name="--alias", value=serving.served_name.replace(",", " "), reason="the name that clients ask for"
    )
    yield Flag(name="--host", value=serving.host, reason=_reach(serving.host))
    yield Flag(
        name="--port", value=str(serving.port), reason=f"http://{_url_host(serving.host)}:{serving.port}/v1"
    )
    if knows(deployment, "--log-verbosity 4"):
        yield Flag(
            name="-lv",
            value="4",
            reason="prints the buffers, which are compared with the promise; 3 is the default",
        )


def _reach(host: str) -> str:
    return "this machine only" if host in ("127.0.0.1", "localhost", "::1") else "other machines may connect"


def _url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _notes(deployment: Deployment, bill: tuple[Line, ...]) -> Iterator[str]:
    host = sum(x.size_bytes for x in bill if x.component == "weights" and x.device == HOST)
    if host >= _WORTH_SAYING_BYTES:
        yield (
            f"a processor with AMX, or with formats repacked for it, copies up to {format_bytes(host)} of "
            "weights beside the mapped file; --no-repack forbids it"
        )
    if deployment.machine.ram_bytes is None and knows(deployment, "--fit"):
        yield (
            "llama-server keeps up to 8 GiB of old prompts in host memory beside what is promised: "
            "--cache-ram 0 forbids it"
        )
    if any(t.role == "mtp" for t in deployment.model.tensors):
        yield "draft layers (MTP) are not loaded; --spec-type draft-mtp loads them, beside what is promised"
    if any(t.role in ("vision", "audio") for t in deployment.model.tensors):
        yield "for text only; images and sound need --mmproj FILE, which is not on the bill"
    if not flag(deployment, "pipeline_parallel"):
        yield "llama-server has no flag against pipeline parallelism: it decides by itself"


def need(deployment: Deployment, name: str) -> None:
    """Raise BadSetting where the asked version does not know a flag of `_SINCE`."""
    if not knows(deployment, name):
        day, source = _SINCE[name]
        raise BadSetting(
            f"llama.cpp {deployment.runtime.version} does not know {name} yet (since {day}, {source})",
            hint="take a newer llama.cpp, or leave it out",
        )
