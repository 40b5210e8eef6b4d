"""quantization_config becomes a QuantSpec.

One reader per dialect, named after its `quant_method`. A reader returns None for what a QuantSpec
cannot express; the caller says so in a note.
Sources: transformers utils/quantization_config.py, compressed-tensors quantization/quant_args.py,
vLLM model_executor/layers/quantization/*.py (from_config of each), mlx-lm utils.py (load_model).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from plimsoll.domain.model import QuantSpec
from plimsoll.parse.keys import Keys

# What DeepSeek's FP8 files keep in 16 bits without listing it: the count of their stored values shows it.
_FP8_UNLISTED = ("lm_head", "embed_tokens", "shared_head", "eh_proj", "gate")
# The small matrix of a sparse indexer is never packed (vLLM models/deepseek_v2.py: quant_config=None).
_NEVER_FP8 = ("weights_proj",)


_PREFIXES = {"language_model.model.": "model.language_model.", "backbone.": "model."}
_EXPERT = re.compile(r"(experts)\.(?:\d+|\*)(?=\.|$)")
_EXPERT_IN_EXPRESSION = re.compile(r"(experts)\\\.(?:\\d\+|\d+)(?=\\\.|$)")
_STACKED = {
    "gate_proj": "gate_up_proj", "up_proj": "gate_up_proj", "w1": "gate_up_proj", "w3": "gate_up_proj",
    "w2": "down_proj",
}  # fmt: skip


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
    if spec is not None and keys.text("expert_dtype", default="") == "fp4":
        spec = _with_fp4_experts(spec)
    return spec, method if spec is None else _short_name(spec)


def _with_fp4_experts(spec: QuantSpec) -> QuantSpec:
    """DeepSeek V4: beside FP8, routed experts are 4-bit floats with a scale for each 32 of a row.

    Source: llama.cpp conversion/deepseek.py, which repacks their weight and scale as MXFP4.
    """
    experts = QuantSpec(method="mxfp4", bits=4, group_size=32, targets=("experts",))
    return replace(spec, skipped=(*spec.skipped, "experts"), others=(*spec.others, experts))


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
    """The name of the format, of several that of the fewest bits."""
    spec = min((spec, *spec.others), key=lambda one: one.bits)
    if spec.method.startswith("fp8"):
        return "fp8"
    if spec.method in ("exl2", "exl3"):
        return f"{spec.method}-{spec.bits:g}bpw"
    if spec.method == "mlx":
        mode = spec.details.get("mode", "affine")
        return f"mlx-{spec.bits:g}bit" if mode == "affine" else f"mlx-{mode}"
    return spec.method


def _skipped(section: Keys, *names: str) -> tuple[str, ...]:
    """A list of modules, by name, glob or (`re:`) regular expression."""
    return _checked(section, names[0], _in_our_names(section.texts(*names) or ()))


def _checked(section: Keys, name: str, modules: Iterable[str]) -> tuple[str, ...]:
    """The modules; MalformedConfig for a regular expression that could take for ever."""
    for module in modules:
        if module.startswith("re:") and not _is_quick(module[3:]):
            raise section.bad((name,), module, "a regular expression that can be searched quickly")
    return tuple(modules)


def _in_our_names(modules: Iterable[str]) -> tuple[str, ...]:
    """The modules under the table's names beside their own: published files put the text model elsewhere
    than Transformers 5, and name single experts where the table holds stacks of them."""
    found: list[str] = []
    for module in modules:
        start = next((start for start in _PREFIXES if module.startswith(start)), "")
        renamed = _PREFIXES.get(start, "") + module.removeprefix(start)
        one_expert = _EXPERT_IN_EXPRESSION if module.startswith("re:") else _EXPERT
        stack = one_expert.sub(r"\1", renamed)
        head, _, last = stack.rpartition(".")
        if stack != renamed and last in _STACKED:
            stack = f"{head}.{_STACKED[last]}"
        found += [stack, renamed, module]
    return tuple(dict.fromkeys(found))


def _is_quick(pattern: str) -> bool:
    """Compiles, repeats no group, sets no flags and has at most four open repetitions."""
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return False
    repetitions = len(re.findall(r"[*+{]", pattern))
    return len(pattern) <= 400 and repetitions <= 4 and not re.search(r"\)[*+{]|\(\?[^:=!]", pattern)


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
    experts = _MODELOPT.get(section.text("moe_quant_algo").upper())
    if section.has("quantized_layers") and experts is None:
        return None
    skipped = _skipped(section, "modules_to_not_convert", "ignored_layers") or _FP8_UNLISTED
    skipped += _NEVER_FP8
    section.raw("fmt", "dequantize")
    activation = section.text("activation_scheme", default="dynamic")
    details = {"activation": activation}
    if section.has("scale_fmt"):
        details["scale_fmt"] = section.text("scale_fmt")
    method = "fp8_tensor"
    if section.has("weight_block_size"):
        details["block"], method = _block(section, "weight_block_size"), "fp8_block"
    spec = QuantSpec(method=method, bits=8, skipped=skipped, details=details)
    if experts is None:
        return spec
    # modelopt repacks the experts of a checkpoint whose other matrices stay in FP8.
    section.raw("config_groups", "group_size", "ignore", "kv_cache_quant_algo", "producer", "quant_algo")
    kind, bits, activation = experts
    return QuantSpec(
        method=kind, bits=bits, group_size=16, details={"activation": activation, "roles": "expert"},
        others=(spec,),
    )  # fmt: skip


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


def _gptq(section: Keys) -> QuantSpec:
    """`dynamic` holds rules by regular expression: '-:' leaves modules out, the others change the width."""
    skipped: list[str] = []
    others: list[QuantSpec] = []
    rules = section.section("dynamic")
    for rule in rules.values if rules else ():
        pattern = f"re:.*{rule.removeprefix('-:').removeprefix('+:').lstrip('^')}"
        changes = rules.section(rule) if rules else None
        if rule.startswith("-:"):
            skipped.append(pattern)
        elif changes is not None:
            targets = _checked(section, "dynamic", (pattern,))
            others.append(_gptq_like("gptq", changes, section, targets=targets))
    left_out = (*_checked(section, "dynamic", skipped), *_skipped(section, "modules_to_not_convert"))
    return _first_of([*others, _gptq_like("gptq", section, section, skipped=left_out)])


def _auto_round(section: Keys) -> QuantSpec | None:
    """AutoRound packs as GPTQ or as AWQ; extra_config gives single modules another width, 16 for none."""
    packing = section.text("packing_format", default="auto_round:auto_gptq")
    method = "awq" if "awq" in packing else "gptq" if "gptq" in packing else ""
    if not method:
        return None
    extra = section.section("extra_config")
    skipped: list[str] = []
    others: list[QuantSpec] = []
    for name in extra.values if extra else ():
        part = extra.section(name) if extra else None
        if part is None:
            return None
        if part.positive("bits", default=section.positive("bits", default=4)) >= 16:
            skipped.append(name)
        else:
            others.append(_gptq_like(method, part, section, targets=_in_our_names((name,))))
    return _first_of([*others, _gptq_like(method, section, section, skipped=_in_our_names(skipped))])


def _gptq_like(
    method: str, part: Keys, whole: Keys, *, skipped: tuple[str, ...] = (), targets: tuple[str, ...] = ()
) -> QuantSpec:
    """bits, group_size, sym and desc_act of some modules; what they leave out is that of the whole."""
    bits = part.positive("bits", default=whole.positive("bits", default=4))
    if bits not in (2, 3, 4, 8):
        raise part.bad(("bits",), bits, "2, 3, 4 or 8")
    return QuantSpec(
        method=method, bits=bits, group_size=_group_size(part if part.has("group_size") else whole),
        has_zero_points=not part.flag("sym", default=whole.flag("sym", default=True)),
        has_act_order=part.flag("desc_act", default=whole.flag("desc_act")), skipped=skipped, targets=targets,
    )  # fmt: skip


def _first_of(specs: list[QuantSpec]) -> QuantSpec:
    """Several formats as one: those with targets before the one for all that is left."""
    first, *rest = sorted(specs, key=lambda spec: not spec.targets)
    return replace(first, others=tuple(rest))


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
    """One algorithm for all linear layers, or (MIXED_PRECISION) one for each of quantized_layers."""
    inner = section.section("quantization") or section
    section.raw("config_groups", "producer", "kv_cache_scheme")
    inner.raw("kv_cache_quant_algo", "kv_cache_scheme")
    skipped = _skipped(inner, "ignore", "exclude_modules")
    layers = inner.section("quantized_layers")
    if layers is None:
        return _modelopt_spec(inner, skipped=skipped)
    modules: dict[str, list[str]] = {}
    for name in layers.values:
        part = layers.section(name)
        if part is None:
            return None
        part.raw("group_size", "pre_quant_scale", "has_zero_point")
        modules.setdefault(part.text("quant_algo"), []).append(name)
    inner.raw("quant_algo", "group_size")
    specs = [
        _modelopt_spec(Keys({"quant_algo": algorithm}), skipped=skipped, targets=_in_our_names(names))
        for algorithm, names in modules.items()
    ]
    known = [spec for spec in specs if spec is not None]
    return _first_of(known) if known and len(known) == len(specs) else None


def _modelopt_spec(
    part: Keys, *, skipped: tuple[str, ...], targets: tuple[str, ...] = ()
) -> QuantSpec | None:
    algorithm = part.text("quant_algo").upper()
    if algorithm not in _MODELOPT:
        return None
    method, bits, activation = _MODELOPT[algorithm]
    group = part.raw("group_size", default=16) if method == "nvfp4" else None
    if group is not None and group != 16:
        raise part.bad(("group_size",), group, "16, the only group of NVFP4")
    return QuantSpec(
        method=method, bits=bits, group_size=32 if method == "mxfp4" else group, skipped=skipped,
        targets=targets, details={"activation": activation},
    )  # fmt: skip


def _exl(section: Keys) -> QuantSpec:
    section.raw("version", "calibration", "tensor_storage", "out_scales", "codebook")
    return QuantSpec(
        method=section.text("quant_method").lower(), bits=section.number("bits"), skipped=(),
        details={"head_bits": f"{section.number('head_bits', default=6):g}"},
    )  # fmt: skip


def _mlx(section: Keys) -> QuantSpec:
    """{group_size, bits, mode} for all modules; one named beside them is left out (false) or differs."""
    skipped: list[str] = []
    others: list[QuantSpec] = []
    for name, value in section.values.items():
        if value is False:
            section.raw(name)
            skipped.append(name)
        elif isinstance(value, Mapping) and (part := section.section(name)):
            others.append(_mlx_spec(part, targets=_in_our_names((name,))))
    return _first_of([*others, _mlx_spec(section, skipped=_in_our_names(skipped))])


def _mlx_spec(part: Keys, *, skipped: tuple[str, ...] = (), targets: tuple[str, ...] = ()) -> QuantSpec:
    bits, mode = part.positive("bits"), part.text("mode", default="affine")
    if bits not in (2, 3, 4, 5, 6, 8):
        raise part.bad(("bits",), bits, "2, 3, 4, 5, 6 or 8")
    return QuantSpec(
        method="mlx", bits=bits, group_size=part.positive("group_size"), skipped=skipped, targets=targets,
        details={"mode": mode},
    )  # fmt: skip


def _compressed_tensors(section: Keys) -> QuantSpec | None:
    """Several config_groups are several formats; targets name modules, or 'Linear' for all that is left."""
    section.raw("quantization_status", "global_compression_ratio", "kv_cache_scheme", "version", "format")
    section.raw("sparsity_config", "transform_config")
    groups = section.section("config_groups")
    skipped = _skipped(section, "ignore")
    specs = [_scheme(groups.section(name), skipped) for name in groups.values] if groups else []
    known = [spec for spec in specs if spec is not None]
    return _first_of(known) if known and len(known) == len(specs) else None


def _scheme(group: Keys | None, skipped: tuple[str, ...]) -> QuantSpec | None:
    """The format of one config group."""
    weights = group.section("weights") if group else None
    if group is None or weights is None:
        return None
    group.raw("output_activations", "format")
    targets = _skipped(group, "targets")
    # Names of classes other than Linear say nothing about modules.
    if not targets or any(not {".", "_"} & set(name) for name in targets if name != "Linear"):
        return None
    spec = _scheme_of(weights, group.section("input_activations"))
    return spec and replace(spec, skipped=skipped, targets=() if "Linear" in targets else targets)


def _scheme_of(weights: Keys, inputs: Keys | None) -> QuantSpec | None:
    """Method, bits, groups, zero points and act order from the arguments of the weights."""
    bits, kind = weights.positive("num_bits"), weights.text("type", default="int")
    strategy, size = weights.text("strategy", default="tensor"), _group_size(weights)
    weights.raw("dynamic", "observer", "observer_kwargs", "symmetric", "block_structure")
    weights.raw("scale_dtype", "zp_dtype")
    has_act_order = weights.raw("actorder") in ("group", True)
    if kind == "float":
        return _float_scheme(bits, size, strategy, weights, inputs)
    if bits == 8 and inputs is not None:
        return QuantSpec(method="w8a8", bits=8)
    if bits not in (2, 4, 8):
        return None
    return QuantSpec(
        method="w4a16", bits=bits, group_size=size, has_act_order=has_act_order,
        has_zero_points=not weights.flag("symmetric", default=True),
    )  # fmt: skip


def _float_scheme(
    bits: int, size: int | None, strategy: str, weights: Keys, inputs: Keys | None
) -> QuantSpec | None:
    """FP8 per tensor, channel or block; NVFP4 (groups of 16); MXFP4 (groups of 32)."""
    activation = "none" if inputs is None else "dynamic" if inputs.raw("dynamic") is True else "static"
    details = {"activation": activation}
    if bits == 8 and strategy in ("tensor", "channel"):
        return QuantSpec(method=f"fp8_{strategy}", bits=8, details=details)
    if bits == 8 and strategy == "block":
        details["block"] = _block(weights, "block_structure")
        return QuantSpec(method="fp8_block", bits=8, details=details)
    if bits == 4 and size in (16, 32):
        return QuantSpec(method="nvfp4" if size == 16 else "mxfp4", bits=4, group_size=size, details=details)
    return None


_READERS: dict[str, Callable[[Keys], QuantSpec | None]] = {
    "fp8": _fp8, "fbgemm-fp8": _fbgemm_fp8, "awq": _awq, "gptq": _gptq, "gptqmodel": _gptq,
    "auto-round": _auto_round, "intel/auto-round": _auto_round, "bitsandbytes": _bitsandbytes,
    "mxfp4": _mxfp4, "modelopt": _modelopt, "modelopt-fp4": _modelopt, "exl2": _exl, "exl3": _exl,
    "mlx": _mlx, "compressed-tensors": _compressed_tensors,
}  # fmt: skip
