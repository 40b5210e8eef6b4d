"""Reading edits as typed."""

from __future__ import annotations

import pytest

from plimsoll.core.edits import apply_edits, read_edit
from plimsoll.errors import BadSetting

CONFIG = {
    "model_type": "qwen3_moe", "num_experts_per_tok": 8, "max_position_embeddings": 40960, "rope_theta": 1e6,
    "hidden_act": "silu", "tie_word_embeddings": False, "mlp_only_layers": [],
}  # fmt: skip
NESTED = {"model_type": "gemma3", "text_config": {"sliding_window": 1024, "num_attention_heads": 32}}
NEW_STYLE = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}, "max_position_embeddings": 4096}


def test_values_are_json_or_words() -> None:
    assert read_edit("num_experts_per_tok=16", CONFIG).after == 16
    assert read_edit("hidden_act=gelu", CONFIG).after == "gelu"
    assert read_edit("tie_word_embeddings=True", CONFIG).after is True
    assert read_edit("mlp_only_layers=[0, 1]", CONFIG).after == [0, 1]


def test_a_key_of_the_text_part_needs_no_section() -> None:
    assert read_edit("sliding_window=4096", NESTED).key == "text_config.sliding_window"
    assert read_edit("text_config.sliding_window=4096", NESTED).before == 1024


def test_yarn_takes_the_trained_context_as_the_original_one() -> None:
    edit = read_edit("rope_scaling=yarn:4", CONFIG, ["rope_scaling"])
    assert edit.after == {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 40960}
    assert not edit.was_present
    typed = read_edit("rope_scaling=yarn:4:32768", CONFIG, ["rope_scaling"])
    assert typed.after["original_max_position_embeddings"] == 32768


def test_yarn_over_yarn_keeps_what_is_not_said() -> None:
    present = {
        "rope_type": "yarn",
        "factor": 32.0,
        "beta_fast": 32.0,
        "original_max_position_embeddings": 4096,
    }
    edit = read_edit("rope_scaling=yarn:8", {"rope_scaling": present, "max_position_embeddings": 131072})
    assert edit.after == {**present, "factor": 8.0}


def test_positions_of_the_new_style_are_edited_where_they_stand() -> None:
    assert read_edit("rope_theta=1e5", NEW_STYLE, ["rope_theta"]).key == "rope_parameters.rope_theta"
    scaled = read_edit("rope_scaling=linear:2", NEW_STYLE, ["rope_scaling"])
    assert scaled.key == "rope_parameters"
    assert scaled.after == {"rope_type": "linear", "rope_theta": 1e6, "factor": 2.0}


def test_the_original_config_stays_as_it_was() -> None:
    edited = apply_edits(NESTED, [read_edit("sliding_window=1", NESTED)])
    assert edited["text_config"]["sliding_window"] == 1
    assert NESTED["text_config"]["sliding_window"] == 1024  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("num_experts_per_tok", "not an edit"),
        ("=3", "not an edit"),
        ("num_experts_per_tok=0", "cannot be 0"),
        ("num_experts_per_tok=-4", "cannot be -4"),
        ("num_experts_per_tok=2.5", "cannot be 2.5"),
        ("num_experts_per_tok=many", "cannot be 'many'"),
        ("max_position_embeddings=-1", "cannot be -1"),
        ("rope_theta=-5", "cannot be -5"),
        ("rope_theta=NaN", "nan"),
        ("rope_theta=1e999", "inf"),
        ("rope_scaling=yarn:0.5", "does not extend"),
        ("rope_scaling=yarn", "lacks a factor"),
        ("rope_scaling=yarn:inf", "does not extend"),
        ("rope_scaling=magic:4", "not a way to extend"),
        ('rope_scaling={"rope_type": "yarn", "factor": 0}', "does not extend"),
        ('rope_scaling={"rope_type": "yarn", "factor": "4"}', "not a number"),
        ("rope_scaling=yarn:4:0", "not a number of tokens"),
        ("rope_scaling={", "not valid JSON"),
        ("hidden_act=3", "cannot be 3"),
        ("num_expert_per_tok=4", "neither this config"),
        ("vision_config.depth=3", "no section"),
    ],
)
def test_what_cannot_be_is_said(text: str, said: str) -> None:
    with pytest.raises(BadSetting, match=said) as caught:
        read_edit(text, CONFIG, ["rope_scaling", "rope_parameters"])
    assert caught.value.hint


def test_a_misspelt_key_is_answered_with_the_nearest() -> None:
    with pytest.raises(BadSetting) as caught:
        read_edit("num_expert_per_tok=4", CONFIG)
    assert "num_experts_per_tok" in caught.value.hint
