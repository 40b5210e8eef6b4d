"""Keys of config.json: the right fact is found for a path, and all keys that models share are explained."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from plimsoll.catalog import config_keys, models
from plimsoll.core.config_effects import EFFECTS
from plimsoll.errors import CatalogError


def paths(section: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Every path of a config, not inside objects whose keys are names of modules."""
    for key, value in section.items():
        yield above + key
        facts = config_keys.find(above + key)
        if isinstance(value, Mapping) and not (facts and facts.is_opaque):
            yield from paths(value, f"{above}{key}.")


def test_every_key_that_three_models_have_is_explained() -> None:
    holders = defaultdict(set)
    for model_id in models.find_all():
        for path in paths(models.load(model_id).config):
            holders[path].add(model_id)
    shared = {path for path, ids in holders.items() if len(ids) >= 3}
    assert len(shared) > 150
    assert {path for path in shared if config_keys.find(path) is None} == set()


def test_at_least_120_keys_are_explained() -> None:
    assert len(config_keys.find_all()) >= 120


def test_a_key_is_found_by_its_name_and_alias() -> None:
    found = config_keys.find("num_key_value_heads")
    assert found is not None
    assert found.changes_shapes
    assert found.needs_retraining
    assert found.llama_cpp == "{arch}.attention.head_count_kv"
    assert config_keys.find("text_config.multi_query_group_num") is found


def test_the_section_decides_what_a_key_is_about() -> None:
    text, vision = config_keys.find("text_config.hidden_size"), config_keys.find("vision_config.hidden_size")
    assert text is not None
    assert vision is not None
    assert (text.scope, vision.scope) == ("text", "vision")
    assert config_keys.find("rope_scaling.factor") is config_keys.find(
        "text_config.rope_parameters.full_attention.factor"
    )
    assert config_keys.find("factor") is None
    assert config_keys.find("quantization_config.config_groups.group_3.weights.num_bits") is not None
    activation = config_keys.find("vision_config.hidden_act")
    assert activation is not None
    assert activation.scope == "any"


def test_what_is_chosen_at_run_time_needs_no_retraining() -> None:
    for key in ("num_experts_per_tok", "max_position_embeddings", "rope_scaling.factor", "use_cache"):
        found = config_keys.find(key)
        assert found is not None
        assert not found.needs_retraining, key
    for key in ("rope_theta", "hidden_size", "hidden_act", "quantization_config", "model_type"):
        found = config_keys.find(key)
        assert found is not None
        assert found.needs_retraining, key


def test_an_unknown_key_is_unknown() -> None:
    assert config_keys.find("number_of_angels_per_pin") is None
    assert config_keys.find("") is None


def test_an_unknown_field_is_refused() -> None:
    data = {"scope": "text", "sources": ["x"], "keys": {"a": {"colour": "red"}}}
    with pytest.raises(CatalogError, match="colour"):
        config_keys.group_from(data, "config_keys/a.toml")


def test_every_computed_effect_has_its_function() -> None:
    named = {facts.computed for facts in config_keys.find_all() if facts.computed}
    assert named == set(EFFECTS)


@pytest.mark.oracle
def test_every_metadata_key_is_one_that_llama_cpp_knows() -> None:
    xllamacpp = pytest.importorskip("xllamacpp")
    (library,) = Path(xllamacpp.__file__).parent.glob("xllamacpp*.so")
    engine = library.read_bytes()
    used = {facts.llama_cpp for facts in config_keys.find_all() if facts.llama_cpp}
    assert len(used) > 50
    # The engine keeps the names of its keys as texts that end in a zero byte.
    assert {key for key in used if key.replace("{arch}", "%s").encode() + b"\0" not in engine} == set()


def test_no_name_stands_in_two_groups() -> None:
    with open(f"{config_keys.FOLDER}/index.json", "rb") as file:
        groups = json.loads(file.read())
    names = [
        (facts.scope, name)
        for group, data in groups.items()
        for facts in config_keys.group_from(data, group)
        for name in (facts.key, *facts.aliases)
    ]
    assert {name for name in names if names.count(name) > 1} == set()


def test_the_index_is_small_enough_to_read_at_every_start() -> None:
    with open(f"{config_keys.FOLDER}/index.json", "rb") as file:
        data = file.read()
    assert len(data) < 200_000
    assert json.loads(data)
