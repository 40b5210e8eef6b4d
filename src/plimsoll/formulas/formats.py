"""How many bytes a block of each storage format takes: name -> (values per block, bytes per block).

GGUF block layouts: ggml/src/ggml-common.h of llama.cpp and gguf-py/gguf/constants.py
(GGML_QUANT_SIZES), gguf 0.19.0. Each sum shows the layout: scales, high bits, quants.
"""

from __future__ import annotations

PLAIN: dict[str, tuple[int, int]] = {
    "f64": (1, 8), "f32": (1, 4), "f16": (1, 2), "bf16": (1, 2),
    "fp8_e4m3": (1, 1), "fp8_e5m2": (1, 1),
    "i64": (1, 8), "i32": (1, 4), "i16": (1, 2), "i8": (1, 1), "u8": (1, 1), "bool": (1, 1),
}  # fmt: skip

GGUF: dict[str, tuple[int, int]] = {
    "f32": (1, 4), "f16": (1, 2), "bf16": (1, 2), "f64": (1, 8),
    "i8": (1, 1), "i16": (1, 2), "i32": (1, 4), "i64": (1, 8),
    "q4_0": (32, 2 + 16), "q4_1": (32, 2 + 2 + 16),
    "q5_0": (32, 2 + 4 + 16), "q5_1": (32, 2 + 2 + 4 + 16),
    "q8_0": (32, 2 + 32), "q8_1": (32, 4 + 4 + 32),
    "q2_k": (256, 2 + 2 + 256 // 16 + 256 // 4),
    "q3_k": (256, 2 + 256 // 4 + 256 // 8 + 12),
    "q4_k": (256, 2 + 2 + 256 // 2 + 12),
    "q5_k": (256, 2 + 2 + 256 // 2 + 256 // 8 + 12),
    "q6_k": (256, 2 + 256 // 2 + 256 // 4 + 256 // 16),
    "q8_k": (256, 4 + 256 + 256 // 8),
    "iq2_xxs": (256, 2 + 256 // 4), "iq2_xs": (256, 2 + 256 // 4 + 256 // 32),
    "iq2_s": (256, 2 + 256 // 4 + 256 // 16),
    "iq3_xxs": (256, 2 + 256 // 4 + 256 // 8), "iq3_s": (256, 2 + 256 // 4 + 256 // 8 + 256 // 32 + 4),
    "iq1_s": (256, 2 + 256 // 8 + 256 // 16), "iq1_m": (256, 256 // 8 + 256 // 16 + 256 // 32),
    "iq4_nl": (32, 2 + 16), "iq4_xs": (256, 2 + 2 + 256 // 2 + 256 // 64),
    "tq1_0": (256, 2 + 4 * 13), "tq2_0": (256, 2 + 64),
    "mxfp4": (32, 1 + 16), "nvfp4": (64, 4 + 32),
}  # fmt: skip


def row_bytes(format_name: str, values_count: int) -> int:
    """Bytes of one row of `values_count` values in a GGUF or plain format: blocks x bytes per block.

    Raises ValueError when the row does not divide into blocks, as ggml refuses such rows.
    """
    block, size = GGUF.get(format_name) or PLAIN[format_name]
    if values_count % block:
        raise ValueError(f"{values_count} values do not divide into blocks of {block} ({format_name})")
    return values_count // block * size


def tensor_bytes(format_name: str, shape: tuple[int, ...]) -> int:
    """Bytes of a tensor (outermost dimension first): rows x row_bytes(last dimension)."""
    rows = 1
    for dim in shape[:-1]:
        rows *= dim
    return rows * row_bytes(format_name, shape[-1] if shape else 1)
