"""Active parameters against counts made from the same configs with Transformers on the meta device."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plimsoll.domain.model import LayerSpec, Model, TensorSpec
from plimsoll.formulas import weights
from plimsoll.parse.config import model_from_config

FIXTURES = Path(__file__).parent.parent / "fixtures" / "models"


def read(name: str) -> Model:
    fixture = json.loads((FIXTURES / f"{name}.json").read_text())
    return model_from_config(fixture["config"], id=fixture["id"])


@pytest.mark.parametrize(
    ("name", "active_count", "without_embedding_count"),
    [
        # total - routed experts x (E - k) / E, total counted by transformers 5.23.0 on the meta device
        ("qwen3_moe", 3_353_032_704, 3_041_867_776),
        ("gpt_oss", 5_711_982_912, 5_132_849_472),
        ("mixtral", 12_879_925_248, 12_748_853_248),
        ("phimoe", 2_362_809_664, 2_231_475_520),
        ("deepseek_v3", 37_552_282_624, 36_625_603_584),
        ("hy_v3", 20_675_715_072, 20_180_787_200),
    ],
)
def test_active_parameters(name: str, active_count: int, without_embedding_count: int) -> None:
    model = read(name)
    active = weights.active_parameters_count(model.tensors, model.layers)
    embedding = weights.input_embedding_count(model.tensors, has_tied_embeddings=model.has_tied_embeddings)
    assert active == active_count
    assert active - embedding == without_embedding_count


def test_vendors_round_the_count_without_the_input_embedding() -> None:
    """OLMoE-1B-7B is named after 1.3 B active of 6.9 B; gpt-oss-120b's card says 5.1 B of 117 B."""
    olmoe, gpt_oss = read("olmoe"), read("gpt_oss")
    assert round(weights.active_parameters_count(olmoe.tensors, olmoe.layers) / 1e9, 1) == 1.3
    active = weights.active_parameters_count(gpt_oss.tensors, gpt_oss.layers)
    assert (
        round((active - weights.input_embedding_count(gpt_oss.tensors, has_tied_embeddings=False)) / 1e9, 1)
        == 5.1
    )


def test_a_dense_text_model_is_active_as_a_whole() -> None:
    model = read("qwen3")
    assert weights.active_parameters_count(model.tensors, model.layers) == weights.parameters_count(
        model.tensors
    )


def test_a_text_token_does_not_touch_the_towers() -> None:
    seeing, blind = read("qwen3_vl_moe"), read("qwen3_moe")
    assert weights.parameters_count(seeing.tensors) > weights.parameters_count(blind.tensors)
    assert weights.active_parameters_count(seeing.tensors, seeing.layers) == 3_353_032_704


def test_experts_stored_one_by_one_count_as_the_stack_does() -> None:
    def row(name: str, shape: tuple[int, ...]) -> TensorSpec:
        return TensorSpec(name=name, shape=shape, format="bf16", size_bytes=0, role="expert", layer=0)

    layers = (LayerSpec(index=0, attention="none", experts_count=4, active_experts_count=1),)
    apart = [row(f"experts.{i}.up_proj.weight", (3, 5)) for i in range(4)]
    assert weights.active_parameters_count(apart, layers) == 15
    assert weights.active_parameters_count([row("experts.up_proj", (4, 3, 5))], layers) == 15


def test_groups_of_bytes_sum_to_the_table() -> None:
    model = read("gpt_oss")
    groups = weights.grouped_bytes(model.tensors)
    assert weights.sum_bytes(groups) == sum(t.size_bytes for t in model.tensors)
    assert {"embedding bf16", "expert bf16"} <= set(groups)


def test_a_tied_embedding_is_multiplied_by_every_token() -> None:
    model = read("qwen3-tied")
    assert model.has_tied_embeddings
    assert weights.input_embedding_count(model.tensors, has_tied_embeddings=True) == 0
