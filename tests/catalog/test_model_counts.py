"""Every config of the catalog builds a tensor table, and its parameters add up to the published total."""

from __future__ import annotations

import pytest

from plimsoll.catalog import models
from plimsoll.errors import UnsupportedArchitecture
from plimsoll.formulas.weights import parameters_count
from plimsoll.parse.config import model_from_config

# Families that nobody has written yet; remove a line when the family arrives.
UNSUPPORTED: set[str] = set()
IDS = models.find_all()


def count(model_id: str) -> int:
    record = models.load(model_id)
    return parameters_count(model_from_config(record.config, id=model_id, where=record.where).tensors)


@pytest.mark.parametrize("model_id", IDS)
def test_parameters_equal_the_published_total(model_id: str) -> None:
    record = models.load(model_id)
    if record.config["model_type"] in UNSUPPORTED:
        with pytest.raises(UnsupportedArchitecture):
            count(model_id)
        return
    counted = count(model_id)
    if record.published is not None:
        assert counted + record.published.other_count == record.published.parameters_count


def test_the_bar() -> None:
    built = [i for i in IDS if models.load(i).config["model_type"] not in UNSUPPORTED]
    published = [i for i in built if models.load(i).published is not None]
    assert len(built) >= 200
    assert len(published) >= 189


def test_what_is_more_than_the_tensors_is_named() -> None:
    for model_id in IDS:
        published = models.load(model_id).published
        if published is not None:
            assert bool(published.other_count) == bool(published.other_is), model_id


@pytest.mark.parametrize(
    "model_id",
    [
        i
        for i in IDS
        if (p := models.load(i).published) and p.other_is.startswith("a second copy of the tied")
    ],
)
def test_a_tied_copy_is_vocabulary_times_width(model_id: str) -> None:
    record = models.load(model_id)
    text = record.config.get("text_config", record.config)
    assert record.published is not None
    assert record.published.other_count == text["vocab_size"] * text["hidden_size"]


@pytest.mark.parametrize("model_id", [i for i in IDS if models.load(i).config_from.startswith("sibling ")])
def test_a_sibling_has_the_same_number_of_parameters(model_id: str) -> None:
    record = models.load(model_id)
    assert count(model_id) == count(record.base_model)
