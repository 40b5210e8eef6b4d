"""`plimsoll load --compare` and `--trace` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from plimsoll.core.copies import SLOWER
from plimsoll.core.router import ROUTINGS
from plimsoll.doors.cli import load_copies
from plimsoll.doors.cli.main import cli
from plimsoll.errors import PlimsollError
from plimsoll.parse.request_trace import FORMATS

ON = ("--on", "4x rtx-pro-6000")
SMALL = ("--prompt", "1k", "--output", "100", "--requests", "40", "--arrivals", "4/s")


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["load", *arguments], catch_exceptions=True)


def _refused(*arguments: str) -> PlimsollError:
    error = _run(*arguments).exception
    assert isinstance(error, PlimsollError)
    return error


def test_layouts_stand_side_by_side(tmp_path: Path) -> None:
    drawn = tmp_path / "c.svg"
    pytest.importorskip("matplotlib")
    asked = ("gpt-oss-120b", *ON, *SMALL, "--svg", str(drawn), "--why", "--compare", "1x tp4", "4x tp1")
    assert "5 copies need as many cards" in _refused(*asked, "5x tp1").message
    found = _run(*asked)
    assert found.exit_code == 0, found.output
    for word in ("BEST", "1x tp4", "4x tp1", "4 requests/s", "room for tokens", "of 4 cards, tensor split"):
        assert word in found.output
    assert "<svg" in drawn.read_text()


def test_json_is_the_same_answer() -> None:
    found = _run("gpt-oss-120b", *ON, *SMALL, "--json", "--compare", "tp4", "--compare", "4x tp1")
    assert found.exit_code == 0
    answer = json.loads(found.output)
    assert [one["layout"]["text"] for one in answer["layouts"]] == ["tp4", "4x tp1"]
    assert len(answer["layouts"][1]["layout"]["copies"]) == 4


def test_a_trace_is_served(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = "".join(f"{n},{300 + n},{20 + n}\n" for n in range(40))
    path.write_text("arrival_s,prompt_tokens,output_tokens\n" + rows)
    found = _run("qwen3-30b-a3b", "--on", "rtx-pro-6000", "--trace", str(path))
    assert "40 requests, read as plain" in found.output
    assert found.exit_code == 0, found.output
    as_json = _run("qwen3-30b-a3b", "--on", "rtx-pro-6000", "--trace", str(path), "--json")
    assert json.loads(as_json.output)["asked"]["trace"] == str(path)
    other = _run("qwen3-30b-a3b", "--on", "rtx-pro-6000", "--trace", str(path), "--arrivals", "4/s")
    assert "4 requests/s" in other.output


@pytest.mark.parametrize(
    ("arguments", "says", "hint"),
    [
        (("--arrivals", "1/s", "8x tp1"), "what is '8x tp1'?", "--compare '8x tp1'"),
        (("--users", "4", "--compare", "tp4"), "--users", "--arrivals"),
        (("--compare", "tp4", "--routing", "sesion"), "no routing", "did you mean session"),
        (("--trace-format", "azure", "--arrivals", "1/s"), "about a trace", "--trace FILE"),
        (("--trace", "none.csv"), "no file", "--trace FILE"),
        (("--trace", __file__, "--users", "3"), "not --users too", "leave out --users"),
        (("--trace", __file__), "is no trace I know", "--trace-format"),
        (("--trace", __file__, "--trace-format", "azur"), "no format of traces", "did you mean azure"),
    ],
)
def test_what_cannot_be_is_refused_with_a_way_out(arguments: tuple[str, ...], says: str, hint: str) -> None:
    error = _refused("gpt-oss-120b", *ON, *arguments)
    assert says in error.message
    assert hint in error.hint


def test_the_options_name_what_there_is() -> None:
    assert "|".join(FORMATS) == load_copies.FORMATS
    help_text = _run("--help").output.replace("\n", " ")
    assert all(routing in " ".join(help_text.split()) for routing in ROUTINGS)
    assert f"default: {SLOWER:g}" in help_text
