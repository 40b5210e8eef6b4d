"""Layers in words, and their compression into runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.ask.models import load
from plimsoll.catalog.models import find_all
from plimsoll.core import layer_map
from plimsoll.core.layer_map import LETTER_NAMES, cells, runs, text
from plimsoll.domain.explanation import LayerCell, LayerRun
from plimsoll.errors import UnsupportedArchitecture


def cell(index: int, attention: str, ffn: str = "dense 8") -> LayerCell:
    return LayerCell(index=index, letter="F", attention=attention, ffn=ffn)


def spelled_out(found: tuple[LayerRun, ...]) -> list[str]:
    return [cell.attention for run in found for _ in range(run.times) for cell in run.period]


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60))
def test_runs_spell_out_the_same_layers(kinds: list[str]) -> None:
    found = runs([cell(i, kind) for i, kind in enumerate(kinds)])
    assert spelled_out(found) == kinds
    assert [run.first for run in found] == sorted(run.first for run in found)


def test_a_period_is_found_before_a_run_it_begins_with() -> None:
    kinds = ["s", "s", "s", "s", "s", "f"] * 10 + ["s", "s"]
    found = runs([cell(i, kind) for i, kind in enumerate(kinds)])
    assert [(run.times, len(run.period)) for run in found] == [(10, 6), (2, 1)]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gpt-oss-120b", "36 layers: 18x [sliding 128, full], each with 4 of 128 experts of 2,880"),
        ("qwen3-30b-a3b", "48 layers: 48x full, each with 8 of 128 experts of 768"),
        (
            "gemma-3-27b-it",
            "62 layers: 10x [5x sliding 1,024, full], 2x sliding 1,024, each with dense 21,504",
        ),
        (
            "deepseek-v3",
            "61 layers: 3x latent 512+64 / dense 18,432, 58x latent 512+64 / 8 of 256 experts of 2,048 "
            "+ shared 2,048",
        ),
        (
            "Qwen3-Next-80B-A3B-Instruct",
            "48 layers: 12x [3x gated delta net, full], each with 10 of 512 experts of 512 + shared 512",
        ),
        (
            "nemotron-3-nano-30b-a3b",
            "52 layers: 5x [Mamba 2, experts, Mamba 2, experts, Mamba 2, full, experts], 3x [Mamba 2, "
            "experts], Mamba 2, full, 4x [experts, Mamba 2], experts; experts: 6 of 128 experts of 1,856 + "
            "shared 3,712",
        ),
        ("llama 3.3 70b", "80 layers: 80x full, each with dense 28,672"),
    ],
)
def test_the_map_of_well_known_models(name: str, said: str) -> None:
    assert text(runs(cells(load(name, offline=True).layers))) == said


def test_every_model_of_the_catalog_has_a_map() -> None:
    for model_id in find_all():
        try:
            layers = load(model_id, offline=True).layers
        except UnsupportedArchitecture:
            continue
        found = cells(layers)
        assert len(found) == len(layers)
        assert {x.letter.upper() for x in found} <= set(LETTER_NAMES), model_id
        assert sum(run.times * len(run.period) for run in runs(found)) == len(layers), model_id
        assert len(text(runs(found))) < 1500, model_id


def test_lower_case_marks_dense_layers_among_mixtures_only() -> None:
    letters = [x.letter for x in cells(load("deepseek-v3", offline=True).layers)]
    assert "".join(letters[:5]) == "lllLL"
    assert {x.letter for x in cells(load("llama 3.3 70b", offline=True).layers)} == {"F"}


def test_two_thousand_layers_are_mapped_quickly() -> None:
    many = [cell(i, "s" if i % 7 else "f") for i in range(2000)]
    assert sum(run.times * len(run.period) for run in layer_map.runs(many)) == 2000
