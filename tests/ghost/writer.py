"""Ghost files: GGUF headers with real metadata, names, shapes and types, and no weights behind them.

The file is extended to its full length with `truncate`, so a 60 GB model takes a few MB of disk.
The metadata comes from what the upstream converter wrote for real configs (see stored.py, upstream.py).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from plimsoll.formulas.formats import tensor_bytes
from tests.ghost.stored import converted, converted_ids

ALIGNMENT = 32

Tensor = tuple[str, tuple[int, ...], str]


def write_ghost(
    path: Path, model: Any, config: Mapping[str, Any] | None = None, recipe: str = "f16",
    metadata: Mapping[str, Any] | None = None,
) -> int:  # fmt: skip
    """Write the ghost of `model` under `recipe`; returns the sum of its tensors' bytes.

    The metadata is `metadata`, or the stored conversion of `model.id`, or what the upstream
    converter says now for `config` (needs PLIMSOLL_LLAMA_CPP_SOURCE).
    """
    from plimsoll.runtimes.llama_cpp.recipe import quantise
    from plimsoll.runtimes.llama_cpp.tensors import gguf_tensors

    if metadata is None:
        metadata = metadata_of(model.id, config)
    tensors = quantise(gguf_tensors(model), model, recipe)
    return write_tensors(path, metadata, [(t.name, t.shape, t.format) for t in tensors])


def write_converted(path: Path, model_id: str) -> int:
    """Write the stored f16 conversion of `model_id` as upstream made it; returns the tensors' bytes."""
    stored = converted(model_id)
    return write_tensors(path, stored["metadata"], [(n, tuple(s), kind) for n, s, kind in stored["tensors"]])


def metadata_of(model_id: str, config: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """The metadata upstream writes for a model: stored, or converted now from its config."""
    if model_id in converted_ids():
        stored: Mapping[str, Any] = converted(model_id)["metadata"]
        return stored
    from tests.ghost.upstream import convert

    if config is None:
        raise KeyError(f"no stored conversion of {model_id}, and no config to convert")
    fresh: Mapping[str, Any] = convert(dict(config))["metadata"]
    return fresh


def write_tensors(path: Path, metadata: Mapping[str, Any], tensors: Iterable[Tensor]) -> int:
    """Write a GGUF header for these tensors and extend the file; returns the tensors' bytes."""
    ids = _type_ids()
    tensors = list(tensors)
    vocab = next((t[1][0] for t in tensors if t[0] == "token_embd.weight"), 256)
    pairs = {**metadata, **tokenizer(vocab)}
    head = bytearray(struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(pairs)))
    for key, (kind, value) in pairs.items():
        head += _string(key) + _value(kind, value)
    offset = total = 0
    for name, shape, kind in tensors:
        size = tensor_bytes(kind, shape)
        dims = tuple(reversed(shape))
        head += _string(name) + struct.pack(f"<I{len(dims)}Q", len(dims), *dims)
        head += struct.pack("<IQ", ids[kind], offset)
        offset += _padded(size)
        total += size
    head += b"\0" * (_padded(len(head)) - len(head))
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + offset)
    return total


def _type_ids() -> Mapping[str, int]:
    """Type ids as PyPI's gguf has them; where it is not installed, those of our own engine's table."""
    try:
        import gguf
    except ImportError:
        from tests.ghost.engine import TYPES

        return TYPES
    return {kind.name.lower(): kind.value for kind in gguf.GGMLQuantizationType}


def tokenizer(vocab_size: int) -> dict[str, Any]:
    """The smallest tokenizer that llama.cpp accepts: 256 bytes, padding up to `vocab_size`, one merge."""
    tokens = [*_byte_letters()[:vocab_size], *(f"[PAD{i}]" for i in range(256, vocab_size))]
    kinds = [1] * min(256, vocab_size) + [5] * max(0, vocab_size - 256)
    return {
        "tokenizer.ggml.model": ("STRING", "gpt2"),
        "tokenizer.ggml.pre": ("STRING", "default"),
        "tokenizer.ggml.tokens": ("STRINGS", tokens),
        "tokenizer.ggml.token_type": ("INTS", kinds),
        "tokenizer.ggml.merges": ("STRINGS", ["a b"]),
        "tokenizer.ggml.bos_token_id": ("UINT32", 0),
        "tokenizer.ggml.eos_token_id": ("UINT32", 1),
    }


def _byte_letters() -> list[str]:
    """GPT-2's printable letter for each byte: itself where printable, else 256 + n."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(b) if b in printable else chr(next(others)) for b in range(256)]


_SCALARS = {
    "UINT8": (0, "<B"), "INT8": (1, "<b"), "UINT16": (2, "<H"), "INT16": (3, "<h"), "UINT32": (4, "<I"),
    "INT32": (5, "<i"), "FLOAT32": (6, "<f"), "BOOL": (7, "<?"), "UINT64": (10, "<Q"), "INT64": (11, "<q"),
    "FLOAT64": (12, "<d"),
}  # fmt: skip


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(kind: str, value: Any) -> bytes:
    """A metadata value with its type tag. Arrays take their element type from their values, as upstream."""
    if kind == "STRING":
        return struct.pack("<I", 8) + _string(value)
    if kind == "STRINGS":
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_string, value))
    if kind == "INTS":
        return struct.pack("<IIQ", 9, 5, len(value)) + struct.pack(f"<{len(value)}i", *value)
    if kind == "ARRAY":
        return _array(value)
    tag, code = _SCALARS[kind]
    return struct.pack("<I", tag) + struct.pack(code, value)


def _array(values: list[Any]) -> bytes:
    first = values[0]
    if isinstance(first, str):
        return _value("STRINGS", values)
    if isinstance(first, bool):
        return struct.pack("<IIQ", 9, 7, len(values)) + struct.pack(f"<{len(values)}?", *values)
    if isinstance(first, float):
        return struct.pack("<IIQ", 9, 6, len(values)) + struct.pack(f"<{len(values)}f", *values)
    return _value("INTS", values)


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
