"""A checkpoint: the config says what the layers are, the headers say what is really in the files."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from plimsoll.domain.model import Model, QuantSpec, TensorSpec
from plimsoll.domain.origin import Origin
from plimsoll.errors import MalformedConfig
from plimsoll.parse.checkpoint_names import OUTSIDE, is_beside_matrix, layer_of, role_of, stem_of
from plimsoll.parse.config import model_from_config
from plimsoll.parse.safetensors import StoredTensor

_PACKED_WORDS = {"i32": 32, "u32": 32, "i16": 16, "u8": 8, "i8": 8}


class _Packing(NamedTuple):
    """How a checkpoint packs values into words: AWQ along the outputs, all others along the inputs."""

    bits: int | None
    format: str
    packs_outputs: bool


_FLOATS = frozenset({"f64", "f32", "f16", "bf16", "fp8_e4m3", "fp8_e5m2"})


def model_from_checkpoint(
    config: Mapping[str, Any], stored: Sequence[StoredTensor], *, id: str, revision: str = "",
    where: str = "config.json", files: str = "model.safetensors",
) -> Model:  # fmt: skip
    """The Model whose layers `config` describes and whose tensors are those in the files.

    A packed quantised matrix keeps its stored bytes and shows its logical shape, so that parameters
    are counted as parameters; scales and zero points count as buffers. Raises MalformedConfig where
    the config contradicts the headers, and whatever `model_from_config` raises.
    """
    model = model_from_config(config, id=id, revision=revision, where=where)
    expected = {stem_of(t.name): t for t in model.tensors}
    prefix = _prefix(stored, expected)
    packing = _packing(model.quantisation, config)
    notes = list(model.notes)
    rows = tuple(_spec(row, expected, prefix, len(model.layers), packing) for row in stored)
    _refuse_contradictions(model, stored, rows, expected, prefix, where, files)
    unpacked = [r.name for r, s in zip(rows, stored, strict=True) if _looks_packed(s) and r.shape == s.shape]
    if unpacked:
        notes.append(f"{len(unpacked)} packed tensors of unknown width are counted as stored: {unpacked[0]}")
    return replace(
        model, tensors=rows, weight_format=_weight_format(model, rows), notes=tuple(notes),
        origins={**model.origins, "tensors": Origin(kind="file", where=files)},
    )  # fmt: skip


def _prefix(stored: Iterable[StoredTensor], expected: Mapping[str, TensorSpec]) -> str:
    """What multimodal checkpoints put before the language model's names ('language_model.')."""
    tails = {name.split(".", 1)[-1] if name.startswith("model.") else name: name for name in expected}
    votes: Counter[str] = Counter()
    for row in stored:
        stem = stem_of(row.name)
        if stem in expected:
            return ""
        for start in ("language_model.", "model.language_model.", "language_model.model.", "thinker."):
            rest = stem.removeprefix(start)
            if rest != stem and (rest in expected or rest in tails):
                votes[start] += 1
    return votes.most_common(1)[0][0] if votes else ""


def _plain(name: str, expected: Mapping[str, TensorSpec], prefix: str) -> str:
    """The stem as `model_from_config` names it."""
    stem = stem_of(name)
    if prefix and stem.startswith(prefix):
        rest = stem.removeprefix(prefix)
        return rest if rest in expected else f"model.{rest}"
    return stem


def _spec(
    row: StoredTensor, expected: Mapping[str, TensorSpec], prefix: str, layers_count: int, packing: _Packing
) -> TensorSpec:
    beside = is_beside_matrix(row.name)
    known = None if beside else expected.get(_plain(row.name, expected, prefix))
    role = known.role if known else role_of(row.name)
    layer = None if role in OUTSIDE else layer_of(row.name)
    if layer is not None and layer >= layers_count:
        role = "mtp"
    shape, format_name = (row.shape, row.format) if beside else _logical(row, known, packing)
    stacked = role == "expert" and not re.search(r"\.experts\.\d+\.", row.name) and len(shape) > 1
    return TensorSpec(
        name=row.name, shape=shape, format=format_name, size_bytes=row.size_bytes, role=role, layer=layer,
        experts_count=shape[0] if stacked else 0, is_input_major=bool(known and known.is_input_major),
        is_buffer=beside or bool(known and known.is_buffer),
    )  # fmt: skip


def _looks_packed(row: StoredTensor) -> bool:
    return row.format in _PACKED_WORDS and not is_beside_matrix(row.name) and stem_of(row.name) != row.name


def _logical(row: StoredTensor, known: TensorSpec | None, packing: _Packing) -> tuple[tuple[int, ...], str]:
    """The shape in values and the format of a matrix; packed words hold several values each."""
    if not _looks_packed(row):
        return row.shape, row.format
    word, bits, shape = _PACKED_WORDS[row.format], packing.bits, row.shape
    if row.name.endswith("_blocks") and len(shape) == 4:
        # mxfp4: (experts, out, groups, bytes), two values to a byte.
        return (*shape[:2], shape[2] * shape[3] * 2), "mxfp4"
    if row.name.endswith(".trellis") and len(shape) == 3:
        return (shape[1] * 16, shape[0] * 16), packing.format
    if bits is None or bits == word or not shape:
        return shape, row.format
    if known is not None and known.elements_count * bits == row.size_bytes * 8:
        return known.shape, packing.format
    values = math.prod(shape) * word // bits
    if len(shape) == 2 and shape[1] > 1 and row.name.endswith(".qweight"):
        first = shape[0] if packing.packs_outputs else shape[0] * word // bits
        return (values // max(first, 1), first), packing.format
    return (*shape[:-1], shape[-1] * word // bits), packing.format


def _packing(quantisation: QuantSpec | None, config: Mapping[str, Any]) -> _Packing:
    """Bits per value and the format's name, as the quantisation says, understood or raw."""
    if quantisation is None:
        raw = _raw_bits(config)
        return _Packing(raw, f"int{raw}", False)
    method, bits = quantisation.method, quantisation.bits
    whole = round(bits) if bits == round(bits) else None
    named = {"nvfp4": "nvfp4", "mxfp4": "mxfp4", "bnb_nf4": "nf4", "mlx": f"mlx_{whole}"}
    if method.startswith("exl"):
        named[method] = f"{method}_{bits:g}"
    return _Packing(whole, named.get(method, f"int{whole}"), method == "awq")


def _raw_bits(config: Mapping[str, Any]) -> int | None:
    section = config.get("quantization_config") or config.get("quantization")
    if not isinstance(section, Mapping):
        return None
    candidates = (section.get("bits"), section.get("w_bit"), section.get("num_bits"))
    return next(
        (c for c in candidates if isinstance(c, int) and not isinstance(c, bool) and 1 <= c <= 16), None
    )


def _refuse_contradictions(
    model: Model, stored: Sequence[StoredTensor], rows: Sequence[TensorSpec],
    expected: Mapping[str, TensorSpec], prefix: str, where: str, files: str,
) -> None:  # fmt: skip
    """The number of layers, and the shape of every matrix that both sides name."""
    for row, spec in zip(stored, rows, strict=True):
        known = expected.get(_plain(row.name, expected, prefix))
        if known is None or spec.is_buffer or row.format not in _FLOATS or row.shape == known.shape:
            continue
        keys = " (vocab_size, hidden_size)" if known.role in ("embedding", "output") else ""
        raise MalformedConfig(
            f"makes {known.name} {list(known.shape)}{keys}, but {files} holds {list(row.shape)}", where=where
        )
    found = {spec.layer for spec in rows if spec.layer is not None and spec.role != "mtp"}
    beyond = {spec.layer for spec in rows if spec.role == "mtp" and spec.layer is not None}
    count = len(model.layers)
    missing = sorted(set(range(count)) - found)
    if found and missing:
        raise MalformedConfig(
            f"describes {count} layers, but {files} holds nothing of layer {missing[0]}", where=where
        )
    drafts = max(beyond, default=count - 1) + 1 - count
    if drafts > 4:
        raise MalformedConfig(f"describes {count} layers, but {files} holds {count + drafts}", where=where)


def _weight_format(model: Model, rows: Sequence[TensorSpec]) -> str:
    """The quantisation's name, else the format that holds most bytes."""
    if model.quantisation is not None:
        return model.weight_format
    sizes: Counter[str] = Counter()
    for row in rows:
        sizes[row.format] += row.size_bytes
    return sizes.most_common(1)[0][0] if sizes else model.weight_format
