"""The settings of a vLLM deployment, resolved the way vLLM does before it loads anything."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from plimsoll.domain.deployment import Deployment, Setting
from plimsoll.domain.machine import Device
from plimsoll.domain.model import LayerSpec, Model, TensorSpec
from plimsoll.formulas import quant_specs
from plimsoll.formulas.quantisation import ceil_div
from plimsoll.runtimes.vllm.kv_cache import Plan, caches_of, plan
from plimsoll.runtimes.vllm.versions import Era, era_of, release
from plimsoll.units import GIB

# Sources: vllm/config/cache.py, vllm/engine/arg_utils.py (get_batch_defaults), vLLM 0.33.0. 0 and '' mean:
# vLLM chooses, by the release, the card and the model.
DEFAULTS: dict[str, Setting] = {
    "gpu_memory_utilization": 0.92,
    "max_num_batched_tokens": 0,
    "max_num_seqs": 0,
    "block_size": 0,
    "enable_prefix_caching": True,
    "enforce_eager": False,
    "kv_cache_memory_bytes": 0,
    "num_gpu_blocks_override": 0,
    "language_model_only": False,
    "enable_expert_parallel": False,
    "pipeline_parallel_size": 1,
    "decode_context_parallel_size": 1,
    "num_speculative_tokens": 0,
    "disable_hybrid_kv_cache_manager": False,
    "mamba_ssm_cache_dtype": "auto",
    "max_loras": 0,
    "max_lora_rank": 0,
}
LIMITS = {
    "gpu_memory_utilization": (0.01, 1),
    "pipeline_parallel_size": (1, 1024),
    "decode_context_parallel_size": (1, 1024),
}
_LAYER_NUMBER = re.compile(r"layers\.\d+\.")
_F32_STATES = ("qwen3_5", "qwen3_6", "qwen3_8", "nemotron_h", "kimi_linear")
_UNPROFILED_TOKENS = 32_768
_LAST_WITHOUT_FLASH = "0.7"  # the fork for gfx906 logs as the V0 engine does (nlzy/vllm-gfx906#10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A deployment with nothing left to choose."""

    deployment: Deployment
    era: Era
    devices: tuple[Device, ...]
    tensor_parallel: int
    pipeline_parallel: int
    context_parallel: int
    is_expert_parallel: bool
    batched_tokens: int
    sequences_count: int
    speculative_tokens: int
    has_prefix_caching: bool
    is_eager: bool
    has_vision: bool
    tensors: tuple[TensorSpec, ...]

    @property
    def rank_devices(self) -> tuple[tuple[Device, int], ...]:
        """Each device with its pipeline stage; the ranks of one stage are neighbours."""
        return tuple((d, i // self.tensor_parallel) for i, d in enumerate(self.devices))

    @property
    def in_flight_tokens(self) -> int:
        """max_in_flight_tokens: batches that run at once x tokens of a batch (vllm/config/vllm.py)."""
        batches = self.era.batches_in_flight
        if self.pipeline_parallel > 1:
            batches = self.pipeline_parallel + (1 if batches > 1 else 0)
        return batches * self.batched_tokens

    @property
    def state_blocks(self) -> int:
        """Blocks of one state group per request: 1 + speculative; with prefix caching 2 + speculative,
        and one more for the checkpoint inside a prefill since 0.33 (MambaSpec.max_memory_usage_bytes)."""
        if not self.has_prefix_caching:
            return 1 + self.speculative_tokens
        checkpoint = 1 if self.era.has_prefill_checkpoint else 0
        return 2 + checkpoint + self.speculative_tokens


def setting(deployment: Deployment, name: str) -> Setting:
    """What the user set, or the default."""
    return deployment.settings.get(name, DEFAULTS[name])


def count(deployment: Deployment, name: str) -> int:
    """A whole-number setting."""
    return int(setting(deployment, name))


def setup_of(deployment: Deployment) -> Setup:
    """Resolve devices, ranks and batch sizes."""
    devices = devices_of(deployment)
    era = era_of(deployment.runtime.version)
    if not has_flash_attention(devices) and not deployment.runtime.version:
        era = era_of(_LAST_WITHOUT_FLASH)
    pipeline = (
        len(devices)
        if deployment.split.kind in ("pipeline", "layer")
        else count(deployment, "pipeline_parallel_size")
    )
    batched, sequences = batch_defaults(deployment, era, devices)
    return Setup(
        deployment=deployment, era=era, devices=devices, tensor_parallel=max(1, len(devices) // pipeline),
        pipeline_parallel=pipeline, context_parallel=count(deployment, "decode_context_parallel_size"),
        is_expert_parallel=deployment.split.kind == "expert"
        or bool(setting(deployment, "enable_expert_parallel")),
        batched_tokens=batched, sequences_count=sequences,
        speculative_tokens=count(deployment, "num_speculative_tokens"),
        has_prefix_caching=bool(setting(deployment, "enable_prefix_caching")),
        is_eager=bool(setting(deployment, "enforce_eager")),
        has_vision=not setting(deployment, "language_model_only"),
        tensors=loaded_tensors(deployment, max(1, len(devices) // pipeline)),
    )  # fmt: skip


def loaded_tensors(deployment: Deployment, tensor_parallel: int) -> tuple[TensorSpec, ...]:
    """The tensors as vLLM keeps them: MXFP4 experts are padded to the kernels' tiles, width per rank to
    128 and hidden to 256 (mxfp4_round_up_hidden_size_and_intermediate_size for Marlin and TRT-LLM)."""
    return _loaded(quant_specs.Same(deployment.model), deployment.weight_format, tensor_parallel)


@lru_cache(maxsize=32)
def _loaded(same: quant_specs.Same, weight_format: str, tensor_parallel: int) -> tuple[TensorSpec, ...]:
    model = same.model
    tensors = quant_specs.tensors_as(model, weight_format)
    if not any(t.format == "mxfp4" and t.role == "expert" for t in tensors):
        return tensors
    found = []
    for tensor in tensors:
        if (
            tensor.role == "expert"
            and tensor.layer is not None
            and tensor.name.endswith(("_blocks", "_scales"))
        ):
            width = model.layers[tensor.layer].expert_dim // tensor_parallel
            padded = ceil_div(width, 128) * 128 * ceil_div(model.hidden_dim, 256) * 256
            tensor = replace(tensor, size_bytes=tensor.size_bytes * padded // (width * model.hidden_dim))
        found.append(tensor)
    return tuple(found)


def devices_of(deployment: Deployment) -> tuple[Device, ...]:
    """The devices of the split in its order; without a split the first device of the machine."""
    by_id = {d.id: d for d in deployment.machine.devices}
    named = tuple(by_id[i] for i in deployment.split.devices if i in by_id)
    if deployment.split.kind == "none":
        return (named or deployment.machine.devices)[:1]
    return named or deployment.machine.devices


def has_flash_attention(devices: tuple[Device, ...]) -> bool:
    """False on gfx906 (MI50, MI60, Radeon VII): scores of a whole prompt are materialised there."""
    names = " ".join(
        f"{d.architecture} {d.compute_capability} {d.name} {d.catalog_id}".lower() for d in devices
    )
    return not any(word in names for word in ("gfx906", "mi50", "mi60", "radeon vii"))


def batch_defaults(deployment: Deployment, era: Era, devices: tuple[Device, ...]) -> tuple[int, int]:
    """(max_num_batched_tokens, max_num_seqs) of `vllm serve` as set or as chosen by the card.

    V1: 16,384 and 1,024 from 160 GiB on, 8,192 and 1,024 from 70 GiB on (not A100, not GB10),
    else 2,048 and 256; never more than sequences x context. V0: the whole context and 256, or
    2,048 once chunked prefill switched itself on (512 before 0.7).
    """
    tokens, sequences = count(deployment, "max_num_batched_tokens"), count(deployment, "max_num_seqs")
    context = deployment.workload.context_tokens
    if not era.is_v1:
        chunk = 512 if release(deployment.runtime.version) < (0, 7) else 2048
        whole = max(2048, context) if context <= _UNPROFILED_TOKENS else chunk
        return tokens or whole, sequences or 256
    memory = devices[0].memory_bytes if devices else 0
    name = devices[0].name.lower() if devices else ""
    large = memory >= 70 * GIB and "a100" not in name and not _is_gb10(devices[0])
    default_tokens, default_sequences = (
        (16384, 1024) if memory >= 160 * GIB else (8192, 1024) if large else (2048, 256)
    )
    sequences_count = sequences or default_sequences
    tokens = tokens or min(default_tokens, sequences_count * context)
    return tokens, sequences or min(sequences_count, tokens)


def _is_gb10(device: Device) -> bool:
    return device.compute_capability == "12.1" or "gb10" in f"{device.catalog_id} {device.name}".lower()


def state_value_bytes(deployment: Deployment) -> int:
    """Bytes per value of the recurrence: f32 for Qwen3.5 and later, Nemotron-H and Kimi Linear, else 16 bits
    (mamba_ssm_cache_dtype 'auto': models/config.py and mamba_utils.py)."""
    chosen = str(setting(deployment, "mamba_ssm_cache_dtype"))
    if chosen != "auto":
        return 4 if chosen == "float32" else 2
    return 4 if deployment.model.architecture.startswith(_F32_STATES) else 2


def plan_of(setup: Setup) -> Plan:
    """The cut of the KV pool. All layers count, whatever the pipeline (groups are global, vllm#34076);
    `stage_block_bytes` narrows it to a stage."""
    return _plan(setup, range(len(setup.deployment.model.layers)))


def stage_plan(setup: Setup, layers: range) -> Plan:
    """The cut of the pool of one pipeline stage."""
    return _plan(setup, layers)


def _plan(setup: Setup, own: range) -> Plan:
    deployment = setup.deployment
    layers = [deployment.model.layers[i] for i in own]
    if setup.speculative_tokens and own.stop == len(deployment.model.layers):
        layers += _draft_layers(deployment.model)
    caches = caches_of(
        layers, kv_format=deployment.kv_format_k, base_bytes=2, tensor_parallel=setup.tensor_parallel,
        state_value_bytes=state_value_bytes(deployment), speculative_tokens=setup.speculative_tokens,
        is_hybrid_manager_off=not setup.era.is_v1
        or bool(setting(deployment, "disable_hybrid_kv_cache_manager")),
    )  # fmt: skip
    return plan(
        caches, default_block_tokens=block_default(setup), padding_ratio=setup.era.padding_ratio,
        grows_padded_blocks=not setup.era.has_prefill_checkpoint,
    )  # fmt: skip


def _draft_layers(model: Model) -> list[LayerSpec]:
    """Layers of the model's own multi-token prediction, with a cache like the last attention layer's."""
    mtp = {m.group() for t in model.tensors if t.role == "mtp" and (m := _LAYER_NUMBER.search(t.name))}
    attention = [x for x in model.layers if x.attention != "none" and x.shares_kv_with is None]
    return [replace(attention[-1], state=None)] * len(mtp) if attention else []


def block_default(setup: Setup) -> int:
    """--block-size, or the attention backend's: 64 for latent attention (FlashMLA), 16 else."""
    chosen = count(setup.deployment, "block_size")
    is_latent = any(layer.attention == "latent" for layer in setup.deployment.model.layers)
    return chosen or (64 if is_latent and setup.era.is_v1 else 16)
