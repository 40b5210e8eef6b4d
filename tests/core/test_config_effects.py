"""Sentences about a value agree with what the tensor table and the layers say."""

from __future__ import annotations

from typing import Any

import pytest

from plimsoll.ask.models import load
from plimsoll.catalog import models as catalog
from plimsoll.core.config_effects import EFFECTS, Scene
from plimsoll.domain.model import Model
from plimsoll.units import format_parameters


def said(name: str, effect: str, key: str, value: Any = None) -> str:
    """What an effect says about a key of a catalog model, or about another value of it."""
    config = catalog.find(name).config
    section = config.get("text_config", config)
    scene = Scene(
        model=load(name, offline=True),
        section=section,
        key=key,
        value=section[key] if value is None else value,
    )
    return " ".join(EFFECTS[effect](scene))


def test_kv_heads_say_how_much_smaller_the_cache_is() -> None:
    text = said("qwen3-30b-a3b", "kv_heads", "num_key_value_heads")
    assert "KV cache is 8 times smaller than with 32 KV heads" in text
    assert "3.75 GiB in f16" in text  # 40,960 tokens x 48 layers x 2 x 4 x 128 x 2 bytes


def test_kv_heads_say_nothing_about_a_latent_cache() -> None:
    text = said("deepseek-v3", "kv_heads", "num_key_value_heads")
    assert "one row for all heads" in text
    assert "smaller" not in text


def test_active_parameters_by_number_of_experts() -> None:
    text = said("qwen3-30b-a3b", "experts_active", "num_experts_per_tok")
    model = load("qwen3-30b-a3b", offline=True)
    for count in (4, 8, 16):
        assert f"{count}: {format_parameters(counted(model, count))}" in text


def counted(model: Model, active: int) -> int:
    """Parameters of the table, with `active` of 128 experts."""
    experts = sum(t.elements_count for t in model.tensors if t.role == "expert")
    rest = sum(t.elements_count for t in model.tensors if t.role != "expert")
    return rest + experts * active // 128


def test_no_more_experts_are_offered_than_there_are() -> None:
    text = said("qwen3-30b-a3b", "experts_active", "num_experts_per_tok", value=128)
    assert "64:" in text
    assert "256:" not in text


def test_a_window_says_what_it_saves() -> None:
    text = said("gpt-oss-120b", "window", "sliding_window")
    assert "18 of 36 layers" in text
    assert "4.50 GiB of f16 cache at 131,072 tokens where full attention would take 9.00 GiB" in text


def test_a_width_of_heads_of_its_own_is_pointed_out() -> None:
    assert "would be 64" in said("qwen3-30b-a3b", "head_dim", "head_dim")
    assert "off by 2 times" in said("qwen3-30b-a3b", "head_dim", "head_dim")


def test_the_latent_row_against_full_heads() -> None:
    text = said("deepseek-v3", "latent", "kv_lora_rank")
    # 128 heads x (192 + 128) values against 512 + 64
    assert "576 values per token and layer instead of 40,960" in text
    assert "71.1 times less" in text


def test_drafting_layers_are_counted() -> None:
    assert "13.46 B parameters" in said("deepseek-v3", "mtp", "num_nextn_predict_layers")


def test_the_stretched_context() -> None:
    model = load("gpt-oss-120b", offline=True)
    scene = Scene(model=model, section={}, key="factor", value=32.0)
    assert EFFECTS["rope_factor"](scene) == ("4,096 tokens stretched 32 times reach 131,072.",)


@pytest.mark.parametrize("name", ["gpt-oss-120b", "deepseek-v3", "gemma-3n-e4b-it", "mistral-7b-v0.3"])
def test_no_value_breaks_an_effect(name: str) -> None:
    model = load(name, offline=True)
    for value in (0, -1, 2**60, 1.5, True, "x", [], {}, None):
        scene = Scene(model=model, section={"num_attention_heads": value}, key="k", value=value)
        for effect in EFFECTS.values():
            assert all(text.endswith(".") for text in effect(scene)), (effect.__name__, value)
