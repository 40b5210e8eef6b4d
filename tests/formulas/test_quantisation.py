"""Bytes of quantised matrices: layouts by hand, as libraries wrote them, and of whole checkpoints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.ask.models import from_catalog
from plimsoll.domain.model import Model, QuantSpec, Role, TensorSpec
from plimsoll.errors import BadSetting
from plimsoll.formulas.quant_specs import FORMATS, SPECS, named_spec, published, tensors_as
from plimsoll.formulas.quantisation import METHODS, apply, is_skipped
from plimsoll.parse.config import model_from_config

FIXTURES = Path(__file__).parent.parent / "fixtures" / "models"


def read(name: str) -> Model:
    fixture = json.loads((FIXTURES / f"{name}.json").read_text())
    return model_from_config(fixture["config"], id=fixture["id"])


def matrix(out_dim: int, in_dim: int, role: Role = "attention", name: str = "m.q_proj.weight") -> TensorSpec:
    return TensorSpec(
        name=name, shape=(out_dim, in_dim), format="bf16", size_bytes=2 * out_dim * in_dim, role=role, layer=0
    )


def total(tensors: tuple[TensorSpec, ...]) -> int:
    return sum(t.size_bytes for t in tensors)


# A 256 x 512 layer, as compressed-tensors 0.20.0, bitsandbytes 0.50.2 and MLX 0.32.4 stored it.
WRITTEN = [
    ("w4a16", {}, 67_600),
    ("w4a16", {"has_zero_points": True}, 68_112),
    ("fp8_channel", {}, 131_584),
    ("int8", {}, 131_584),
    ("nvfp4", {"details": {"activation": "none"}}, 73_732),
    ("mlx-4bit", {}, 73_728),
    ("mlx-8bit", {}, 139_264),
    ("mlx-6bit", {}, 106_496),
    ("mlx-5bit", {}, 90_112),
    ("mlx-3bit", {}, 57_344),
    ("mlx-2bit-g32", {}, 49_152),
    ("mlx-mxfp4", {}, 69_632),
    ("mlx-nvfp4", {}, 73_728),
    ("mlx-mxfp8", {}, 135_168),
]


@pytest.mark.parametrize(("name", "changes", "size_bytes"), WRITTEN)
def test_layers_as_their_libraries_stored_them(
    name: str, changes: dict[str, object], size_bytes: int
) -> None:
    spec = named_spec(name)
    fields = {f: getattr(spec, f) for f in ("method", "bits", "group_size", "has_zero_points", "details")}
    assert total(apply((matrix(256, 512),), QuantSpec(**{**fields, **changes}))) == size_bytes  # type: ignore[arg-type]


def test_nf4_is_known_but_for_the_digits_of_one_float() -> None:
    # bitsandbytes stored 68,872 bytes; 17 of them were the printed offset, which we take as 18.
    assert abs(total(apply((matrix(256, 512),), named_spec("nf4"))) - 68_872) <= 4


@pytest.mark.parametrize(
    ("name", "size_bytes"),
    [
        ("fp8", 1024 * 300 + 4 * 8 * 3),  # ceil(300 / 128) = 3 columns of scales
        ("awq", 512 * 128 * 4 + 4 * 128 * 4 + 4 * 1024 * 2),
        ("gptq", 64 * 1024 * 4 + 4 * 128 * 4 + 4 * 1024 * 2 + 512 * 4),
        ("bnb_int8", 1024 * 512 + 4 * 1024 + 1),
        ("exl3-4.0bpw", 1024 * 512 // 2 + 2 * 512 + 2 * 1024),
    ],
)
def test_layouts_by_hand(name: str, size_bytes: int) -> None:
    columns = 300 if name == "fp8" else 512
    assert total(apply((matrix(1024, columns),), named_spec(name))) == size_bytes


def test_what_does_not_divide_stays_as_it_is() -> None:
    odd = matrix(1024, 100)
    assert apply((odd,), named_spec("awq")) == (odd,)
    assert apply((odd,), named_spec("nvfp4")) == (odd,)


def test_companions_are_stored_but_are_no_parameters() -> None:
    weight, *rest = apply((matrix(256, 512),), named_spec("awq"))
    assert weight.shape == (256, 512)
    assert not weight.is_buffer
    assert [t.name for t in rest] == ["m.q_proj.qzeros", "m.q_proj.scales"]
    assert all(t.is_buffer for t in rest)


def test_skipping_in_three_dialects() -> None:
    assert is_skipped("model.layers.3.mlp.gate", ("re:.*mlp.gate$",))
    assert is_skipped("model.layers.3.mlp.gate", ("*.mlp.gate",))
    assert is_skipped("model.layers.3.mlp.gate", ("mlp.gate",))
    assert is_skipped("model.layers.3.self_attn.q_proj", ("model.layers.3",))
    assert not is_skipped("model.layers.30.mlp.up_proj", ("model.layers.3", "gate"))
    assert not is_skipped("model.layers.3.mlp.gate_proj", ("gate", "re:.*gate$"))


def test_nvfp4_of_all_linears_counts_what_the_hub_counts() -> None:
    # nvidia/Qwen3-235B-A22B-NVFP4: 132,806,618,624 stored values, which leaves out the two scalars
    # of each of the 36,472 matrices. The 30B model of the family has the same proportions.
    model = read("qwen3_moe")
    table = apply(model.tensors, SPECS["nvfp4"])
    packed = sum(t.size_bytes for t in table if t.format == "nvfp4")
    scales = sum(t.size_bytes for t in table if t.name.endswith("weight_scale"))
    assert packed == 8 * scales
    assert scales * 16 == sum(t.elements_count for t in table if t.format == "nvfp4")


def test_fp8_of_a_published_model() -> None:
    # MiniMax-M2.7 as released (FP8 blocks, f32 scales): 214.34 GiB of files (kaito-project/kaito,
    # model_catalog.yaml); its routers are f32, which the config does not tell: 0.05 %.
    model = read("minimax_m2")
    assert model.quantisation is not None
    assert total(published(model)) / 2**30 == pytest.approx(214.34, rel=0.0006)


def test_gpt_oss_as_released() -> None:
    # openai/gpt-oss-120b: 65,248,815,744 bytes of safetensors tensors (60.77 GiB), experts in MXFP4.
    assert total(published(read("gpt_oss"))) == 65_248_815_744


@pytest.mark.parametrize(
    ("name", "weights", "size_bytes"),
    [
        # exo-explore/exo@b5375f8, resources/inference_model_cards/mlx-community--<name>.toml
        ("zai-org/GLM-4.7", "mlx-4bit", 198_556_925_568),
        ("zai-org/GLM-4.7", "mlx-6bit", 286_737_579_648),
        ("zai-org/GLM-4.7", "mlx-8bit-g32", 396_963_397_248),
        ("nvidia/NVIDIA-Nemotron-Nano-9B-v2", "mlx-4bit", 5_002_791_936),
        ("nvidia/NVIDIA-Nemotron-Nano-9B-v2", "mlx-6bit", 7_224_298_496),
    ],
)
def test_mlx_checkpoints_to_the_byte(name: str, weights: str, size_bytes: int) -> None:
    assert total(tensors_as(from_catalog(name), weights)) == size_bytes


def test_exl_keeps_its_head_at_its_own_bits() -> None:
    model = read("llama")
    head = next(t for t in tensors_as(model, "exl3-4.0bpw") if t.role == "output" and not t.is_buffer)
    wide = next(t for t in tensors_as(model, "exl3-4.0bpw-h8") if t.role == "output" and not t.is_buffer)
    assert head.size_bytes * 8 == wide.size_bytes * 6


def test_every_name_on_offer_has_a_specification() -> None:
    assert all(name in ("bf16",) or named_spec(name).method in METHODS for name in FORMATS)
    assert {spec.method for spec in SPECS.values()} <= set(METHODS)


def test_an_unknown_name_is_refused_with_the_list() -> None:
    with pytest.raises(BadSetting) as caught:
        named_spec("q4_k_m")
    assert "awq" in caught.value.hint


@given(
    st.integers(1, 32),
    st.integers(1, 32),
    st.sampled_from([2, 3, 4, 5, 6, 8]),
    st.sampled_from([2, 3, 4, 5, 6, 8]),
)
def test_fewer_bits_never_need_more(rows: int, columns: int, first: int, second: int) -> None:
    few, many = sorted((first, second))
    table = (matrix(rows * 128, columns * 128),)
    assert total(apply(table, named_spec(f"mlx-{few}bit"))) <= total(
        apply(table, named_spec(f"mlx-{many}bit"))
    )
    assert total(apply(table, named_spec(f"exl3-{few}.0bpw"))) <= total(
        apply(table, named_spec(f"exl3-{many}.0bpw"))
    )


def test_the_page_lists_every_format() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "weight-formats.md").read_text("utf-8")
    assert [f"| `{name}` | {says} |" for name, says in FORMATS.items()] == [
        line for line in page.splitlines() if line.startswith("| `")
    ]
