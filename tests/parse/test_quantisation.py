"""Each dialect of quantization_config, as its publishers write it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plimsoll.domain.model import QuantSpec
from plimsoll.errors import ReadError
from plimsoll.formulas.quantisation import METHODS, apply
from plimsoll.parse.config import model_from_config
from plimsoll.parse.keys import Keys
from plimsoll.parse.quantisation import read_quantisation

FIXTURES = Path(__file__).parent.parent / "fixtures" / "models"


def read(section: dict[str, Any], name: str = "quantization_config") -> tuple[QuantSpec | None, str]:
    return read_quantisation(Keys({name: section}))


def spec_of(section: dict[str, Any]) -> QuantSpec:
    spec, _ = read(section)
    assert spec is not None
    assert spec.method in METHODS
    return spec


def group(weights: dict[str, Any], inputs: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A compressed-tensors section with one group over all linear layers."""
    return {
        "quant_method": "compressed-tensors", "ignore": ["lm_head"],
        "config_groups": {"g": {"targets": ["Linear"], "weights": weights, "input_activations": inputs}},
        **more,
    }  # fmt: skip


FP8 = {"num_bits": 8, "type": "float", "symmetric": True}


@pytest.mark.parametrize(
    ("section", "method", "bits", "group_size", "name"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8_block", 8, None, "fp8"),
        ({"quant_method": "fp8", "weight_block_size": None}, "fp8_tensor", 8, None, "fp8"),
        ({"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0}, "fp8_channel", 8, None, "fp8"),
        ({"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}, "awq", 4, 128, "awq"),
        ({"quant_method": "awq", "w_bit": 4, "q_group_size": 64, "version": "gemm"}, "awq", 4, 64, "awq"),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1, "desc_act": True}, "gptq", 8, None, "gptq"),
        (group({**FP8, "strategy": "channel"}, {"dynamic": True}), "fp8_channel", 8, None, "fp8"),
        (group({**FP8, "strategy": "tensor"}, {"dynamic": False}), "fp8_tensor", 8, None, "fp8"),
        (group({**FP8, "strategy": "block", "block_structure": [128, 128]}), "fp8_block", 8, None, "fp8"),
        (group({"num_bits": 8, "strategy": "channel"}, {"num_bits": 8}), "w8a8", 8, None, "w8a8"),
        (group({"num_bits": 4, "type": "int", "group_size": 32}), "w4a16", 4, 32, "w4a16"),
        (group({"num_bits": 4, "type": "float", "group_size": 16}, {}), "nvfp4", 4, 16, "nvfp4"),
        (group({"num_bits": 4, "type": "float", "group_size": 32}), "mxfp4", 4, 32, "mxfp4"),
        ({"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}, "mxfp4", 4, 32, "mxfp4"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 16}, "nvfp4", 4, 16, "nvfp4"),
        ({"quant_algo": "FP8", "producer": {"name": "modelopt"}}, "fp8_tensor", 8, None, "fp8"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bnb_nf4", 4, 64, "bnb_nf4"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bnb_int8", 8, None, "bnb_int8"),
        ({"quant_method": "exl3", "bits": 4.25, "head_bits": 6}, "exl3", 4.25, None, "exl3-4.25bpw"),
        ({"quant_method": "exl2", "bits": 5.0, "head_bits": 8}, "exl2", 5, None, "exl2-5bpw"),
        (
            {"quant_method": "auto-round", "group_size": 128, "packing_format": "auto_round:auto_gptq"},
            "gptq", 4, 128, "gptq",
        ),
    ],
)  # fmt: skip
def test_dialects(
    section: dict[str, Any], method: str, bits: float, group_size: int | None, name: str
) -> None:
    spec, short = read(section)
    assert spec is not None
    assert (spec.method, spec.bits, spec.group_size, short) == (method, bits, group_size, name)
    assert spec.method in METHODS


def test_mlx_has_a_section_of_its_own() -> None:
    spec, name = read({"group_size": 64, "bits": 4, "model.layers.0.mlp.gate": False}, "quantization")
    assert spec is not None
    assert (spec.method, spec.bits, spec.group_size, spec.skipped) == (
        "mlx",
        4,
        64,
        ("model.layers.0.mlp.gate",),
    )
    assert name == "mlx-4bit"


def test_zero_points_and_act_order() -> None:
    assert spec_of({"quant_method": "awq", "bits": 4, "group_size": 128}).has_zero_points
    gptq = spec_of({"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": False, "desc_act": True})
    assert (gptq.has_zero_points, gptq.has_act_order) == (True, True)
    packed = spec_of(group({"num_bits": 4, "symmetric": False, "group_size": 128, "actorder": "group"}))
    assert (packed.has_zero_points, packed.has_act_order) == (True, True)
    assert not spec_of(group({"num_bits": 4, "group_size": 128, "actorder": "weight"})).has_act_order


def test_static_activations_have_scales_and_weight_only_ones_none() -> None:
    assert spec_of({"quant_method": "fp8", "activation_scheme": "static"}).details["activation"] == "static"
    assert spec_of(group({"num_bits": 4, "type": "float", "group_size": 16})).details["activation"] == "none"


def test_gptq_rules_that_leave_modules_out_are_skips() -> None:
    section = {"quant_method": "gptq", "bits": 4, "group_size": 128, "dynamic": {r"-:.*\.gate": {}}}
    assert spec_of(section).skipped == (r"re:.*.*\.gate",)


@pytest.mark.parametrize(
    "section",
    [
        {"quant_method": "aqlm"},
        {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": {"a": {}}},
        {"quant_method": "compressed-tensors", "config_groups": {"group_0": {}, "group_1": {}}},
        group({"num_bits": 4, "group_size": 128}) | {"config_groups": {"g": {"targets": ["re:.*experts.*"]}}},
        {
            "quant_method": "compressed-tensors",
            "config_groups": {"g": {"targets": ["LlamaAttention"], "weights": {"num_bits": 8}}},
        },
        {"quant_method": "auto-round", "bits": 4, "packing_format": "auto_round:llm_compressor"},
    ],
)
def test_what_one_specification_cannot_say_is_named_and_not_guessed(section: dict[str, Any]) -> None:
    spec, name = read(section)
    assert spec is None
    assert name


def test_gptq_rules_may_change_the_width_of_some_modules() -> None:
    section = {"quant_method": "gptq", "bits": 4, "group_size": 32, "dynamic": {r"+:.*\.18\..*": {"bits": 8}}}
    spec = spec_of(section)
    assert (spec.bits, spec.group_size, spec.targets) == (8, 32, (r"re:.*.*\.18\..*",))
    assert [(rest.bits, rest.targets) for rest in spec.others] == [(4, ())]


def test_several_config_groups_are_several_formats_and_linear_takes_what_is_left() -> None:
    section = {
        "quant_method": "compressed-tensors",
        "config_groups": {
            "group_0": {"targets": ["Linear"], "weights": {**FP8, "strategy": "channel"}},
            "group_1": {"targets": ["re:.*mlp.experts.*"], "weights": {"num_bits": 4, "group_size": 32}},
        },
    }
    spec, name = read(section)
    assert spec is not None
    assert (spec.method, spec.targets) == ("w4a16", ("re:.*mlp.experts.*",))
    assert [(rest.method, rest.targets) for rest in spec.others] == [("fp8_channel", ())]
    assert name == "w4a16"


def test_mlx_modules_of_another_width() -> None:
    spec, name = read({"group_size": 64, "bits": 4, "lm_head": {"group_size": 64, "bits": 6}}, "quantization")
    assert spec is not None
    assert (spec.bits, spec.targets, spec.others[0].bits) == (6, ("lm_head",), 4)
    assert name == "mlx-4bit"


@pytest.mark.parametrize(
    ("published", "ours"),
    [
        ("language_model.model.layers.0.self_attn*", "model.language_model.layers.0.self_attn*"),
        ("model.layers.3.mlp.experts.7.up_proj", "model.layers.3.mlp.experts.gate_up_proj"),
        ("model.layers.3.mlp.experts.7.w2", "model.layers.3.mlp.experts.down_proj"),
        (r"re:.*mlp\.experts\.\d+\.down_proj", r"re:.*mlp\.experts\.down_proj"),
    ],
)
def test_modules_are_found_under_the_names_of_the_table(published: str, ours: str) -> None:
    section = group({"num_bits": 4, "group_size": 32}, ignore=[published])
    assert {ours, published} <= set(spec_of(section).skipped)


def test_mixed_precision_of_qwen_3_6_stores_what_was_published() -> None:
    """nvidia/Qwen3.6-27B-NVFP4: FP8 in the mixers, NVFP4 in the rest, 18,164,649,200 values on the Hub
    (as recorded in PyPI llmfit 1.1.17), which counts two NVFP4 values as one, no scales, no MTP layer."""
    config = json.loads((FIXTURES / "qwen3_5.json").read_text())["config"]
    layers: dict[str, Any] = {"lm_head": {"quant_algo": "W4A16_NVFP4", "group_size": 16}}
    for i in range(64):
        at = f"model.language_model.layers.{i}"
        mixer = ("self_attn", "qkvo") if i % 4 == 3 else ("linear_attn", "")
        names = [f"{x}_proj" for x in mixer[1]] or ["in_proj_qkv", "in_proj_z", "out_proj"]
        layers |= {f"{at}.{mixer[0]}.{name}": {"quant_algo": "FP8"} for name in names}
        layers |= {
            f"{at}.mlp.{x}_proj": {"quant_algo": "W4A16_NVFP4", "group_size": 16}
            for x in ("gate", "up", "down")
        }
    section = {
        "quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": layers,
        "ignore": ["mtp*", "mtp.layers.0*"],
    }  # fmt: skip
    model = model_from_config({**config, "quantization_config": section}, id="test")
    assert model.weight_format == "nvfp4"
    assert model.quantisation is not None
    stored = [t for t in apply(model.tensors, model.quantisation) if not t.is_buffer and t.role != "mtp"]
    halves = sum(t.elements_count // 2 if t.format == "nvfp4" else t.elements_count for t in stored)
    assert halves == 18_164_649_200


def test_a_model_says_that_its_quantisation_is_not_understood() -> None:
    config = json.loads((FIXTURES / "qwen3-tied.json").read_text())["config"]
    model = model_from_config({**config, "quantization_config": {"quant_method": "aqlm"}}, id="test")
    assert (model.quantisation, model.weight_format) == (None, "aqlm")
    assert any("aqlm" in note for note in model.notes)


def test_no_section_is_no_quantisation() -> None:
    assert read_quantisation(Keys({})) == (None, "")
    assert read_quantisation(Keys({"quantization_config": None})) == (None, "")


def test_the_text_part_may_hold_the_section() -> None:
    section = group({"num_bits": 4, "group_size": 32})
    spec, name = read_quantisation(Keys({"text_config": {"quantization_config": section}}))
    assert name == "w4a16"
    assert spec is not None
    assert spec.group_size == 32


@pytest.mark.parametrize(
    "section",
    [
        {"quant_method": "fp8", "weight_block_size": [0, 128]},
        {"quant_method": "fp8", "modules_to_not_convert": "lm_head"},
        {"quant_method": "gptq", "bits": -4},
        {"quant_method": "gptq", "bits": 4, "group_size": 0.5},
        {"quant_method": "exl3"},
        {"quant_method": "exl3", "bits": float("nan")},
        {"bits": 4, "group_size": "64"},
        {"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 17},
        group({"num_bits": 4, "group_size": 32}, ignore=["re:(a+)+$"]),
        group({"num_bits": 4, "group_size": 32}, ignore=["re:(unclosed"]),
        group({"num_bits": 4, "group_size": 32}, ignore=["re:.*.*.*.*.*x"]),
    ],
)
def test_impossible_values_are_refused(section: dict[str, Any]) -> None:
    with pytest.raises(ReadError):
        read(section)


@pytest.mark.parametrize(
    ("name", "stored_count"),
    [
        # safetensors totals shown by huggingface.co, as recorded in PyPI llmfit 1.1.17, of
        ("qwen3_moe-fp8", 30_533_947_392),  # Qwen/Qwen3-30B-A3B-FP8
        ("mistral3-ministral3", 24_011_361_840),  # mistralai/Devstral-Small-2-24B-Instruct-2512
        ("deepseek_v3", 684_531_386_000),  # deepseek-ai/DeepSeek-V3 (the fixture is R1's, of the same shape)
        ("deepseek_v32", 685_396_921_376),  # deepseek-ai/DeepSeek-V3.2-Exp
        ("minimax_m2", 228_703_644_928),  # MiniMaxAI/MiniMax-M2.5
    ],
)
def test_stored_values_equal_the_published_total_scales_included(name: str, stored_count: int) -> None:
    """The Hub counts every stored value of an FP8 checkpoint, the scales too."""
    fixture = json.loads((FIXTURES / f"{name}.json").read_text())
    model = model_from_config(fixture["config"], id=fixture["id"])
    assert model.quantisation is not None
    assert sum(t.elements_count for t in apply(model.tensors, model.quantisation)) == stored_count


def test_deepseek_v4_holds_its_experts_in_four_bits() -> None:
    """17 of 32 bytes' worth: half a byte a value and one scale for each 32."""
    config = json.loads((FIXTURES / "deepseek_v4.json").read_text())["config"]
    model = model_from_config(config, id="x")
    assert model.quantisation is not None
    stored = {t.name: t for t in apply(model.tensors, model.quantisation)}
    plain = next(t for t in model.tensors if t.name.endswith("layers.5.mlp.experts.gate_up_proj"))
    packed = [t for name, t in stored.items() if name.startswith(plain.name)]
    assert sum(t.size_bytes for t in packed) == plain.elements_count * 17 // 32
    assert any(t.format == "fp8_e4m3" for t in stored.values())
