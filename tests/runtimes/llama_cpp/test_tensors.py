"""The GGUF table against what llama.cpp's converter wrote for real configs."""

from __future__ import annotations

import pytest

from plimsoll.domain.model import Model, TensorSpec
from plimsoll.errors import UnsupportedArchitecture
from plimsoll.parse.config import model_from_config
from plimsoll.runtimes.llama_cpp.recipe import quantise
from plimsoll.runtimes.llama_cpp.tensors import gguf_architecture, gguf_tensors
from tests.ghost.stored import converted, converted_ids


def model_of(model_id: str) -> Model:
    return model_from_config(converted(model_id)["config"], id=model_id)


@pytest.mark.parametrize("model_id", converted_ids())
def test_names_shapes_and_types_are_those_of_the_converter(model_id: str) -> None:
    stored = converted(model_id)
    model = model_of(model_id)
    table = quantise(gguf_tensors(model), model, "f16")
    ours = {tensor.name: (tensor.shape, tensor.format) for tensor in table}
    theirs = {name: (tuple(shape), kind) for name, shape, kind in stored["tensors"]}
    assert len(ours) == len(table), "a name twice"
    assert ours == theirs
    assert gguf_architecture(model) == stored["arch"]


def test_at_least_thirty_architectures_are_stored() -> None:
    assert len({converted(model_id)["arch"] for model_id in converted_ids()}) >= 30


def test_draft_layers_stand_after_the_last_layer_and_carry_their_role() -> None:
    model = model_of("Qwen/Qwen3.5-9B")
    drafts = [tensor for tensor in gguf_tensors(model) if tensor.role == "mtp"]
    assert {tensor.layer for tensor in drafts} == {len(model.layers)}
    assert f"blk.{len(model.layers)}.nextn.eh_proj.weight" in {tensor.name for tensor in drafts}


def test_deepseek_v3_files_hold_no_draft_layer() -> None:
    model = model_of("deepseek-ai/DeepSeek-R1")
    assert any(tensor.role == "mtp" for tensor in model.tensors)
    assert all(tensor.role != "mtp" for tensor in gguf_tensors(model))


def test_an_unknown_model_type_is_refused() -> None:
    model = model_of("Qwen/Qwen3-0.6B")
    with pytest.raises(UnsupportedArchitecture, match="never_heard_of"):
        gguf_tensors(with_changes(model, architecture="never_heard_of"))


def test_a_tensor_without_a_gguf_name_is_refused() -> None:
    model = model_of("Qwen/Qwen3-0.6B")
    odd = TensorSpec(
        name="model.layers.0.odd.weight", shape=(2, 2), format="bf16", size_bytes=8, role="other", layer=0
    )
    with pytest.raises(UnsupportedArchitecture, match=r"odd\.weight"):
        gguf_tensors(with_changes(model, tensors=(*model.tensors, odd)))


def with_changes(model: Model, **changes: object) -> Model:
    from dataclasses import replace

    return replace(model, **changes)  # type: ignore[arg-type]
