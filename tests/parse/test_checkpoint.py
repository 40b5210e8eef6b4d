"""A config and the headers of its files become one Model."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from plimsoll.domain.model import Model, TensorSpec
from plimsoll.errors import MalformedConfig
from plimsoll.formulas.formats import tensor_bytes
from plimsoll.formulas.quantisation import apply
from plimsoll.formulas.weights import active_parameters_count, parameters_count
from plimsoll.parse.checkpoint import model_from_checkpoint
from plimsoll.parse.config import model_from_config
from plimsoll.parse.safetensors import StoredTensor

LLAMA: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 256, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 512, "num_hidden_layers": 2, "vocab_size": 1000, "torch_dtype": "bfloat16",
    "max_position_embeddings": 4096,
}  # fmt: skip
FIXTURES = Path(__file__).parent.parent / "fixtures" / "models"


def fixture(name: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text())["config"]
    return config


def stored(tensors: Iterable[TensorSpec]) -> list[StoredTensor]:
    return [StoredTensor(t.name, t.shape, t.format, t.size_bytes, 0) for t in tensors]


def read(config: dict[str, Any], rows: list[StoredTensor]) -> Model:
    return model_from_checkpoint(
        config, rows, id="x", where="repo/config.json", files="repo/model.safetensors"
    )


def without(rows: list[StoredTensor], part: str) -> list[StoredTensor]:
    return [r for r in rows if part not in r.name]


def test_an_unquantised_checkpoint_gives_the_table_of_its_config() -> None:
    plain = model_from_config(LLAMA, id="x")
    found = read(LLAMA, stored(plain.tensors))
    assert found.tensors == plain.tensors
    assert found.layers == plain.layers
    assert found.weight_format == "bf16"
    assert found.origins["tensors"].where == "repo/model.safetensors"


def _apart(tensor: TensorSpec) -> Iterable[StoredTensor]:
    """Fused experts as the hub's files have them: one tensor per expert and projection."""
    if not tensor.experts_count:
        yield StoredTensor(tensor.name, tensor.shape, tensor.format, tensor.size_bytes, 0)
        return
    stem, _, last = tensor.name.rpartition(".")
    parts = ("gate_proj", "up_proj") if last == "gate_up_proj" else (last,)
    rows, columns = tensor.shape[1] // len(parts), tensor.shape[2]
    for expert in range(tensor.experts_count):
        for part in parts:
            name = f"{stem}.{expert}.{part}.weight"
            yield StoredTensor(name, (rows, columns), tensor.format, rows * columns * 2, 0)


def test_experts_stored_one_by_one_count_as_experts() -> None:
    plain = model_from_config(fixture("qwen3_moe"), id="x")
    found = read(fixture("qwen3_moe"), [row for t in plain.tensors for row in _apart(t)])
    assert len(found.tensors) > 18_000
    assert parameters_count(found.tensors) == 30_532_122_624
    assert active_parameters_count(found.tensors, found.layers) == 3_353_032_704
    assert sum(t.size_bytes for t in found.tensors) == sum(t.size_bytes for t in plain.tensors)


QUANTISED: dict[str, dict[str, Any]] = {
    "awq": {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm"},
    "gptq4": {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True},
    "gptq8": {"quant_method": "gptq", "bits": 8, "group_size": 64, "desc_act": True, "sym": True},
    "fp8": {"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"},
    "nf4": {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": True},
    "w4a16": {"quant_method": "compressed-tensors", "format": "pack-quantized", "ignore": ["lm_head"],
              "config_groups": {"group_0": {"targets": ["Linear"], "weights": {
                  "num_bits": 4, "type": "int", "strategy": "group", "group_size": 128, "symmetric": True}}}},
    "exl3": {"quant_method": "exl3", "bits": 4.0, "head_bits": 6},
}  # fmt: skip


def _as_in_the_file(tensor: TensorSpec, method: str) -> StoredTensor:
    """The packed row behind a logical one, as each format's own writer lays it out."""
    shape, kind = tensor.shape, tensor.format
    if tensor.is_buffer or kind in ("bf16", "f16", "f32", "fp8_e4m3"):
        pass
    elif tensor.name.endswith(".qweight"):
        out, into = shape
        bits = int(kind.removeprefix("int"))
        shape, kind = ((into, out * bits // 32) if method == "awq" else (into * bits // 32, out)), "i32"
    elif tensor.name.endswith(".weight_packed"):
        shape, kind = (shape[0], shape[1] // 8), "i32"
    elif kind == "nf4":
        shape, kind = (math.prod(shape) // 2, 1), "u8"
    elif tensor.name.endswith(".trellis"):
        shape, kind = (shape[1] // 16, shape[0] // 16, tensor.size_bytes * 8 // math.prod(shape) * 16), "i16"
    assert tensor_bytes(kind, shape) == tensor.size_bytes, tensor
    return StoredTensor(tensor.name, shape, kind, tensor.size_bytes, 0)


@pytest.mark.parametrize("method", QUANTISED)
def test_a_packed_checkpoint_is_understood_as_what_was_quantised(method: str) -> None:
    config = {**LLAMA, "quantization_config": QUANTISED[method]}
    plain = model_from_config(config, id="x")
    assert plain.quantisation is not None
    table = apply(plain.tensors, plain.quantisation)
    assert len(table) > len(plain.tensors)
    found = read(config, [_as_in_the_file(t, plain.quantisation.method) for t in table])
    assert [t for t in found.tensors if not t.is_buffer] == [t for t in table if not t.is_buffer]
    assert [(t.name, t.size_bytes, t.is_buffer) for t in found.tensors] == [
        (t.name, t.size_bytes, t.is_buffer) for t in table
    ]
    assert parameters_count(found.tensors) == parameters_count(plain.tensors)
    assert found.weight_format == plain.weight_format
    assert not any("unknown width" in note for note in found.notes)


def test_mxfp4_experts() -> None:
    config = fixture("gpt_oss") | {"quantization_config": {"quant_method": "mxfp4"}}
    plain = model_from_config(config, id="x")
    rows = []
    for t in plain.tensors:
        if t.experts_count and not t.name.endswith("bias"):
            experts, into, out = t.shape
            rows.append(
                StoredTensor(
                    f"{t.name}_blocks", (experts, out, into // 32, 16), "u8", experts * out * into // 2, 0
                )
            )
            rows.append(
                StoredTensor(
                    f"{t.name}_scales", (experts, out, into // 32), "u8", experts * out * into // 32, 0
                )
            )
        else:
            rows.append(StoredTensor(t.name, t.shape, t.format, t.size_bytes, 0))
    found = read(config, rows)
    assert parameters_count(found.tensors) == 116_829_156_672
    assert active_parameters_count(found.tensors, found.layers) == 5_711_982_912
    assert found.weight_format == "mxfp4"


def test_towers_beside_the_language_model_have_no_layer_of_it() -> None:
    rows = [
        StoredTensor("vision_tower.blocks.77.attn.qkv.weight", (8, 8), "bf16", 128, 0),
        StoredTensor("multi_modal_projector.linear.weight", (8, 8), "bf16", 128, 0),
        *stored(model_from_config(LLAMA, id="x").tensors),
    ]
    found = {t.name: t for t in read(LLAMA, rows).tensors}
    assert (found[rows[0].name].role, found[rows[0].name].layer) == ("vision", None)
    assert found[rows[1].name].role == "projector"


def test_the_prefix_of_multimodal_files_is_seen_through() -> None:
    plain = model_from_config(LLAMA, id="x")
    rows = [r._replace(name=f"language_model.{r.name}") for r in stored(plain.tensors)]
    assert [(t.role, t.layer) for t in read(LLAMA, rows).tensors] == [
        (t.role, t.layer) for t in plain.tensors
    ]
    with pytest.raises(MalformedConfig, match="embed_tokens"):
        read({**LLAMA, "vocab_size": 999}, rows)


def test_a_draft_layer_beyond_the_last_is_mtp() -> None:
    rows = stored(model_from_config(LLAMA, id="x").tensors)
    rows.append(StoredTensor("model.layers.2.self_attn.q_proj.weight", (256, 256), "bf16", 131072, 0))
    found = read(LLAMA, rows)
    assert found.tensors[-1].role == "mtp"
    assert len(found.layers) == 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hidden_size": 512}, r"embed_tokens.*\[1000, 512\].*hidden_size.*repo/model.*\[1000, 256\]"),
        ({"vocab_size": 1001}, r"\[1001, 256\].*vocab_size.*\[1000, 256\]"),
        ({"intermediate_size": 384}, r"mlp\.gate_proj\.weight \[384, 256\].*\[512, 256\]"),
        ({"num_key_value_heads": 4}, r"k_proj\.weight \[256, 256\].*\[128, 256\]"),
        ({"num_hidden_layers": 3}, r"3 layers.*nothing of layer 2"),
    ],
)  # fmt: skip
def test_a_config_that_contradicts_the_header_is_refused_naming_both(
    change: dict[str, int], says: str
) -> None:
    rows = stored(model_from_config(LLAMA, id="x").tensors)
    with pytest.raises(MalformedConfig, match=says) as caught:
        read({**LLAMA, **change}, rows)
    assert caught.value.where == "repo/config.json"


def test_many_more_layers_in_the_files_than_in_the_config_are_refused() -> None:
    rows = stored(model_from_config({**LLAMA, "num_hidden_layers": 12}, id="x").tensors)
    with pytest.raises(MalformedConfig, match=r"describes 2 layers, but .* holds 12"):
        read(LLAMA, rows)


def test_packed_words_of_unknown_width_are_noted() -> None:
    rows = stored(model_from_config(LLAMA, id="x").tensors)
    at = next(i for i, r in enumerate(rows) if r.name.endswith("mlp.up_proj.weight"))
    rows[at] = StoredTensor("model.layers.0.mlp.up_proj.qweight", (32, 512), "i32", 65536, 0)
    assert "unknown width" in read(LLAMA, rows).notes[-1]
