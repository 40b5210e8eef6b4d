"""`plimsoll fleet` at the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from plimsoll.doors.cli.main import cli
from tests.doors.test_docs import ROOT, update_docs


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["fleet", *words])


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The example as a person would save it."""
    path = tmp_path / "fleet.toml"
    path.write_text(run("--example").stdout, encoding="utf-8")
    return path


def test_the_example_is_placed_whole_and_proven(example: Path) -> None:
    done = run(str(example), "--offline")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("PLACED  every role has a place;")
    assert "optimal, proven" in done.stdout
    for name in ("core", "coder", "vision", "planner", "embedder", "reranker", "speech-ru", "speech-en"):
        assert name in done.stdout
    assert "room left on studio would also hold one of:" in done.stdout


def test_json_says_the_same_twice(example: Path) -> None:
    first, second = (run(str(example), "--offline", "--json").stdout for _ in range(2))
    assert first == second
    found = json.loads(first)
    assert found["verdict"] == "placed"
    assert all(stage["is_proven"] for stage in found["stages"])
    core = found["placements"][0]
    assert core["wish"] == "met"
    assert core["way"]["speed"]["low"] < core["way"]["speed"]["value"]
    private = {"core", "coder", "vision", "embedder", "reranker", "speech-ru"}
    assert not [p for p in found["placements"] if p["way"]["role"] in private
                and p["way"]["machine"] == "cloud"]  # fmt: skip
    beside = {p["way"]["role"]: p["way"]["machine"] for p in found["placements"]}
    assert beside["reranker"] == beside["embedder"]
    assert beside["planner"] != beside["core"]


def test_why_shows_aims_commands_and_what_was_left_out(example: Path) -> None:
    done = run(str(example), "--offline", "--why")
    assert "copies of priority 1 placed: 4 (proven)" in done.stdout
    assert "plimsoll launch openai/gpt-oss-120b" in done.stdout
    assert "it must not leave the house" in done.stdout
    assert "formulas.cost:electricity_of_hours" in done.stdout


def test_svg_draws_a_bar_per_device(example: Path, tmp_path: Path) -> None:
    picture = tmp_path / "fleet.svg"
    assert run(str(example), "--offline", "--svg", str(picture)).exit_code == 0
    drawn = picture.read_text(encoding="utf-8")
    assert "studio gpu0" in drawn
    assert "reranker" in drawn


def test_no_file_and_a_file_that_is_not_there() -> None:
    assert "plimsoll fleet --example" in str(run().exception.hint)  # type: ignore[union-attr]
    assert "there is no file nowhere.toml" in str(run("nowhere.toml").exception)


def test_the_page_shows_what_its_fleets_print() -> None:
    page = (ROOT / "docs" / "reference" / update_docs.FLEET_PAGE).read_text(encoding="utf-8")
    assert page.count("<!-- output -->") == 2
    assert update_docs.with_fleets(page) == page, "run: python tools/update_docs.py"
