"""What a training run writes: the adapter's file to the byte, checkpoints, the prepared data."""

from __future__ import annotations

import json

from plimsoll.core.training import trained_type_bytes
from plimsoll.domain.model import Model
from plimsoll.domain.training import Attachment, DiskLine, TrainingSetup
from plimsoll.formulas import training as formulas

_KEPT_CHECKPOINTS = 2
_TYPES = {4: "F32", 2: "BF16", 1: "F8_E4M3"}


def adapter_file_bytes(found: Attachment, setup: TrainingSetup) -> int:
    """adapter_model.safetensors as PEFT writes it; 0 where nothing but whole parameters trains.

    Source: peft 0.21.2, utils/save_and_load.py (names below 'base_model.model.'); the format of safetensors
    0.8.0: 8 bytes of length, a JSON header padded to 8, the tensors."""
    if not found.pairs:
        return 0
    size = trained_type_bytes(setup)
    tensors: list[tuple[str, list[int]]] = []
    for pair in found.pairs:
        many = max(1, pair.experts_count) * pair.rank
        name = f"base_model.model.{pair.module}"
        tensors.append((f"{name}.lora_A.weight", [many, pair.inputs]))
        tensors.append((f"{name}.lora_B.weight", [pair.outputs, many]))
        if found.magnitudes_count:
            tensors.append((f"{name}.lora_magnitude_vector", [pair.outputs]))
    return formulas.safetensors_bytes(**file_inputs(tensors, size))


def file_inputs(tensors: list[tuple[str, list[int]]], value_bytes: int) -> dict[str, int]:
    """Lengths of the header and of the tensors."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, shape in sorted(tensors):
        size = value_bytes
        for dim in shape:
            size *= dim
        header[name] = {"dtype": _TYPES[value_bytes], "shape": shape, "data_offsets": [at, at + size]}
        at += size
    return {"header_bytes": len(json.dumps(header, separators=(",", ":"))), "tensors_bytes": at}


def prepared_bytes(tokens_count: int) -> int:
    """Tokenised data on disk: 4 bytes for the id and 1 for the mask of each token, 8 for its label.

    Source: datasets 5.1, arrow_writer.py (OptimizedTypedSequence: input_ids int32, attention_mask int8);
    labels are plain Python integers, which Arrow keeps in 64 bits."""
    return 13 * tokens_count


def optimizer_file_bytes(values_count: int, state_bytes: int) -> int:
    """optimizer.pt of a checkpoint: both moments of every trained value: 2 x values x bytes."""
    return 2 * values_count * state_bytes


def disk(model: Model, setup: TrainingSetup, found: Attachment, tokens_count: int) -> tuple[DiskLine, ...]:
    """Every file of the run: the model as published, the data, checkpoints (two are kept), the result."""
    stored = sum(t.size_bytes for t in model.tensors)
    file_bytes = adapter_file_bytes(found, setup)
    size = trained_type_bytes(setup)
    whole = formulas.plain_bytes(found.whole_values_count, setup.value_bytes)
    lines = [
        DiskLine(
            label="the model as published", size_bytes=stored, count=1, formula="formulas.weights:sum_bytes"
        ),
        DiskLine(
            label="prepared data",
            size_bytes=prepared_bytes(tokens_count),
            count=1,
            formula="core.training_disk:prepared_bytes",
            inputs={"tokens_count": tokens_count},
        ),
        DiskLine(
            label="weights of a checkpoint",
            size_bytes=file_bytes or whole,
            count=_KEPT_CHECKPOINTS,
            formula="formulas.training:safetensors_bytes" if file_bytes else "formulas.training:plain_bytes",
        ),
        DiskLine(
            label="optimiser of a checkpoint",
            size_bytes=optimizer_file_bytes(
                found.trained_values_count,
                1 if "8-bit" in setup.optimizer or setup.optimizer.endswith("8bit") else size,
            ),
            count=_KEPT_CHECKPOINTS,
            formula="core.training_disk:optimizer_file_bytes",
            inputs={"values_count": found.trained_values_count, "state_bytes": size},
        ),
    ]
    if setup.method == "full":
        lines[2] = DiskLine(
            label="weights of a checkpoint",
            size_bytes=whole,
            count=_KEPT_CHECKPOINTS,
            formula="formulas.training:plain_bytes",
            inputs={"values_count": found.whole_values_count, "value_bytes": setup.value_bytes},
        )
    return tuple(lines)
