"""The usual specification behind each format's short name: what its best-known producer writes.

Which modules stay unquantised is a convention of the producer, not of the format:
AutoAWQ (awq/models/base.py: modules_to_not_convert, and only what get_layers_for_scaling lists),
llm-compressor (examples/: ignore=["lm_head", "re:.*mlp.gate$", "re:.*visual.*", "re:.*linear_attn.*"]),
modelopt (examples/llm_ptq: *lm_head*, *router*, *mlp.gate.*, conv1d, vision; NVIDIA's own NVFP4 of mixtures
since GLM-5.1, MiniMax-M2.5 and Qwen3.5 converts the routed experts only: their exclude_modules name every
self_attn, linear_attn and shared_expert),
Qwen's and DeepSeek's own FP8 (modules_to_not_convert in their config.json: lm_head, norms, gates, and in
Qwen3-Next and Qwen3.5 the small linear-attention projections), gpt-oss (all but the experts),
mlx-lm (convert.py: everything that has to_quantized, embeddings and head included).
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache

from plimsoll.domain.model import Model, QuantSpec, TensorSpec
from plimsoll.errors import BadSetting, choices_hint
from plimsoll.formulas.formats import tensor_bytes
from plimsoll.formulas.quantisation import apply

_SMALL_STATE = (
    "in_proj_a",
    "in_proj_b",
    "in_proj_ba",
    "conv1d",
    "dt_proj",
    "x_proj",
    "b_proj",
    "f_a_proj",
    "f_b_proj",
)
_GATES = ("gate", "router", "shared_expert_gate", "e_score_correction_bias", "indexer", "fc", "eh_proj")
_USUAL = ("lm_head", *_GATES, *_SMALL_STATE)
_PLAIN_NAMES = {
    "bf16": "bf16", "bfloat16": "bf16", "f16": "f16", "fp16": "f16", "float16": "f16",
    "f32": "f32", "fp32": "f32",
}  # fmt: skip

SPECS: dict[str, QuantSpec] = {
    "fp8": QuantSpec(method="fp8_block", bits=8, skipped=_USUAL),
    "fp8_block": QuantSpec(method="fp8_block", bits=8, skipped=_USUAL),
    "fp8_channel": QuantSpec(method="fp8_channel", bits=8, skipped=_USUAL),
    "fp8_dynamic": QuantSpec(method="fp8_channel", bits=8, skipped=_USUAL),
    "fp8_tensor": QuantSpec(method="fp8_tensor", bits=8, skipped=_USUAL, details={"activation": "static"}),
    "int8": QuantSpec(method="int8", bits=8, skipped=_USUAL),
    "w8a8": QuantSpec(method="w8a8", bits=8, skipped=_USUAL),
    "awq": QuantSpec(method="awq", bits=4, group_size=128, has_zero_points=True, skipped=_USUAL),
    "gptq": QuantSpec(method="gptq", bits=4, group_size=128, skipped=_USUAL),
    "gptq_int8": QuantSpec(method="gptq", bits=8, group_size=128, skipped=_USUAL),
    "w4a16": QuantSpec(method="w4a16", bits=4, group_size=128, skipped=_USUAL),
    "w8a16": QuantSpec(method="w4a16", bits=8, group_size=128, skipped=_USUAL),
    "nvfp4": QuantSpec(method="nvfp4", bits=4, group_size=16, skipped=_USUAL),
    "mxfp4": QuantSpec(method="mxfp4", bits=4, group_size=32, skipped=_USUAL, details={"roles": "expert"}),
    "bnb_nf4": QuantSpec(method="bnb_nf4", bits=4, group_size=64, skipped=("lm_head",)),
    "nf4": QuantSpec(method="bnb_nf4", bits=4, group_size=64, skipped=("lm_head",)),
    "bnb_int8": QuantSpec(method="bnb_int8", bits=8, skipped=("lm_head",)),
}

FORMATS: dict[str, str] = {
    "bf16": "16 bits, no quantisation",
    "fp8": "8-bit float, one scale per 128x128 block (as Qwen and DeepSeek publish)",
    "fp8_channel": "8-bit float, one scale per output channel (FP8-dynamic of llm-compressor)",
    "fp8_tensor": "8-bit float, one scale per matrix, static activations",
    "int8": "8-bit integers, one scale per channel (W8A8)",
    "awq": "4 bits in groups of 128 with zero points",
    "gptq": "4 bits in groups of 128 with g_idx",
    "gptq_int8": "8 bits in groups of 128 with g_idx",
    "w4a16": "4 bits in groups of 128, symmetric (compressed-tensors)",
    "w8a16": "8 bits in groups of 128, symmetric (compressed-tensors)",
    "nvfp4": "4-bit float in groups of 16 with FP8 scales (Blackwell)",
    "mxfp4": "4-bit float in groups of 32, experts only (as gpt-oss)",
    "bnb_nf4": "4-bit NormalFloat in blocks of 64, double quantised (bitsandbytes)",
    "bnb_int8": "8-bit integers with row scales (LLM.int8, bitsandbytes)",
    "exl3-4.0bpw": "ExLlamaV3 at any bits per weight; head at 6 bits",
    "exl2-4.0bpw": "ExLlamaV2 at any bits per weight; head at 6 bits",
    "mlx-4bit": "MLX at 2, 3, 4, 5, 6 or 8 bits in groups of 64",
    "mlx-mxfp4": "MLX 4-bit float in groups of 32",
    "mlx-mxfp4-q8": "MLX 4-bit float for the experts, 8 bits for the rest",
    "mlx-nvfp4": "MLX 4-bit float in groups of 16",
    "mlx-mxfp8": "MLX 8-bit float in groups of 32",
}

_COMPANION = re.compile(
    r"(\.weight_scale(_inv|_2)?|\.input_scale|\.scales|\.qzeros|\.g_idx|\.weight_shape|\.weight_zero_point"
    r"|_scales|_scale_inv|\.SCB|\.absmax|\.suh|\.svh|\.biases)$"
)
_MLX_REST_ROLES = "attention,ffn,shared_expert,state,embedding,output"
_MLX_ROLES = f"{_MLX_REST_ROLES},expert"
_EXL = re.compile(r"(exl[23])[-_](\d+(?:\.\d+)?)(?:bpw)?(?:[-_]h(\d))?")
_MLX = re.compile(r"mlx[-_](?:(\d)bit(?:[-_]g(\d+))?|(mxfp4|nvfp4|mxfp8)(?:[-_]q(\d))?)")


def named_spec(name: str) -> QuantSpec:
    """The QuantSpec behind 'awq', 'exl3-4.25bpw', 'exl3-4.0bpw-h8', 'mlx-4bit-g32'; raises BadSetting."""
    key = name.lower().strip()
    spec = SPECS.get(key.replace("-", "_"))
    if spec is not None:
        return spec
    if match := _EXL.fullmatch(key):
        details = {"head_bits": match.group(3) or "6"}
        return QuantSpec(method=match.group(1), bits=float(match.group(2)), skipped=_GATES, details=details)
    if match := _MLX.fullmatch(key):
        if match.group(3):
            group = 16 if match.group(3) == "nvfp4" else 32
            bits = 8 if match.group(3) == "mxfp8" else 4
            details = {"mode": match.group(3), "rest_bits": match.group(4) or ""}
            return QuantSpec(method="mlx", bits=bits, group_size=group, details=details)
        return QuantSpec(method="mlx", bits=int(match.group(1)), group_size=int(match.group(2) or 64))
    raise BadSetting(f"{name!r} is not a weight format", hint=choices_hint(name, FORMATS, "--weights"))


class Same:
    """A model compared by identity: its mappings cannot be hashed, and one question keeps one object."""

    __slots__ = ("model",)

    def __init__(self, model: Model) -> None:
        self.model = model

    def __hash__(self) -> int:
        return id(self.model)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.model is self.model


def tensors_as(model: Model, weight_format: str) -> tuple[TensorSpec, ...]:
    """The model's tensors in a named format; '' and the published one leave them as they are.

    Raises BadSetting for an unknown name, and where the published tensors are already packed and
    cannot be asked for in another format.
    """
    return _tensors_as(Same(model), weight_format.lower())


@lru_cache(maxsize=32)
def _tensors_as(same: Same, wanted: str) -> tuple[TensorSpec, ...]:
    model = same.model
    if wanted in ("", "auto", model.weight_format.lower()) or model.naming == "gguf":
        return published(model)
    if wanted in _PLAIN_NAMES:
        return tuple(_cast(t, _PLAIN_NAMES[wanted]) for t in _base(model))
    spec = named_spec(wanted)
    base = _base(model)
    if spec.method == "nvfp4":
        spec = _as_nvidia_does(spec, model)
    if spec.method == "mlx":
        return _as_mlx(base, spec, model.architecture)
    if spec.method not in ("exl2", "exl3"):
        return apply(base, spec)
    head = replace(spec, bits=float(spec.details["head_bits"]), details={**spec.details, "roles": "output"})
    return apply(apply(base, replace(spec, skipped=(*spec.skipped, "lm_head"))), head)


def _as_nvidia_does(spec: QuantSpec, model: Model) -> QuantSpec:
    """NVFP4 of mixtures: the routed experts; in Nemotron-H all but the attention layers and the Mamba
    layer before each (the 60 exclude_modules of NVIDIA-Nemotron-3-Nano-30B-A3B-NVFP4)."""
    if model.architecture.startswith("nemotron_h"):
        attention = [x.index for x in model.layers if x.attention != "none"]
        kept = tuple(f"layers.{i}" for at in attention for i in (at - 1, at))
        roles = "expert,shared_expert,ffn,state"
        return replace(spec, skipped=(*spec.skipped, *kept), details={**spec.details, "roles": roles})
    if any(t.role == "expert" for t in model.tensors):
        return replace(spec, details={**spec.details, "roles": "expert"})
    return spec


def _as_mlx(base: tuple[TensorSpec, ...], spec: QuantSpec, architecture: str) -> tuple[TensorSpec, ...]:
    """mlx-lm keeps the router in 8 bits (quant_predicate of qwen3_moe, qwen3_next, minimax ..) or as it is
    where it is a bare parameter (MoEGate of deepseek_v3, glm4_moe ..), and drops the layers of
    multi-token prediction (sanitize)."""
    base = tuple(t for t in base if t.role != "mtp")
    rest = replace(spec, details={**spec.details, "roles": _MLX_ROLES})
    if spec.details.get("rest_bits"):
        rest = QuantSpec(
            method="mlx",
            bits=int(spec.details["rest_bits"]),
            group_size=64,
            details={"roles": _MLX_REST_ROLES},
        )
        experts = replace(spec, details={**spec.details, "roles": "expert"})
        base = apply(base, experts)
    table = apply(base, rest)
    if architecture.startswith(("deepseek", "glm", "kimi", "gpt_oss")):
        return table
    router = QuantSpec(method="mlx", bits=8, group_size=64, details={"roles": "router"})
    return apply(table, router)


def _cast(tensor: TensorSpec, format_name: str) -> TensorSpec:
    if tensor.format not in ("bf16", "f16", "f32") or tensor.is_buffer:
        return tensor
    return replace(tensor, format=format_name, size_bytes=tensor_bytes(format_name, tensor.shape))


def named_spec_or_none(name: str) -> QuantSpec | None:
    """The QuantSpec behind a name; None for the plain 16- and 32-bit formats."""
    return None if name.lower() in _PLAIN_NAMES else named_spec(name)


def published(model: Model) -> tuple[TensorSpec, ...]:
    """The tensors as the checkpoint stores them: as they are, or after `model.quantisation` where the
    table still shows the base type."""
    if model.quantisation is None or any(_COMPANION.search(t.name) for t in model.tensors):
        return model.tensors
    return apply(model.tensors, model.quantisation)


def _base(model: Model) -> tuple[TensorSpec, ...]:
    """The tensors before quantisation: FP8 and MXFP4 keep enough of the shapes to go back."""
    if model.quantisation is None or not any(_COMPANION.search(t.name) for t in model.tensors):
        return model.tensors
    found = []
    for tensor in model.tensors:
        if _COMPANION.search(tensor.name):
            continue
        if tensor.format in ("fp8_e4m3", "fp8_e5m2"):
            tensor = _in_16_bits(tensor, tensor.name, tensor.shape)
        elif tensor.name.endswith("_blocks"):
            shape = (*tensor.shape[:-2], tensor.shape[-2] * 32) if len(tensor.shape) == 4 else tensor.shape
            tensor = _in_16_bits(tensor, tensor.name.removesuffix("_blocks"), shape)
        elif tensor.name.endswith((".qweight", ".weight_packed", ".trellis")) or tensor.format == "u8":
            raise BadSetting(
                f"{model.id} is published in {model.weight_format} and cannot be turned into another format",
                hint="name the unquantised model",
            )
        found.append(tensor)
    return tuple(found)


def _in_16_bits(tensor: TensorSpec, name: str, shape: tuple[int, ...]) -> TensorSpec:
    return replace(tensor, name=name, shape=shape, format="bf16", size_bytes=tensor_bytes("bf16", shape))
