"""Keys of config.json: the right fact is found for a path."""

from __future__ import annotations

import pytest

from plimsoll.catalog import config_keys
from plimsoll.errors import CatalogError


def test_a_key_is_found_by_its_name_and_alias() -> None:
    found = config_keys.find("num_key_value_heads")
    assert found is not None
    assert found.changes_shapes
    assert found.needs_retraining
    assert found.llama_cpp == "{arch}.attention.head_count_kv"
    assert config_keys.find("text_config.multi_query_group_num") is found


def test_an_unknown_key_is_unknown() -> None:
    assert config_keys.find("number_of_angels_per_pin") is None


def test_an_unknown_field_is_refused() -> None:
    data = {"scope": "text", "sources": ["x"], "keys": {"a": {"colour": "red"}}}
    with pytest.raises(CatalogError, match="colour"):
        config_keys.group_from(data, "config_keys/a.toml")
