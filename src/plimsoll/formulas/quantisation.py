"""How many bytes a quantised matrix takes, scales and all, in every format that safetensors carry.

Layouts, each read in the code that writes or loads it:
fp8            transformers integrations/finegrained_fp8.py (weight_scale_inv per 128x128, f32);
               compressed_tensors (weight_scale per channel in the base type, per tensor f32)
int8           compressed_tensors int-quantized: int8 weight + weight_scale per channel
awq            AutoAWQ awq/modules/linear/gemm.py: qweight (in, out/8), qzeros (in/g, out/8) i32, scales f16
gptq           gptqmodel nn_modules/qlinear: qweight (in x b/32, out), qzeros (in/g, out x b/32), g_idx (in)
w4a16          compressed_tensors pack-quantized: weight_packed, weight_scale, weight_zero_point, weight_shape
nvfp4          modelopt export: uint8 pairs, FP8 scale per 16, f32 weight_scale_2 and input_scale
mxfp4          transformers integrations/mxfp4.py: *_blocks (.., in/32, 16) and *_scales (.., in/32), uint8
bnb            bitsandbytes functional.py: QuantState.as_dict(packed=True), nested absmax; int8: SCB f32
exl3           exllamav3 modules/quant/exl3.py: trellis i16 (in/16, out/16, 16 x bits), suh (in), svh (out)
exl2           the same bits per weight, asked for as an average over all matrices
mlx            mlx nn/layers/quantized.py: packed uint32, scales and biases per group in the base type
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from plimsoll.domain.model import QuantSpec, Role, TensorSpec
from plimsoll.formulas.formats import tensor_bytes

METHODS = (
    "fp8_block", "fp8_channel", "fp8_tensor", "int8", "w8a8", "awq", "gptq", "w4a16", "nvfp4", "mxfp4",
    "bnb_nf4", "bnb_int8", "exl2", "exl3", "mlx",
)  # fmt: skip
_MATRIX_ROLES: frozenset[Role] = frozenset({"attention", "ffn", "expert", "shared_expert", "state", "mtp"})
_EVERYWHERE: frozenset[Role] = _MATRIX_ROLES | {"embedding", "output", "router"}
_BASE_FORMATS = ("bf16", "f16", "f32")
# The packed quant_state is JSON: these characters and the digits of the shape; nested, its offset is a
# float printed with some 18 digits (the one figure that depends on the weights).
_NF4_STATE_BYTES = {"no": 74, "yes": 145 + 18}


class Part(NamedTuple):
    """One stored tensor of a quantised matrix. `shape` is logical for the packed weight itself."""

    suffix: str
    shape: tuple[int, ...]
    format: str
    size_bytes: int


class Matrix(NamedTuple):
    """A linear layer's weight: (out, in), how many of them, and the type its scales are kept in."""

    out_dim: int
    in_dim: int
    copies_count: int
    base_format: str


def apply(tensors: Iterable[TensorSpec], spec: QuantSpec) -> tuple[TensorSpec, ...]:
    """The tensor table as the checkpoint stores it after quantisation.

    Matrices that the method cannot hold (groups or packing do not divide) or that `spec.skipped` names
    stay as they are. Companions (scales, zeros, indices) are buffers: they are stored, not parameters.
    Of several formats in one checkpoint (`spec.others`) the first that holds a matrix wins.
    """
    specs = (spec, *spec.others)
    return tuple(part for tensor in tensors for part in _quantised(tensor, specs))


def _quantised(tensor: TensorSpec, specs: tuple[QuantSpec, ...]) -> Iterator[TensorSpec]:
    spec = next((one for one in specs if is_quantised(tensor, one)), None)
    if spec is None:
        yield tensor
        return
    shapes = _matrices(tensor)
    layout = _LAYOUTS[spec.method]
    stem, _, last = tensor.name.rpartition(".")
    module = stem if last == "weight" else tensor.name
    for matrix in shapes:
        if not _fits(matrix, spec):
            yield tensor
            return
    merged: dict[str, Part] = {}
    for matrix in shapes:
        for part in layout(matrix, spec):
            known = merged.get(part.suffix)
            merged[part.suffix] = part if known is None else _joined(known, part)
    for index, part in enumerate(merged.values()):
        yield replace(
            tensor, name=_joined_name(module, part.suffix), format=part.format, size_bytes=part.size_bytes,
            shape=tensor.shape if index == 0 else part.shape, is_buffer=tensor.is_buffer or index > 0,
        )  # fmt: skip


def _joined_name(module: str, suffix: str) -> str:
    return f"{module}{suffix}" if suffix.startswith("_") else f"{module}.{suffix}"


def _joined(first: Part, second: Part) -> Part:
    """Gate and up of a fused stack are two matrices in the checkpoint: their companions add up."""
    rows = (first.shape[0] + second.shape[0], *first.shape[1:]) if first.shape else ()
    return Part(first.suffix, rows, first.format, first.size_bytes + second.size_bytes)


def _matrices(tensor: TensorSpec) -> list[Matrix]:
    """The linear layers inside one tensor: fused experts hold gate and up of each expert."""
    out_dim, in_dim = tensor.shape[-2:]
    if tensor.is_input_major:
        out_dim, in_dim = in_dim, out_dim
    count = 1
    for dim in tensor.shape[:-2]:
        count *= dim
    if tensor.experts_count and "gate_up" in tensor.name and out_dim % 2 == 0:
        return [Matrix(out_dim // 2, in_dim, count, tensor.format)] * 2
    return [Matrix(out_dim, in_dim, count, tensor.format)]


def is_quantised(tensor: TensorSpec, spec: QuantSpec) -> bool:
    """Whether this tensor is one of the matrices that the method converts and nobody skipped."""
    roles = _EVERYWHERE if spec.method in ("mlx",) else _MATRIX_ROLES
    if spec.method in ("exl2", "exl3"):
        roles = _MATRIX_ROLES | {"output"}
    if spec.targets:
        roles = _EVERYWHERE
    if spec.details.get("roles"):
        roles = frozenset(spec.details["roles"].split(","))  # type: ignore[arg-type]
    if tensor.role not in roles or len(tensor.shape) < 2:
        return False
    if tensor.is_buffer or tensor.format not in _BASE_FORMATS:
        return False
    if len(tensor.shape) > 2 and not tensor.experts_count:
        return False  # a convolution's kernel
    stem, _, last = tensor.name.rpartition(".")
    module = stem if last == "weight" else tensor.name
    if last == "bias" or last.endswith("_bias"):
        return False
    if spec.targets and not is_skipped(module, spec.targets):
        return False
    return not is_skipped(module, spec.skipped)


def is_skipped(module: str, patterns: tuple[str, ...]) -> bool:
    """Whether a module is named by a list of exceptions.

    Three dialects: `re:` + a regular expression from the start (compressed-tensors), a glob (modelopt),
    or a name that equals the module, one of its last parts or its beginning (modules_to_not_convert).
    """
    names, expression = _skip_list(patterns)
    parts = module.split(".")
    ends = range(1, len(parts) + 1)
    if names and any(".".join(parts[i:j]) in names for i in range(len(parts)) for j in ends if j > i):
        return True
    return expression is not None and expression.match(module) is not None


@lru_cache(maxsize=64)
def _skip_list(patterns: tuple[str, ...]) -> tuple[frozenset[str], re.Pattern[str] | None]:
    """Plain names as a set (a config may list hundreds), globs and expressions as one expression."""
    plain = frozenset(p.strip(".") for p in patterns if "*" not in p and not p.startswith("re:"))
    others = [
        p[3:] if p.startswith("re:") else fnmatch.translate(p) for p in patterns if p.strip(".") not in plain
    ]
    return plain, re.compile("|".join(f"(?:{p})" for p in others)) if others else None


def _fits(matrix: Matrix, spec: QuantSpec) -> bool:
    group = spec.group_size if spec.group_size and spec.group_size > 0 else 0
    if spec.method in ("awq", "gptq", "w4a16", "mlx") and group and matrix.in_dim % group:
        return False
    if spec.method == "awq":
        return matrix.out_dim % 8 == 0
    if spec.method == "gptq":
        return matrix.out_dim % 32 == 0 and matrix.in_dim % 32 == 0
    if spec.method == "nvfp4":
        return matrix.in_dim % 16 == 0
    if spec.method == "mxfp4":
        return matrix.in_dim % 32 == 0
    if spec.method in ("exl2", "exl3"):
        return matrix.in_dim % 128 == 0 and matrix.out_dim % 128 == 0
    return True


def ceil_div(count: int, size: int) -> int:
    """The least number of `size` that covers `count`."""
    return -(-count // size)


def _plain(suffix: str, shape: tuple[int, ...], format_name: str, count: int) -> Part:
    full = (count, *shape) if count > 1 else shape
    return Part(suffix, full, format_name, tensor_bytes(format_name, full))


def _packed(suffix: str, matrix: Matrix, format_name: str, size_bytes: int) -> Part:
    return Part(suffix, (matrix.out_dim, matrix.in_dim), format_name, size_bytes * matrix.copies_count)


def _fp8_block(m: Matrix, spec: QuantSpec) -> list[Part]:
    """out x in bytes + 4 x ceil(out/128) x ceil(in/128)."""
    rows, columns = (int(x) for x in spec.details.get("block", "128x128").split("x"))
    scale = spec.details.get("scale_format", "f32")
    return [
        _packed("weight", m, "fp8_e4m3", m.out_dim * m.in_dim),
        _plain(
            "weight_scale_inv",
            (ceil_div(m.out_dim, rows), ceil_div(m.in_dim, columns)),
            scale,
            m.copies_count,
        ),
    ]


def _fp8_channel(m: Matrix, spec: QuantSpec) -> list[Part]:
    """out x in bytes + out scales in the base type."""
    scale = spec.details.get("scale_format", m.base_format)
    return [
        _packed("weight", m, "fp8_e4m3", m.out_dim * m.in_dim),
        _plain("weight_scale", (m.out_dim, 1), scale, m.copies_count),
    ]


def _fp8_tensor(m: Matrix, spec: QuantSpec) -> list[Part]:
    """out x in bytes + one f32 scale, and one for the input when it is static."""
    parts = [_packed("weight", m, "fp8_e4m3", m.out_dim * m.in_dim)]
    scale = spec.details.get("scale_format", "f32")
    parts.append(_plain("weight_scale", (1,), scale, m.copies_count))
    if spec.details.get("activation") == "static":
        parts.append(_plain("input_scale", (1,), scale, m.copies_count))
    return parts


def _int8(m: Matrix, spec: QuantSpec) -> list[Part]:
    """out x in bytes + out scales in the base type."""
    scale = spec.details.get("scale_format", m.base_format)
    return [
        _packed("weight", m, "i8", m.out_dim * m.in_dim),
        _plain("weight_scale", (m.out_dim, 1), scale, m.copies_count),
    ]


def _group(m: Matrix, spec: QuantSpec) -> int:
    """Values per scale along the input; None and -1 mean the whole row."""
    return spec.group_size if spec.group_size and spec.group_size > 0 else m.in_dim


def _awq(m: Matrix, spec: QuantSpec) -> list[Part]:
    """in x out/8 x 4 + in/g x out/8 x 4 + in/g x out x 2 bytes (4 bits)."""
    groups, per_word = m.in_dim // _group(m, spec), 32 // round(spec.bits)
    return [
        _packed("qweight", m, f"int{round(spec.bits)}", m.in_dim * (m.out_dim // per_word) * 4),
        _plain("qzeros", (groups, m.out_dim // per_word), "i32", m.copies_count),
        _plain("scales", (groups, m.out_dim), "f16", m.copies_count),
    ]


def _gptq(m: Matrix, spec: QuantSpec) -> list[Part]:
    """in x bits/32 x out x 4 + in/g x out x bits/32 x 4 + in/g x out x 2 + in x 4 (g_idx) bytes."""
    bits, groups = round(spec.bits), ceil_div(m.in_dim, _group(m, spec))
    return [
        _packed("qweight", m, f"int{bits}", m.in_dim * bits // 32 * m.out_dim * 4),
        _plain("qzeros", (groups, m.out_dim * bits // 32), "i32", m.copies_count),
        _plain("scales", (groups, m.out_dim), "f16", m.copies_count),
        _plain("g_idx", (m.in_dim,), "i32", m.copies_count),
    ]


def _w4a16(m: Matrix, spec: QuantSpec) -> list[Part]:
    """out x ceil(in x bits/32) x 4 + out x in/g scales; zero points 8 rows to a word; two i64 of shape."""
    bits, groups = round(spec.bits), ceil_div(m.in_dim, _group(m, spec))
    per_word = 32 // bits
    parts = [
        _packed("weight_packed", m, f"int{bits}", m.out_dim * ceil_div(m.in_dim, per_word) * 4),
        _plain("weight_scale", (m.out_dim, groups), m.base_format, m.copies_count),
    ]
    if spec.has_zero_points:
        parts.append(
            _plain("weight_zero_point", (ceil_div(m.out_dim, per_word), groups), "i32", m.copies_count)
        )
    if spec.has_act_order:
        parts.append(_plain("weight_g_idx", (m.in_dim,), "i32", m.copies_count))
    return [*parts, _plain("weight_shape", (2,), "i64", m.copies_count)]


def _nvfp4(m: Matrix, spec: QuantSpec) -> list[Part]:
    """out x in/2 + out x in/16 (FP8) + 4 (global) + 4 (input, unless weight-only) bytes."""
    parts = [
        _packed("weight", m, "nvfp4", m.out_dim * m.in_dim // 2),
        _plain("weight_scale", (m.out_dim, m.in_dim // 16), "fp8_e4m3", m.copies_count),
        _plain("weight_scale_2", (1,), "f32", m.copies_count),
    ]
    if spec.details.get("activation") != "none":
        parts.append(_plain("input_scale", (1,), "f32", m.copies_count))
    return parts


def _mxfp4(m: Matrix, spec: QuantSpec) -> list[Part]:
    """out x in/32 blocks of 16 bytes + one scale byte each."""
    blocks = m.in_dim // 32
    return [
        _packed("_blocks", m, "mxfp4", m.out_dim * blocks * 16),
        _plain("_scales", (m.out_dim, blocks), "u8", m.copies_count),
    ]


def _bnb_nf4(m: Matrix, spec: QuantSpec) -> list[Part]:
    """ceil(values/2) + absmax per 64 (uint8, with f32 per 256 of them and two tables, when nested; else f32)
    + the packed quant_state (JSON)."""
    values = m.out_dim * m.in_dim
    blocks = ceil_div(values, spec.group_size or 64)
    nested = spec.details.get("nested", "yes")
    state = _NF4_STATE_BYTES[nested] + len(str(m.out_dim)) + len(str(m.in_dim))
    parts = [_packed("weight", m, "nf4", ceil_div(values, 2))]
    if nested == "yes":
        parts += [
            _plain("weight.absmax", (blocks,), "u8", m.copies_count),
            _plain("weight.nested_absmax", (ceil_div(blocks, 256),), "f32", m.copies_count),
            _plain("weight.nested_quant_map", (256,), "f32", m.copies_count),
        ]
    else:
        parts.append(_plain("weight.absmax", (blocks,), "f32", m.copies_count))
    return [
        *parts,
        _plain("weight.quant_map", (16,), "f32", m.copies_count),
        _plain("weight.quant_state.bitsandbytes__nf4", (state,), "u8", m.copies_count),
    ]


def _bnb_int8(m: Matrix, spec: QuantSpec) -> list[Part]:
    """out x in bytes + out f32 + 1 byte for the layout's name."""
    return [
        _packed("weight", m, "i8", m.out_dim * m.in_dim),
        _plain("SCB", (m.out_dim,), "f32", m.copies_count),
        _plain("weight_format", (), "u8", m.copies_count),
    ]


def _exl3(m: Matrix, spec: QuantSpec) -> list[Part]:
    """values x bits / 8 + 2 x in + 2 x out bytes; bits may be an average over matrices."""
    return [
        _packed("trellis", m, f"{spec.method}_{spec.bits:g}", round(m.out_dim * m.in_dim * spec.bits / 8)),
        _plain("suh", (m.in_dim,), "f16", m.copies_count),
        _plain("svh", (m.out_dim,), "f16", m.copies_count),
    ]


def _mlx(m: Matrix, spec: QuantSpec) -> list[Part]:
    """values x bits/8 + scale and bias per group in the base type; mxfp4, nvfp4: a scale byte, no bias."""
    bits, groups = round(spec.bits), m.in_dim // _group(m, spec)
    parts = [_packed("weight", m, f"mlx_{bits}", m.out_dim * (m.in_dim * bits // 32) * 4)]
    if spec.details.get("mode", "affine") != "affine":
        return [*parts, _plain("scales", (m.out_dim, groups), "u8", m.copies_count)]
    return [
        *parts,
        _plain("scales", (m.out_dim, groups), m.base_format, m.copies_count),
        _plain("biases", (m.out_dim, groups), m.base_format, m.copies_count),
    ]


_LAYOUTS: dict[str, Callable[[Matrix, QuantSpec], list[Part]]] = {
    "fp8_block": _fp8_block, "fp8_channel": _fp8_channel, "fp8_tensor": _fp8_tensor, "int8": _int8,
    "w8a8": _int8, "awq": _awq, "gptq": _gptq, "w4a16": _w4a16, "nvfp4": _nvfp4, "mxfp4": _mxfp4,
    "bnb_nf4": _bnb_nf4, "bnb_int8": _bnb_int8, "exl2": _exl3, "exl3": _exl3, "mlx": _mlx,
}  # fmt: skip
