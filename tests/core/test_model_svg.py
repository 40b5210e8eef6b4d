"""The picture: well-formed, complete, and readable without colour."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from plimsoll.ask.model import ModelQuestion, explain
from plimsoll.core.layer_map import LETTER_NAMES
from plimsoll.core.model_svg import _KINDS, _ROLES, draw

NAMES = ("gpt-oss-120b", "deepseek-v3", "gemma-3-27b-it", "Qwen3-Next-80B-A3B-Instruct")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", NAMES)
def test_there_is_a_cell_with_a_letter_for_each_layer(name: str) -> None:
    answer = explain(ModelQuestion(model=name, offline=True))
    root = ElementTree.fromstring(draw(answer))
    groups = root.findall(f"{SVG}g")
    letters = [group.findall(f"{SVG}text")[0].text for group in groups]
    assert letters == [cell.letter for cell in answer.layers]
    assert all((group.find(f"{SVG}title")).text for group in groups)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_lies_outside_and_bars_are_full(name: str) -> None:
    root = ElementTree.fromstring(draw(explain(ModelQuestion(model=name, offline=True))))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for box in root.iter(f"{SVG}rect"):
        x, y = float(box.get("x", 0)), float(box.get("y", 0))
        assert 0 <= x <= x + float(box.attrib["width"]) <= width + 0.01
        assert 0 <= y <= y + float(box.attrib["height"]) <= height
    bars = [
        b for b in root.findall(f"{SVG}rect") if b.get("height") == "44" and b.get("fill", "").startswith("#")
    ]
    assert sum(float(b.attrib["width"]) for b in bars) == pytest.approx(
        880 * len({b.get("y") for b in bars}), rel=1e-4
    )


def test_kinds_and_roles_differ_without_colour() -> None:
    assert set(_KINDS) == set(LETTER_NAMES)
    assert len({letter for letter, *_ in _ROLES.values()}) == len(_ROLES)
    assert len(set(_KINDS.values())) == len(_KINDS)


def test_names_cannot_break_out_of_the_picture() -> None:
    answer = explain(ModelQuestion(model="gpt-oss-120b", offline=True))
    picture = draw(replace(answer, id='<script>alert("x")</script>&'))
    assert "<script" not in picture
    assert ElementTree.fromstring(picture) is not None


def test_the_picture_loads_nothing() -> None:
    picture = draw(explain(ModelQuestion(model="gpt-oss-120b", offline=True)))
    assert not re.search(r"href|<script|<style|<image|@import|url\((?!#)", picture)
