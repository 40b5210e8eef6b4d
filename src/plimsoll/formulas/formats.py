"""How many bytes a block of each storage format takes: name -> (values per block, bytes per block).

GGUF block layouts: ggml/src/ggml-common.h of llama.cpp and gguf-py/gguf/constants.py
(GGML_QUANT_SIZES), gguf 0.19.0. Each sum shows the layout: scales, high bits, quants.
"""

from __future__ import annotations

PLAIN: dict[str, tuple[int, int]] = {
    "f64": (1, 8), "f32": (1, 4), "f16": (1, 2), "bf16": (1, 2),
    "fp8_e4m3": (1, 1), "fp8_e5m2": (1, 1), "fp8_e8m0": (1, 1), "fp4": (2, 1), "c64": (1, 8),
    "i64": (1, 8), "i32": (1, 4), "i16": (1, 2), "i8": (1, 1),
    "u64": (1, 8), "u32": (1, 4), "u16": (1, 2), "u8": (1, 1), "bool": (1, 1),
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
    "q1_0": (128, 2 + 128 // 8), "q2_0": (64, 2 + 64 // 4),
    # ik_llama.cpp only (ggml-common.h there); some carry extra bytes per row, see ROW_EXTRA_BYTES.
    "q6_0": (32, 2 + 8 + 16), "iq1_bn": (64, 12 + 1), "iq2_bn": (64, 16),
    "iq2_k": (256, 76), "iq3_k": (256, 110), "iq4_k": (256, 144), "iq5_k": (256, 176), "iq6_k": (256, 212),
    "iq2_ks": (256, 70), "iq3_ks": (256, 102), "iq4_ks": (256, 136), "iq4_kss": (256, 128),
    "iq5_ks": (256, 168), "iq2_kl": (256, 86), "iq1_kt": (256, 56), "iq2_kt": (256, 68),
    "iq3_kt": (256, 100), "iq4_kt": (256, 128), "q8_kv": (32, 32),
}  # fmt: skip

# type_traits.row_meta_size in ggml/src/ggml.c of ik_llama.cpp at 8337e4c.
ROW_EXTRA_BYTES: dict[str, int] = {
    "iq1_bn": 2, "iq2_bn": 4, "iq2_ks": 2, "iq3_ks": 2, "iq4_ks": 4, "iq4_kss": 4, "iq5_ks": 4,
    "iq1_kt": 4, "iq2_kt": 4, "iq3_kt": 4, "iq4_kt": 4, "iq2_kl": 2, "q8_kv": 8,
}  # fmt: skip


def row_bytes(format_name: str, values_count: int) -> int:
    """Bytes of one row of `values_count` values in a GGUF or plain format: blocks x bytes per block.

    A few ik_llama.cpp formats add a scale per row.

    Raises ValueError when the row does not divide into blocks, as ggml refuses such rows.
    """
    block, size = GGUF.get(format_name) or PLAIN[format_name]
    if values_count % block:
        raise ValueError(f"{values_count} values do not divide into blocks of {block} ({format_name})")
    return values_count // block * size + ROW_EXTRA_BYTES.get(format_name, 0)


def tensor_bytes(format_name: str, shape: tuple[int, ...]) -> int:
    """Bytes of a tensor (outermost dimension first): rows x row_bytes(last dimension)."""
    rows = 1
    for dim in shape[:-1]:
        rows *= dim
    return rows * row_bytes(format_name, shape[-1] if shape else 1)
