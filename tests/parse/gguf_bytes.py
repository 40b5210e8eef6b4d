"""Small GGUF headers made by hand, right or wrong on purpose."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any

CODES = {
    "u8": 0,
    "i8": 1,
    "u16": 2,
    "i16": 3,
    "u32": 4,
    "i32": 5,
    "f32": 6,
    "bool": 7,
    "u64": 10,
    "i64": 11,
    "f64": 12,
}
PACK = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


def text(value: str | bytes) -> bytes:
    """Length and bytes."""
    raw = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(item: Any) -> bytes:
    """Type tag and value: int -> u32, str, bool, float -> f32, list -> array, (code, x) as told."""
    if isinstance(item, tuple):
        code, inner = item
        tag = CODES[code]
        if isinstance(inner, list):
            return struct.pack("<IIQ", 9, tag, len(inner)) + struct.pack(f"<{len(inner)}{PACK[tag]}", *inner)
        return struct.pack("<I", tag) + struct.pack(f"<{PACK[tag]}", inner)
    if isinstance(item, bool):
        return value(("bool", item))
    if isinstance(item, int):
        return value(("u32", item))
    if isinstance(item, float):
        return value(("f32", item))
    if isinstance(item, str):
        return struct.pack("<I", 8) + text(item)
    if item and isinstance(item[0], str):
        return struct.pack("<IIQ", 9, 8, len(item)) + b"".join(map(text, item))
    return value(("bool" if item and isinstance(item[0], bool) else "i32", list(item)))


def tensor(name: str | bytes, dims: Iterable[int], kind: int, offset: int) -> bytes:
    """One description; `dims` in ggml order (fastest first)."""
    dims = tuple(dims)
    return text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)


def header(
    metadata: Mapping[str, Any], tensors: Iterable[bytes] = (), *, version: int = 3,
    tensors_count: int | None = None, keys_count: int | None = None,
) -> bytes:  # fmt: skip
    """A header without its padding and its data."""
    rows = list(tensors)
    return (
        struct.pack(
            "<4sIQQ", b"GGUF", version, len(rows) if tensors_count is None else tensors_count,
            len(metadata) if keys_count is None else keys_count,
        )
        + b"".join(text(k) + value(v) for k, v in metadata.items())
        + b"".join(rows)
    )  # fmt: skip


def whole(head: bytes, data_bytes: int, alignment: int = 32) -> bytes:
    """A header, its padding and that many zero bytes of data."""
    return head + b"\0" * (-len(head) % alignment + data_bytes)


LLAMA: dict[str, Any] = {
    "general.architecture": "llama", "llama.block_count": 1, "llama.context_length": 512,
    "llama.embedding_length": 64, "llama.feed_forward_length": 128, "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2, "llama.rope.freq_base": 10000.0, "general.file_type": 1,
    "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": ["a", "b", "c", "d", "e", "f", "g", "h"],
}  # fmt: skip


def llama(metadata: Mapping[str, Any] | None = None, **changes: Any) -> bytes:
    """A whole small Llama in f16; `changes` use __ for dots."""
    keys = {**LLAMA, **(metadata or {}), **{k.replace("__", "."): v for k, v in changes.items()}}
    shapes = {
        "token_embd.weight": (64, 8), "output_norm.weight": (64,), "output.weight": (64, 8),
        "blk.0.attn_norm.weight": (64,), "blk.0.attn_q.weight": (64, 64), "blk.0.attn_k.weight": (64, 32),
        "blk.0.attn_v.weight": (64, 32), "blk.0.attn_output.weight": (64, 64), "blk.0.ffn_norm.weight": (64,),
        "blk.0.ffn_gate.weight": (64, 128), "blk.0.ffn_up.weight": (64, 128),
        "blk.0.ffn_down.weight": (128, 64),
    }  # fmt: skip
    return model(keys, shapes)


def model(metadata: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> bytes:
    """A whole GGUF in f16 of tensors with these ggml shapes."""
    rows, offset = [], 0
    for name, dims in shapes.items():
        rows.append(tensor(name, dims, 1, offset))
        size = 2
        for dim in dims:
            size *= dim
        offset += -(-size // 32) * 32
    return whole(header(metadata, rows), offset)
