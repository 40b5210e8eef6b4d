"""Every family against golden facts: what Transformers builds, and what was published.

The golden facts are produced by tests/parse/transformers_oracle.py; here neither it nor torch is needed.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from plimsoll.domain.model import Model
from plimsoll.parse.config import model_from_config
from plimsoll.parse.families import FAMILIES
from tests.parse.transformers_oracle import Row, facts, fixture_paths

each_fixture = pytest.mark.parametrize("path", fixture_paths(), ids=lambda path: path.stem)


def read(path: Path) -> tuple[dict[str, Any], Model]:
    """The fixture and the model we build from its config."""
    fixture = json.loads(path.read_text())
    return fixture, model_from_config(fixture["config"], id=fixture["id"])


def rows(model: Model) -> list[Row]:
    """Our table in the oracle's form; Transformers does not build the MTP layers of a checkpoint."""
    return sorted(
        (t.name, t.shape, t.format, t.is_buffer) for t in model.tensors if t.role not in ("mtp", "other")
    )


@each_fixture
def test_names_shapes_and_dtypes_are_those_of_transformers(path: Path) -> None:
    fixture, model = read(path)
    golden = fixture.get("oracle")
    if golden is None:
        assert fixture["class"] is None
        return
    assert facts(rows(model)) == {key: golden[key] for key in ("parameters_count", "tensors_count", "sha256")}


@each_fixture
def test_parameters_equal_the_published_figure(path: Path) -> None:
    """`includes` names what a publisher counts besides parameters: "buffers" (the Hub leaves out tensors
    without a dimension), "tied_output" (a second copy of the tied embedding); `besides` what a checkpoint
    holds beyond the table, as factors."""
    fixture, model = read(path)
    published = fixture.get("published")
    if published is None:
        return
    assert published["source"]
    includes = published.get("includes", [])
    count = sum(
        t.elements_count for t in model.tensors if not t.is_buffer or ("buffers" in includes and t.shape)
    )
    if "tied_output" in includes:
        assert model.has_tied_embeddings
        count += model.vocab_size * model.hidden_dim
    count += sum(math.prod(factors) for factors in published.get("besides", {}).values())
    assert count == published["parameters_count"]


@each_fixture
def test_names_are_unique_and_rows_are_whole(path: Path) -> None:
    _, model = read(path)
    names = [t.name for t in model.tensors]
    assert len(names) == len(set(names))
    assert [layer.index for layer in model.layers] == list(range(len(model.layers)))
    owned = [t for t in model.tensors if t.layer is not None and t.role not in ("vision", "audio", "mtp")]
    assert {t.layer for t in owned} == set(range(len(model.layers)))


def test_every_family_has_a_fixture() -> None:
    seen = {json.loads(path.read_text())["config"]["model_type"] for path in fixture_paths()}
    modules = {FAMILIES[model_type] for model_type in seen}
    assert modules == set(FAMILIES.values())
