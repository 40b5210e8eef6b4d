"""What a config says beyond its family: dtype, windows, caches shared, rope, quantisation, and bad input."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plimsoll.domain.model import Model
from plimsoll.errors import MalformedConfig, MissingConfigKey, PlimsollError, UnsupportedArchitecture
from plimsoll.formulas.weights import parameters_count
from plimsoll.parse.config import ACKNOWLEDGED, model_from_config

FIXTURES = Path(__file__).parent.parent / "fixtures" / "models"

LLAMA: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 100, "torch_dtype": "bfloat16",
}  # fmt: skip


def config_of(name: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text())["config"]
    return config


def read(config: dict[str, Any], **changes: Any) -> Model:
    return model_from_config({**config, **changes}, id="test")


def windows(model: Model) -> list[int | None]:
    return [layer.window_tokens for layer in model.layers]


# --- dtype ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"torch_dtype": "float16"}, "f16"),
        ({"dtype": "float32", "torch_dtype": None}, "f32"),
        ({"dtype": "torch.bfloat16", "torch_dtype": None}, "bf16"),
    ],
)
def test_dtype_under_both_names(keys: dict[str, Any], expected: str) -> None:
    model = read(LLAMA, **keys)
    assert {t.format for t in model.tensors} == {expected}
    assert model.weight_format == expected


def test_the_text_part_lends_its_dtype() -> None:
    config = config_of("gemma3")
    del config["torch_dtype"]
    config["text_config"]["torch_dtype"] = "float32"
    assert {t.format for t in read(config).tensors} == {"f32"}


def test_an_assumed_dtype_is_said() -> None:
    model = read(LLAMA, torch_dtype=None)
    assert any("no dtype" in note for note in model.notes)


def test_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(MalformedConfig, match="torch_dtype"):
        read(LLAMA, torch_dtype="int3")


# --- layers --------------------------------------------------------------------------------------


def test_gemma3_slides_in_five_of_six_layers() -> None:
    found = windows(read(config_of("gemma3")))
    assert found[:6] == [1024] * 5 + [None]
    assert found.count(None) == 34 // 6


def test_layer_types_win_over_the_rule() -> None:
    kinds = ["full_attention"] + ["sliding_attention"] * 33
    config = config_of("gemma3")
    config["text_config"]["layer_types"] = kinds
    assert windows(read(config)).count(None) == 1


def test_layer_types_must_cover_all_layers() -> None:
    config = config_of("gemma2")
    with pytest.raises(MalformedConfig, match="layer_types"):
        read(config, layer_types=["full_attention"] * 3)


def test_mistral_slides_unless_the_window_is_null() -> None:
    assert set(windows(read(config_of("mistral")))) == {4096}
    assert set(windows(read(config_of("mistral-nemo")))) == {None}


def test_mistral_without_the_key_has_the_window_of_its_class() -> None:
    config = config_of("mistral-nemo")
    del config["sliding_window"]
    assert set(windows(read(config))) == {4096}


def test_qwen_windows_need_the_switch() -> None:
    config = {**LLAMA, "model_type": "qwen2", "sliding_window": 16, "max_window_layers": 1}
    assert windows(read(config)) == [None, None]
    assert windows(read(config, use_sliding_window=True)) == [None, 16]


def test_a_bidirectional_encoder_looks_half_a_window_each_way() -> None:
    config = config_of("gemma3_text")
    assert windows(read(config, use_bidirectional_attention=True))[0] == config["sliding_window"] // 2 + 1


def test_gemma4_full_layers_have_their_own_heads() -> None:
    model = read(config_of("gemma4"))
    sliding, full = model.layers[0], model.layers[5]
    assert (sliding.kv_heads_count, sliding.key_dim, sliding.window_tokens) == (8, 256, 1024)
    assert (full.kv_heads_count, full.key_dim, full.window_tokens) == (2, 512, None)
    names = {t.name for t in model.tensors}
    assert "model.language_model.layers.0.self_attn.v_proj.weight" in names
    assert "model.language_model.layers.5.self_attn.v_proj.weight" not in names


def test_gemma4_per_layer_config_overrides_the_rule() -> None:
    config = config_of("gemma4")
    config["text_config"]["per_layer_config"] = {"05": {"head_dim": 128}}
    layers = read(config).layers
    assert (layers[5].key_dim, layers[11].key_dim) == (128, 256)


def test_shared_caches_point_at_the_last_layer_of_their_kind() -> None:
    model = read(config_of("gemma4-e2b"))
    first = len(model.layers) - 20
    shared = [layer for layer in model.layers if layer.shares_kv_with is not None]
    assert [layer.index for layer in shared] == list(range(first, 35))
    for layer in shared:
        source = model.layers[layer.shares_kv_with or 0]
        assert source.index < first
        assert source.window_tokens == layer.window_tokens
        assert not any(
            other.window_tokens == layer.window_tokens for other in model.layers[source.index + 1 : first]
        )


def test_keys_of_shared_layers_are_stored_but_no_part_of_the_model() -> None:
    roles = {t.name: t.role for t in read(config_of("gemma4-e2b")).tensors}
    assert roles["model.language_model.layers.34.self_attn.k_proj.weight"] == "other"
    assert roles["model.language_model.layers.0.self_attn.k_proj.weight"] == "attention"


def test_cross_attention_layers_keep_no_text() -> None:
    model = read(config_of("mllama"))
    assert [layer.index for layer in model.layers if layer.attention == "none"] == [
        3,
        8,
        13,
        18,
        23,
        28,
        33,
        38,
    ]


def test_the_wrapper_of_mistral3_takes_tying_from_its_text_part_where_it_is_silent() -> None:
    config = config_of("mistral3")
    del config["tie_word_embeddings"]
    assert not read(config).has_tied_embeddings
    assert parameters_count(read(config).tensors) == 24_011_361_280


def test_without_a_vision_config_there_is_no_tower() -> None:
    config = config_of("qwen3_vl")
    config["vision_config"] = None
    assert {t.role for t in read(config).tensors}.isdisjoint({"vision", "projector"})


def test_drafting_layers_count_only_where_the_config_has_them() -> None:
    config = config_of("hy_v3")
    with_drafts = read(config)
    without = read(config, num_nextn_predict_layers=0)
    drafts = [t for t in with_drafts.tensors if t.role == "mtp"]
    assert len(with_drafts.layers) == len(without.layers)
    assert len(with_drafts.tensors) - len(without.tensors) == len(drafts) > 0


# --- rope ----------------------------------------------------------------------------------------


def test_rope_under_both_names() -> None:
    old = read(LLAMA, rope_theta=5e5, rope_scaling={"type": "yarn", "factor": 4.0})
    new = read(LLAMA, rope_parameters={"rope_type": "yarn", "rope_theta": 5e5, "factor": 4.0})
    assert old.rope == new.rope
    assert new.rope is not None
    assert (new.rope.kind, new.rope.theta, new.rope.factor) == ("yarn", 5e5, 4.0)


def test_rope_per_kind_of_layer_gives_that_of_full_attention() -> None:
    rope = read(config_of("gemma4")).rope
    assert rope is not None
    assert rope.theta == 1_000_000.0


@pytest.mark.parametrize(
    ("name", "share"), [("gpt_neox", 0.25), ("glm4", 0.5), ("llama", 1.0), ("gemma4", 0.25)]
)
def test_the_rotated_share_of_a_head(name: str, share: float) -> None:
    rope = read(config_of(name)).rope
    assert rope is not None
    assert rope.rotated_share == share


# --- unread keys ---------------------------------------------------------------------------------


def test_only_keys_that_nobody_understands_are_listed() -> None:
    model = read(LLAMA, bos_token_id=1, transformers_version="5.0", brand_new_cache_compression=4)
    assert model.unread_keys == ("brand_new_cache_compression",)


def test_keys_of_a_section_are_listed_with_their_place() -> None:
    config = config_of("gemma3")
    config["text_config"]["brand_new"] = 1
    assert "text_config.brand_new" in read(config).unread_keys


def test_no_size_is_acknowledged_away() -> None:
    sizes = ("hidden_size", "head_dim", "num_key_value_heads", "num_experts", "sliding_window", "layer_types")
    assert ACKNOWLEDGED.isdisjoint(sizes)


# --- bad input -----------------------------------------------------------------------------------


def test_an_unknown_model_type_is_an_answer_of_its_own() -> None:
    with pytest.raises(UnsupportedArchitecture):
        read(LLAMA, model_type="no_such_model")


@pytest.mark.parametrize("key", ["hidden_size", "num_attention_heads", "intermediate_size", "vocab_size"])
def test_a_missing_size_is_named(key: str) -> None:
    with pytest.raises(MissingConfigKey) as caught:
        model_from_config({k: v for k, v in LLAMA.items() if k != key}, id="test")
    assert caught.value.key == key


@pytest.mark.parametrize(
    "changes",
    [
        {"num_hidden_layers": 10**30}, {"num_hidden_layers": 100_000}, {"num_hidden_layers": 0},
        {"num_hidden_layers": -3}, {"hidden_size": float("nan")}, {"hidden_size": "64"},
        {"num_attention_heads": 0}, {"num_attention_heads": 7}, {"vocab_size": [100]},
        {"tie_word_embeddings": "yes"}, {"rope_theta": float("inf")}, {"rope_scaling": [1]},
        {"quantization_config": "fp8"}, {"quantization_config": {"quant_method": 3}},
    ],
)  # fmt: skip
def test_impossible_values_are_refused_quickly(changes: dict[str, Any]) -> None:
    start = time.process_time()
    with pytest.raises(PlimsollError):
        read(LLAMA, **changes)
    assert time.process_time() - start < 0.2


@pytest.mark.parametrize(
    ("name", "section", "key"),
    [
        ("hy_v3", "", "num_nextn_predict_layers"), ("mllama", "vision_config", "num_hidden_layers"),
        ("qwen3_vl", "vision_config", "depth"), ("gemma4-e2b", "audio_config", "num_hidden_layers"),
        ("gemma3n_text", "", "altup_num_inputs"),
    ],
)  # fmt: skip
def test_towers_and_drafts_cannot_be_endless(name: str, section: str, key: str) -> None:
    config = config_of(name)
    (config[section] if section else config)[key] = 2**40
    with pytest.raises(MalformedConfig, match=key):
        read(config)


def test_the_longest_table_is_built_quickly() -> None:
    start = time.process_time()
    model = read(LLAMA, num_hidden_layers=2000)
    assert len(model.layers) == 2000
    assert time.process_time() - start < 2


_VALUE = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5000), st.floats(), st.text(max_size=5), st.just(10**30),
    st.lists(st.integers(-1, 3) | st.text(max_size=3), max_size=3),
    st.dictionaries(st.sampled_from(["rope_type", "0", "head_dim"]), st.integers(-1, 9), max_size=2),
)  # fmt: skip
_SMALL = {
    name: config_of(name)
    for name in (
        "gemma4-e2b",
        "gemma3n_text",
        "qwen2_moe",
        "hy_v3",
        "mllama",
        "cohere2_moe",
        "falcon",
        "phimoe",
    )
}


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(_SMALL)), st.data())
def test_any_edit_gives_a_model_or_a_typed_error(name: str, data: st.DataObject) -> None:
    config = json.loads(json.dumps(_SMALL[name]))
    places = [config] + [part for part in config.values() if isinstance(part, dict)]
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(places))
        place[data.draw(st.sampled_from(sorted(place)))] = data.draw(_VALUE)
    try:
        model = model_from_config(config, id="test")
    except PlimsollError:
        return
    assert all(dim >= 0 for t in model.tensors for dim in t.shape)
    assert all(t.size_bytes >= 0 for t in model.tensors)
