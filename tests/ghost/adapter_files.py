"""Adapters on disk with real names and shapes and no training: sparse files, one value set in each B."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from plimsoll.core.lora_modules import offered
from plimsoll.core.peft_rules import slots
from plimsoll.domain.model import Model
from plimsoll.parse.adapter import adapter_from_peft
from plimsoll.parse.safetensors import SafetensorsHeader

Tensor = tuple[str, tuple[int, ...]]
PREFIX = "base_model.model."


def write_safetensors(
    path: Path, tensors: Iterable[Tensor], *, width: int = 2, is_zero: bool = False
) -> None:
    """A file with these tensors in bf16 (or f32 with width 4), its holes left to the file system."""
    header, at, marks = {}, 0, []
    for name, shape in tensors:
        size = width
        for dim in shape:
            size *= dim
        header[name] = {
            "dtype": "BF16" if width == 2 else "F32", "shape": list(shape), "data_offsets": [at, at + size],
        }  # fmt: skip
        if "lora_B" in name or "embedding_B" in name:
            marks.append(at)
        at += size
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        start = file.tell()
        for mark in [] if is_zero else marks:
            file.seek(start + mark)
            file.write(b"\x80\x3f")
        file.truncate(start + at)


def write_adapter(folder: Path, model: Model, config: Mapping[str, Any], *, is_zero: bool = False) -> Path:
    """What PEFT would save for this model and this LoraConfig."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": model.id, "r": 16,
        "lora_alpha": 32, **config,
    }  # fmt: skip
    bare = SafetensorsHeader(name="", tensors=(), metadata={}, size_bytes=8, file_bytes=8)
    made = slots(adapter_from_peft(settings, bare, id=folder.name), offered(model), model.architecture)
    tensors: list[Tensor] = []
    for slot in made.values():
        a, b = (
            ("lora_embedding_A", "lora_embedding_B")
            if slot.is_embedding
            else ("lora_A.weight", "lora_B.weight")
        )
        tensors += [(f"{PREFIX}{slot.module}.{a}", slot.a), (f"{PREFIX}{slot.module}.{b}", slot.b)]
    write_safetensors(folder / "adapter_model.safetensors", tensors, is_zero=is_zero)
    (folder / "adapter_config.json").write_text(json.dumps(settings, indent=1))
    return folder
