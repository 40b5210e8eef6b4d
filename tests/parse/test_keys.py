"""Keys reads what it is asked for, remembers it, and refuses values that cannot be."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.errors import MalformedConfig, MissingConfigKey, ReadError
from plimsoll.parse.keys import MOST_LAYERS, Keys


def test_the_first_name_present_wins_and_all_count_as_read() -> None:
    keys = Keys({"num_local_experts": 8, "num_experts": 9, "other": 1})
    assert keys.count("num_local_experts", "num_experts") == 8
    assert keys.unread() == ("other",)


def test_null_is_absent() -> None:
    assert Keys({"head_dim": None}).count("head_dim", default=64) == 64


def test_unread_keys_of_sections_are_listed_with_their_place() -> None:
    keys = Keys({"text_config": {"hidden_size": 8, "strange": 1}, "loose": 2})
    section = keys.section("text_config")
    assert section is not None
    assert section.count("hidden_size") == 8
    assert keys.section("text_config") is section
    assert keys.unread() == ("loose", "text_config.strange")


def test_a_missing_key_is_named() -> None:
    with pytest.raises(MissingConfigKey) as caught:
        Keys({}, "repo/config.json").count("hidden_size")
    assert caught.value.key == "hidden_size"
    assert "repo/config.json" in str(caught.value)


@pytest.mark.parametrize("value", [-1, 0.5, "64", True, [64], {}, float("nan"), float("inf"), 10**30])
def test_impossible_counts_are_refused(value: Any) -> None:
    with pytest.raises(MalformedConfig, match="hidden_size"):
        Keys({"hidden_size": value}).count("hidden_size")


def test_a_number_too_long_to_print_is_refused() -> None:
    with pytest.raises(MalformedConfig, match="bits"):
        Keys({"hidden_size": 10**5000}).count("hidden_size")


@pytest.mark.parametrize("value", ["1", True, float("nan"), float("-inf"), 10**400, []])
def test_impossible_numbers_are_refused(value: Any) -> None:
    with pytest.raises(MalformedConfig, match="rope_theta"):
        Keys({"rope_theta": value}).number("rope_theta")


@pytest.mark.parametrize("name", ["num_hidden_layers", "num_nextn_predict_layers", "depth"])
def test_more_layers_than_any_model_has_are_refused(name: str) -> None:
    assert Keys({name: MOST_LAYERS}).count(name) == MOST_LAYERS
    with pytest.raises(MalformedConfig, match="number of layers"):
        Keys({name: MOST_LAYERS + 1}).count(name)


def test_whole_floats_are_counts() -> None:
    assert Keys({"hidden_size": 4096.0}).count("hidden_size") == 4096


def test_zero_is_a_count_but_not_positive() -> None:
    keys = Keys({"num_attention_heads": 0})
    assert keys.count("num_attention_heads") == 0
    with pytest.raises(MalformedConfig, match="at least 1"):
        keys.positive("num_attention_heads")


@pytest.mark.parametrize("value", [["full", 1], "full", {"a": 1}])
def test_lists_of_strings_are_checked(value: Any) -> None:
    with pytest.raises(MalformedConfig):
        Keys({"layer_types": value}).texts("layer_types")


def test_the_error_names_the_section() -> None:
    section = Keys({"text_config": {"hidden_size": "big"}}).section("text_config")
    assert section is not None
    with pytest.raises(MalformedConfig, match=r"text_config\.hidden_size is 'big'"):
        section.count("hidden_size")


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def test_deep_values_are_shown_without_recursing() -> None:
    with pytest.raises(MalformedConfig):
        Keys({"hidden_size": nested(50_000)}).count("hidden_size")


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(_ANYTHING)
def test_any_value_is_read_or_refused_by_a_typed_error(value: Any) -> None:
    for getter in ("count", "positive", "number", "flag", "text", "list", "texts", "section"):
        with contextlib.suppress(ReadError):
            getattr(Keys({"key": value}), getter)("key")
