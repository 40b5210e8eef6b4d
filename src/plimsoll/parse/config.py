"""config.json becomes a Model."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from plimsoll.domain.model import Model, TensorSpec
from plimsoll.domain.origin import Origin
from plimsoll.errors import UnsupportedArchitecture
from plimsoll.formulas.formats import tensor_bytes
from plimsoll.parse.families import FAMILIES
from plimsoll.parse.families.blocks import Layout, Row
from plimsoll.parse.keys import Keys

_DTYPES = {"bfloat16": "bf16", "float16": "f16", "float32": "f32", "float8_e4m3fn": "fp8_e4m3"}


def model_from_config(
    config: Mapping[str, Any], *, id: str, revision: str = "", where: str = "config.json", kind: str = "file"
) -> Model:
    """Build the Model that a config describes, with its tensor table in the base dtype.

    Raises UnsupportedArchitecture for a model_type without a family file, MissingConfigKey and
    MalformedConfig for keys that are absent or impossible.
    """
    keys = Keys(config, where)
    model_type = keys.text("model_type")
    if model_type not in FAMILIES:
        raise UnsupportedArchitecture(f"model_type {model_type!r} is not known", where=where)
    family = importlib.import_module(f"plimsoll.parse.families.{FAMILIES[model_type]}")
    layout: Layout = family.build(keys)
    dtype = _DTYPES.get(keys.text("dtype", "torch_dtype", default="bfloat16"), "bf16")
    return Model(
        id=id, revision=revision, architecture=model_type, layers=layout.layers,
        tensors=tuple(tensor(row, dtype) for row in layout.rows), naming="hf", weight_format=dtype,
        hidden_dim=layout.hidden_dim, vocab_size=layout.vocab_size,
        trained_context_tokens=layout.trained_context_tokens, rope=layout.rope,
        has_tied_embeddings=layout.has_tied_embeddings, unread_keys=keys.unread(), notes=layout.notes,
        origins={"config": Origin(kind="catalog" if kind == "catalog" else "file", where=where)},
    )  # fmt: skip


def tensor(row: Row, dtype: str) -> TensorSpec:
    """A row in its own dtype, or the model's."""
    format_name = row.dtype or dtype
    return TensorSpec(
        name=row.name, shape=row.shape, format=format_name, size_bytes=tensor_bytes(format_name, row.shape),
        role=row.role, layer=row.layer, experts_count=row.experts_count,
        is_input_major=row.is_input_major, is_buffer=row.is_buffer,
    )  # fmt: skip
