"""quantization_config becomes a QuantSpec.

One reader per dialect, named after its `quant_method`. A reader returns None for a mixture that one
QuantSpec cannot express (several formats in one checkpoint); the caller says so in a note.
Sources: transformers utils/quantization_config.py, compressed-tensors quantization/quant_args.py,
vLLM model_executor/layers/quantization/*.py (from_config of each), mlx-lm utils.py (load_model).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from plimsoll.domain.model import QuantSpec
from plimsoll.parse.keys import Keys

# What DeepSeek's FP8 files keep in 16 bits without listing it: the count of their stored values shows it.
_FP8_UNLISTED = ("lm_head", "embed_tokens", "shared_head", "eh_proj", "gate")
# The small matrix of a sparse indexer is never packed (vLLM models/deepseek_v2.py: quant_config=None).
_NEVER_FP8 = ("weights_proj",)


def read_quantisation(keys: Keys) -> tuple[QuantSpec | None, str]:
    """The checkpoint's quantisation and its short name ('fp8', 'mxfp4', 'awq', 'mlx-4bit').

    (None, "") for a model that is not quantised; (None, name) for a quantisation that is not understood.
    Raises MalformedConfig for values of the wrong kind.
    """
    section = _section(keys)
    if section is None:
        return None, ""
    method = section.text("quant_method").lower().replace("_", "-")
    if not method:
        method = _unnamed(section)
    if method == "none":
        return None, ""
    reader = _READERS.get(method)
    if reader is None:
        return None, method or "unknown"
    spec = reader(section)
    return spec, method if spec is None else _short_name(spec)


def _section(keys: Keys) -> Keys | None:
    """The quantisation section of the config or of its text part; MLX writes it under two names."""
    places = [keys] + [text for text in (keys.section("text_config"),) if text is not None]
    for place in places:
        section = place.section("quantization_config") or place.section("compression_config")
        if section is not None:
            place.raw("quantization")
            return section
        if section := place.section("quantization"):
            return section
    return None


def _unnamed(section: Keys) -> str:
    """The dialect of a section without quant_method."""
    if section.has("quant_algo"):
        return "modelopt"
    if section.has("config_groups"):
        return "compressed-tensors"
    if section.has("bits") and section.has("group_size"):
        return "mlx"
    return ""


def _short_name(spec: QuantSpec) -> str:
    if spec.method.startswith("fp8"):
        return "fp8"
    if spec.method in ("exl2", "exl3"):
        return f"{spec.method}-{spec.bits:g}bpw"
    if spec.method == "mlx":
        mode = spec.details.get("mode", "affine")
        return f"mlx-{spec.bits:g}bit" if mode == "affine" else f"mlx-{mode}"
    return spec.method


def _skipped(section: Keys, *names: str) -> tuple[str, ...]:
    """A list of modules; `re:` marks a regular expression, refused where matching it could take for ever."""
    modules = section.texts(*names) or ()
    for module in modules:
        if module.startswith("re:") and not _is_quick(module[3:]):
            raise section.bad(names, module, "a regular expression that can be searched quickly")
    return modules


def _is_quick(pattern: str) -> bool:
    """Compiles, repeats no group and has at most four open repetitions."""
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return False
    return (
        len(pattern) <= 400 and not re.search(r"\)[*+{]", pattern) and len(re.findall(r"[*+{]", pattern)) <= 4
    )


def _group_size(keys: Keys) -> int | None:
    """group_size; -1 (and 0) mean one group per row."""
    value = keys.raw("group_size")
    if value is None or value in (-1, 0):
        return None
    return keys.positive("group_size")


def _block(keys: Keys, name: str) -> str:
    sides = keys.list(name) or []
    if len(sides) != 2 or not all(isinstance(side, int) and 0 < side <= 2**20 for side in sides):
        raise keys.bad((name,), sides, "two block sides")
    return f"{sides[0]}x{sides[1]}"


def _fp8(section: Keys) -> QuantSpec | None:
    if section.has("quantized_layers") or section.has("moe_quant_algo"):
        return None
    skipped = _skipped(section, "modules_to_not_convert", "ignored_layers") or _FP8_UNLISTED
    skipped += _NEVER_FP8
    section.raw("fmt", "dequantize")
    activation = section.text("activation_scheme", default="dynamic")
    details = {"activation": activation}
    if section.has("scale_fmt"):
        details["scale_fmt"] = section.text("scale_fmt")
    if section.has("weight_block_size"):
        details["block"] = _block(section, "weight_block_size")
        return QuantSpec(method="fp8_block", bits=8, skipped=skipped, details=details)
    return QuantSpec(method="fp8_tensor", bits=8, skipped=skipped, details=details)


def _fbgemm_fp8(section: Keys) -> QuantSpec:
    """One f32 scale per output channel."""
    section.raw("activation_scale_ub")
    skipped = _skipped(section, "modules_to_not_convert")
    return QuantSpec(method="fp8_channel", bits=8, skipped=skipped, details={"scale_format": "f32"})


def _awq(section: Keys) -> QuantSpec:
    section.raw("version", "backend", "do_fuse")
    group_size = _group_size(section)
    return QuantSpec(
        method="awq", bits=section.positive("bits", "w_bit", default=4),
        group_size=group_size or section.optional_count("q_group_size"),
        has_zero_points=section.flag("zero_point", default=True),
        skipped=_skipped(section, "modules_to_not_convert"),
    )  # fmt: skip


def _gptq(section: Keys) -> QuantSpec | None:
    skipped: list[str] = []
    rules = section.section("dynamic")
    for rule in rules.values if rules else ():
        if not rule.startswith("-:"):
            return None
        skipped.append(f"re:.*{rule.removeprefix('-:').lstrip('^')}")
    return QuantSpec(
        method="gptq", bits=section.positive("bits", default=4), group_size=_group_size(section),
        has_zero_points=not section.flag("sym", default=True),
        has_act_order=section.flag("desc_act"),
        skipped=(*skipped, *_skipped(section, "modules_to_not_convert")),
    )  # fmt: skip


def _auto_round(section: Keys) -> QuantSpec | None:
    """AutoRound packs as GPTQ or as AWQ; an extra_config gives some modules another width."""
    extra = section.section("extra_config")
    packing = section.text("packing_format", default="auto_round:auto_gptq")
    skipped = []
    for name in extra.values if extra else ():
        part = extra.section(name) if extra else None
        if part is None or part.number("bits", default=16) < 16:
            return None
        skipped.append(name)
    method = "awq" if "awq" in packing else "gptq" if "gptq" in packing else ""
    if not method:
        return None
    return QuantSpec(
        method=method, bits=section.positive("bits", default=4), group_size=_group_size(section),
        has_zero_points=not section.flag("sym", default=True), skipped=tuple(skipped),
    )  # fmt: skip


def _bitsandbytes(section: Keys) -> QuantSpec | None:
    skipped = _skipped(section, "llm_int8_skip_modules") or ("lm_head",)
    if section.flag("load_in_4bit", "_load_in_4bit"):
        kind = section.text("bnb_4bit_quant_type", default="fp4")
        nested = "yes" if section.flag("bnb_4bit_use_double_quant") else "no"
        return QuantSpec(
            method="bnb_nf4", bits=4, group_size=64, skipped=skipped, details={"nested": nested, "type": kind}
        )
    if section.flag("load_in_8bit", "_load_in_8bit"):
        return QuantSpec(method="bnb_int8", bits=8, skipped=skipped)
    return None


def _mxfp4(section: Keys) -> QuantSpec:
    """gpt-oss: only the experts are packed, everything else stays in the base type."""
    return QuantSpec(
        method="mxfp4", bits=4, group_size=32, skipped=_skipped(section, "modules_to_not_convert"),
        details={"roles": "expert"},
    )  # fmt: skip


_MODELOPT: dict[str, tuple[str, float, str]] = {
    "FP8": ("fp8_tensor", 8, "static"),
    "FP8_PER_CHANNEL_PER_TOKEN": ("fp8_channel", 8, "dynamic"),
    "FP8_PB_WO": ("fp8_block", 8, "dynamic"),
    "NVFP4": ("nvfp4", 4, "static"),
    "W4A16_NVFP4": ("nvfp4", 4, "none"),
    "MXFP4": ("mxfp4", 4, "dynamic"),
}
"""quant_algo -> method, bits, activation scales. Source: vLLM quantization/modelopt.py (QUANT_ALGOS)."""


def _modelopt(section: Keys) -> QuantSpec | None:
    inner = section.section("quantization") or section
    algorithm = inner.text("quant_algo").upper()
    if algorithm not in _MODELOPT or inner.has("quantized_layers"):
        return None
    section.raw("config_groups", "producer", "kv_cache_scheme")
    inner.raw("kv_cache_quant_algo", "kv_cache_scheme")
    method, bits, activation = _MODELOPT[algorithm]
    group = inner.raw("group_size", default=16) if method == "nvfp4" else None
    if group is not None and group != 16:
        raise inner.bad(("group_size",), group, "16, the only group of NVFP4")
    return QuantSpec(
        method=method, bits=bits, group_size=32 if method == "mxfp4" else group,
        skipped=_skipped(inner, "ignore", "exclude_modules"), details={"activation": activation},
    )  # fmt: skip


def _exl(section: Keys) -> QuantSpec:
    section.raw("version", "calibration", "tensor_storage", "out_scales", "codebook")
    return QuantSpec(
        method=section.text("quant_method").lower(), bits=section.number("bits"), skipped=(),
        details={"head_bits": f"{section.number('head_bits', default=6):g}"},
    )  # fmt: skip


def _mlx(section: Keys) -> QuantSpec | None:
    """{group_size, bits, mode} for all modules; a module named beside them is left out (false) or differs."""
    bits, group = section.positive("bits"), section.positive("group_size")
    mode = section.text("mode", default="affine")
    skipped = []
    for name, value in section.values.items():
        if value is False:
            section.raw(name)
            skipped.append(name)
        elif isinstance(value, Mapping):
            part = section.section(name)
            if part is None or (part.positive("bits"), part.positive("group_size")) != (bits, group):
                return None
    return QuantSpec(
        method="mlx", bits=bits, group_size=group, skipped=tuple(skipped), details={"mode": mode}
    )


def _compressed_tensors(section: Keys) -> QuantSpec | None:
    section.raw("quantization_status", "global_compression_ratio", "kv_cache_scheme", "version", "format")
    section.raw("sparsity_config", "transform_config")
    groups = section.section("config_groups")
    if groups is None:
        return None
    specs = [_scheme(groups.section(name)) for name in groups.values]
    if len(specs) != 1 or specs[0] is None:
        return None
    method, bits, group_size, zero_points, act_order, details = specs[0]
    return QuantSpec(
        method=method, bits=bits, group_size=group_size, has_zero_points=zero_points, has_act_order=act_order,
        skipped=_skipped(section, "ignore"), details=details,
    )  # fmt: skip


_Scheme = tuple[str, float, int | None, bool, bool, dict[str, str]]


def _scheme(group: Keys | None) -> _Scheme | None:
    """Method, bits, group, zero points, act order and details of one config group over all linear layers."""
    weights = group.section("weights") if group else None
    if group is None or weights is None or list(group.texts("targets") or ()) != ["Linear"]:
        return None
    group.raw("output_activations", "format")
    bits, kind = weights.positive("num_bits"), weights.text("type", default="int")
    strategy, inputs = weights.text("strategy", default="tensor"), group.section("input_activations")
    size, has_act_order = _group_size(weights), weights.raw("actorder") in ("group", True)
    weights.raw(
        "dynamic", "observer", "observer_kwargs", "symmetric", "scale_dtype", "zp_dtype", "block_structure"
    )
    if kind == "float":
        found = _float_scheme(bits, size, strategy, weights, inputs)
        return found and (*found[:3], False, False, found[3])
    if bits == 8 and inputs is not None:
        return "w8a8", 8, None, False, False, {}
    if bits not in (2, 4, 8):
        return None
    return "w4a16", bits, size, not weights.flag("symmetric", default=True), has_act_order, {}


def _float_scheme(
    bits: int, size: int | None, strategy: str, weights: Keys, inputs: Keys | None
) -> tuple[str, float, int | None, dict[str, str]] | None:
    """FP8 per tensor, channel or block; NVFP4 (groups of 16); MXFP4 (groups of 32)."""
    activation = "none" if inputs is None else "dynamic" if inputs.raw("dynamic") is True else "static"
    details = {"activation": activation}
    if bits == 8 and strategy in ("tensor", "channel"):
        return f"fp8_{strategy}", 8, None, details
    if bits == 8 and strategy == "block":
        return "fp8_block", 8, None, {**details, "block": _block(weights, "block_structure")}
    if bits == 4 and size in (16, 32):
        return ("nvfp4" if size == 16 else "mxfp4"), 4, size, details
    return None


_READERS: dict[str, Callable[[Keys], QuantSpec | None]] = {
    "fp8": _fp8, "fbgemm-fp8": _fbgemm_fp8, "awq": _awq, "gptq": _gptq, "gptqmodel": _gptq,
    "auto-round": _auto_round, "intel/auto-round": _auto_round, "bitsandbytes": _bitsandbytes,
    "mxfp4": _mxfp4, "modelopt": _modelopt, "modelopt-fp4": _modelopt, "exl2": _exl, "exl3": _exl,
    "mlx": _mlx, "compressed-tensors": _compressed_tensors,
}  # fmt: skip
