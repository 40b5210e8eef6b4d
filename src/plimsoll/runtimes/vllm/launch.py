"""The `vllm serve` command of a deployment, a reason with every flag.

Flags as declared in vllm/engine/arg_utils.py and in FrontendArgs (cli_args.py) of vLLM 0.11.0 to 0.33.0;
tests/fixtures/launch_flags holds the lists that were read. Quantisation on load: _ONLINE_SHORTHANDS of
vllm/config/quantization.py. What vLLM would choose by itself is written out where the bill counts on it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from plimsoll.domain.deployment import Deployment
from plimsoll.domain.launch import Command, Flag, Serving
from plimsoll.errors import BadSetting
from plimsoll.runtimes.serving_flags import address, with_theta, yarn
from plimsoll.runtimes.stored import is_published, method_of
from plimsoll.runtimes.visible import visible
from plimsoll.runtimes.vllm import lora
from plimsoll.runtimes.vllm.memory import lines
from plimsoll.runtimes.vllm.parsers import parsers_of
from plimsoll.runtimes.vllm.setup import Setup, count, setting, setup_of
from plimsoll.runtimes.vllm.versions import release
from plimsoll.units import format_bytes, format_count

# DEFAULTS that no flag carries, and why.
WITHOUT_FLAG: dict[str, str] = {}
_OLDEST = (0, 11)  # the oldest release whose options were read
_DTYPES = {"bf16": "bfloat16", "f16": "float16", "fp16": "float16", "f32": "float32", "fp32": "float32"}
_KV = {"bf16": "bfloat16", "f16": "float16"}
# Formats that vLLM makes of 16-bit weights as it loads them: (word since 0.20, word before).
_ONLINE = {
    "fp8": ("fp8_per_block", ""), "fp8_block": ("fp8_per_block", ""), "fp8_tensor": ("fp8_per_tensor", "fp8"),
    "fp8_channel": ("fp8_per_channel", ""), "fp8_dynamic": ("fp8_per_channel", ""),
}  # fmt: skip
_SINCE = {
    "fp8_per_block": (0, 20), "fp8_per_tensor": (0, 20), "fp8_per_channel": (0, 26),
    "--language-model-only": (0, 20),
}  # fmt: skip
_CHOSEN = "vLLM's own choice for this card, written out"
_BITSANDBYTES_UNTIL = (0, 26)  # 0.31 no longer lists it among its quantisation methods


def command(deployment: Deployment, serving: Serving) -> Command:
    """What starts `vllm serve` with exactly this deployment.

    Raises BadSetting where no flag makes vLLM run it: weights it cannot make, positions it cannot extend,
    switches the asked release does not have. A path other than the model's id holds the asked format already.
    """
    setup = setup_of(deployment)
    flags = (
        *_server(serving), *_context(setup), *_weights(deployment, serving), *_cache(setup), *_split(setup),
        *_switches(setup), *_adapters(deployment, serving), *_speculation(setup), *_parsers(deployment),
    )  # fmt: skip
    return Command(
        program=("vllm", "serve", _positional(serving.model_path)), flags=flags,
        environment=visible(deployment, setup.devices), notes=tuple(_notes(deployment)),
    )  # fmt: skip


def _positional(text: str) -> str:
    """A path that no program takes for a flag."""
    return f"./{text}" if text.startswith("-") else text


def _server(serving: Serving) -> Iterator[Flag]:
    yield Flag(name="--served-model-name", value=serving.served_name, reason="the name that clients ask for")
    yield from address(serving)


def _context(setup: Setup) -> Iterator[Flag]:
    deployment = setup.deployment
    tokens, asked = deployment.workload.context_tokens, deployment.workload.parallel_sequences_count
    kv = format_bytes(sum(x.size_bytes for x in lines(deployment) if x.component in ("kv", "state")))
    yield Flag(
        name="--max-model-len", value=str(tokens),
        reason=f"{format_count(tokens)} tokens per sequence, {asked} at once: {kv} of cache in all",
    )  # fmt: skip
    yield from _extension(deployment)
    chosen = "as set" if count(deployment, "max_num_seqs") else _CHOSEN
    yield Flag(
        name="--max-num-seqs", value=str(setup.sequences_count),
        reason=f"up to {format_count(setup.sequences_count)} sequences in a batch ({chosen}): the bill holds "
        f"CUDA graphs and a sampler for them; asked for: {asked} of full length",
    )  # fmt: skip
    told = count(deployment, "max_num_batched_tokens")
    chosen = "as set" if told else _CHOSEN
    yield Flag(
        name="--max-num-batched-tokens", value=str(setup.batched_tokens),
        reason=f"a pass of {format_count(setup.batched_tokens)} tokens ({chosen}) has an activation peak of "
        f"{format_bytes(_largest(deployment, 'compute'))}",
    )  # fmt: skip


def _largest(deployment: Deployment, component: str) -> int:
    """Bytes of a component on the device that holds most of it."""
    by_device: dict[str, int] = {}
    for line in lines(deployment):
        if line.component == component:
            by_device[line.device] = by_device.get(line.device, 0) + line.size_bytes
    return max(by_device.values(), default=0)


def _extension(deployment: Deployment) -> Iterator[Flag]:
    """YaRN beyond the trained context.

    vLLM refuses a longer --max-model-len than max_position_embeddings (_get_and_verify_max_len), which counts
    as already scaled where the rotary type is YaRN; an overridden object is replaced whole (_update_nested).
    """
    if not (extension := yarn(deployment, "vLLM")):
        return
    # Transformers 5, which vLLM 0.20 and later carry, keeps them under rope_parameters.
    key = "rope_parameters" if release(deployment.runtime.version) >= (0, 20) else "rope_scaling"
    overrides = {
        key: with_theta(deployment, extension.scaling),
        "max_position_embeddings": deployment.workload.context_tokens,
    }
    yield Flag(name="--hf-overrides", value=json.dumps(overrides), reason=extension.reason)


def makes(deployment: Deployment) -> bool:
    """Whether vLLM makes the asked format of the published checkpoint while it loads it."""
    return is_published(deployment) or bool(_made(deployment)[0])


def _made(deployment: Deployment) -> tuple[str, str]:
    """The flag and word that make the asked format of 16- or 32-bit weights; ('', '') where none does."""
    wanted, number = deployment.weight_format.lower(), release(deployment.runtime.version)
    if deployment.model.weight_format not in ("bf16", "f16", "f32"):
        return "", ""
    if wanted in _DTYPES:
        return "--dtype", _DTYPES[wanted]
    word = _ONLINE.get(wanted, ("", ""))[number < (0, 20)]
    return ("--quantization", word) if word and number >= _SINCE.get(word, (0, 0)) else ("", "")


def _weights(deployment: Deployment, serving: Serving) -> Iterator[Flag]:
    model = deployment.model
    if method_of(deployment) == "bnb" and release(deployment.runtime.version) > _BITSANDBYTES_UNTIL:
        raise BadSetting(
            "vLLM stopped reading bitsandbytes weights between 0.26 and 0.31",
            hint="--runtime vllm==0.26, or --weights fp8",
        )
    if is_published(deployment) or serving.model_path != model.id:
        return
    flag, word = _made(deployment)
    if not flag:
        raise BadSetting(
            f"{model.id} is published in {model.weight_format}, and vLLM does not make "
            f"{deployment.weight_format} of it",
            hint=f"--model-path PATH of a checkpoint in {deployment.weight_format}, or leave out --weights",
        )
    weights = format_bytes(sum(x.size_bytes for x in lines(deployment) if x.component == "weights"))
    yield Flag(
        name=flag, value=word,
        reason=f"made of the {model.weight_format} checkpoint while loading: {weights} of weights",
    )  # fmt: skip


def _cache(setup: Setup) -> Iterator[Flag]:
    deployment = setup.deployment
    k, v = deployment.kv_format_k, deployment.kv_format_v
    if k != v:
        raise BadSetting("vLLM keeps keys and values in one format (--kv-cache-dtype)", hint=f"--kv {k}")
    if k != "auto":
        kv = format_bytes(sum(x.size_bytes for x in lines(deployment) if x.component == "kv"))
        yield Flag(
            name="--kv-cache-dtype",
            value=_KV.get(k, k),
            reason=f"{k} keys and values: {kv} of cache are needed",
        )
    # Where it was not told, the era's default: written out, so that another release claims the same.
    told = setting(deployment, "gpu_memory_utilization")
    share = told if "gpu_memory_utilization" in deployment.settings else setup.era.default_utilization
    free = format_bytes(_largest(deployment, "reserved"))
    yield Flag(
        name="--gpu-memory-utilization", value=f"{share:g}",
        reason=f"claims {share:.4g} of each device as the bill does, and leaves {free} free",
    )  # fmt: skip
    if pool := count(deployment, "kv_cache_memory_bytes"):
        reason = f"as set: a KV pool of {format_bytes(pool)} on each device"
        yield Flag(name="--kv-cache-memory-bytes", value=str(pool), reason=reason)
    if blocks := count(deployment, "num_gpu_blocks_override"):
        reason = f"as set: {format_count(blocks)} KV blocks on each device"
        yield Flag(name="--num-gpu-blocks-override", value=str(blocks), reason=reason)
    if block := count(deployment, "block_size"):
        yield Flag(name="--block-size", value=str(block), reason=f"as set: {block} tokens per KV block")


def _split(setup: Setup) -> Iterator[Flag]:
    weights = format_bytes(_largest(setup.deployment, "weights"))
    if setup.tensor_parallel > 1:
        yield Flag(
            name="--tensor-parallel-size", value=str(setup.tensor_parallel),
            reason=f"each matrix is cut over {setup.tensor_parallel} devices: {weights} of weights on each",
        )  # fmt: skip
    if setup.pipeline_parallel > 1:
        yield Flag(
            name="--pipeline-parallel-size", value=str(setup.pipeline_parallel),
            reason=f"{len(setup.deployment.model.layers)} layers in {setup.pipeline_parallel} stages: "
            f"at most {weights} of weights on one device",
        )  # fmt: skip
    if setup.context_parallel > 1:
        yield Flag(
            name="--decode-context-parallel-size", value=str(setup.context_parallel),
            reason=f"as set: each KV cache is spread over {setup.context_parallel} ranks",
        )  # fmt: skip
    if setup.is_expert_parallel:
        experts = max((x.experts_count for x in setup.deployment.model.layers), default=0)
        yield Flag(
            name="--enable-expert-parallel", value="",
            reason=f"{experts} experts are shared out whole over the ranks instead of being cut",
        )  # fmt: skip


def _switches(setup: Setup) -> Iterator[Flag]:
    deployment = setup.deployment
    has_state = any(x.state for x in deployment.model.layers)
    if not setup.has_prefix_caching:
        yield Flag(name="--no-enable-prefix-caching", value="", reason="as set: no prompt is kept")
    elif has_state:
        yield Flag(
            name="--enable-prefix-caching", value="",
            reason="the bill holds the state blocks that prefix caching keeps; not left to the release",
        )  # fmt: skip
    if setup.is_eager:
        yield Flag(name="--enforce-eager", value="", reason="as set: no CUDA graphs, hence no bytes for them")
    if not setup.has_vision and any(t.role in ("vision", "audio") for t in deployment.model.tensors):
        _need(deployment, "--language-model-only")
        yield Flag(name="--language-model-only", value="", reason="as set: the vision tower is not loaded")
    if setting(deployment, "disable_hybrid_kv_cache_manager"):
        yield Flag(
            name="--disable-hybrid-kv-cache-manager", value="",
            reason="as set: window layers keep the whole context",
        )  # fmt: skip
    state = str(setting(deployment, "mamba_ssm_cache_dtype"))
    if state != "auto":
        yield Flag(name="--mamba-ssm-cache-dtype", value=state, reason=f"as set: recurrent states in {state}")


def _need(deployment: Deployment, name: str) -> None:
    number, since = release(deployment.runtime.version), _SINCE[name]
    if number < since:
        raise BadSetting(
            f"vLLM {number[0]}.{number[1]} is not known to have {name}",
            hint=f"--runtime vllm=={since[0]}.{since[1]} or later",
        )


def _adapters(deployment: Deployment, serving: Serving) -> Iterator[Flag]:
    if not deployment.adapters:
        return
    slots = count(deployment, "max_loras") or len(deployment.adapters)
    rank = lora.max_rank(deployment)
    size = format_bytes(sum(x.size_bytes for x in lines(deployment) if x.component == "adapters"))
    named = ", ".join(f"{a.id} of rank {a.rank}" for a in deployment.adapters)
    yield Flag(name="--enable-lora", value="", reason=f"adapters beside the model: {named}")
    yield Flag(name="--max-loras", value=str(slots), reason=f"{slots} adapters in one batch: {size} of slots")
    chosen = "as set" if count(deployment, "max_lora_rank") else "the smallest of vLLM's that holds them all"
    yield Flag(name="--max-lora-rank", value=str(rank), reason=f"rank {rank}, {chosen}")
    # One option with a list: a second --lora-modules would replace the first.
    flag = "--lora-modules"
    for number, adapter in enumerate(deployment.adapters):
        name = adapter.id.rstrip("/").rpartition("/")[2] or adapter.id
        path = serving.adapter_paths[number] if serving.adapter_paths else adapter.id
        module = json.dumps({"name": name, "path": path})
        yield Flag(name=flag, value=module, reason=f"clients ask for it as {name}")
        flag = ""


def _speculation(setup: Setup) -> Iterator[Flag]:
    tokens = setup.speculative_tokens
    if not tokens:
        return
    if not any(t.role == "mtp" for t in setup.deployment.model.tensors):
        raise BadSetting(
            f"{setup.deployment.model.id} has no layers of multi-token prediction to draft {tokens} tokens",
            hint="leave out num_speculative_tokens",
        )
    yield Flag(
        name="--speculative-config", value=json.dumps({"method": "mtp", "num_speculative_tokens": tokens}),
        reason=f"the model's own multi-token prediction drafts {tokens} tokens per pass",
    )  # fmt: skip


def _parsers(deployment: Deployment) -> Iterator[Flag]:
    known = parsers_of(deployment.model.id, release(deployment.runtime.version))
    if known.tool:
        yield Flag(
            name="--enable-auto-tool-choice", value="", reason="lets the model call the tools a client offers"
        )
        yield Flag(
            name="--tool-call-parser", value=known.tool,
            reason=f"reads this family's tool calls ({known.tool_source})",
        )  # fmt: skip
    if known.reasoning:
        yield Flag(
            name="--reasoning-parser", value=known.reasoning,
            reason=f"tells reasoning apart from the answer ({known.reasoning_source})",
        )  # fmt: skip


def _notes(deployment: Deployment) -> Iterator[str]:
    number = release(deployment.runtime.version)
    if number < _OLDEST:
        yield f"the options of vLLM {number[0]}.{number[1]} were not read; these are of 0.11 and later"
    known = parsers_of(deployment.model.id, release(deployment.runtime.version))
    if not known.tool:
        yield f"{deployment.model.id}: no source names a --tool-call-parser, so tool calls come as plain text"
    if not known.reasoning:
        yield f"{deployment.model.id}: no source names a --reasoning-parser, so reasoning stays in the answer"
