"""`plimsoll scale` at the command line."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from plimsoll.doors.cli.main import cli
from plimsoll.errors import BadSetting

SMALL = ("--for", "qwen3-8b", "--on", "rtx-3090 + 64GiB ram", "--each", "1")


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["scale", *words, "--offline"])


def test_tables_words_and_assumptions(tmp_path: Path) -> None:
    done = run(*SMALL, "--plot", "--svg", str(tmp_path / "a.svg"))
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith("SCALE  Qwen/Qwen3-8B, from GeForce RTX 3090 + 64.00 GiB RAM")
    for words in ("what each makes possible:", "what it comes to:", "assumed, unless told:"):
        assert words in lines
    assert any(line.startswith("2") and "one more rtx-3090" in line for line in lines)
    assert "to wait for; from data sheets, nothing measured, never ranked:" in lines
    assert any("generated tokens/s (upwards) against USD a month" in line for line in lines)
    drawing = (tmp_path / "a.svg").read_text("utf-8")
    assert drawing.startswith("<?xml")
    assert "one more rtx-3090" in drawing


def test_json_says_what_the_text_says_and_why_shows_sources() -> None:
    told = run(*SMALL, "--why", "--hours-per-day", "4", "--resale", "30%..50%", "--horizon", "2y")
    found = json.loads(
        run(*SMALL, "--json", "--hours-per-day", "4", "--resale", "30%..50%", "--horizon", "24mo").stdout
    )
    more = next(w for w in found["ways"] if w["kind"] == "same card")
    assert more["cost_per_month"]["inputs"]["months"] == 24
    assert f"{more['purchase']['value']:,.0f}" in told.stdout
    assert "formulas.ownership:owned_month" in told.stdout
    assert all(p["source"] in told.stdout for w in found["ways"] for p in w["prices"])
    assert "30% to 50% of the price comes back at the end (as given; --resale)" in told.stdout
    assert found["chart"] is None


def test_electricity_without_a_currency_is_in_that_of_the_answer() -> None:
    found = json.loads(run(*SMALL, "--electricity", "0.15/kWh", "--json").stdout)
    assert {a["says"] for a in found["assumptions"] if a["name"] == "electricity"} == {"0.15 USD per kWh"}


def test_every_offer_for_a_while_is_drawn(tmp_path: Path) -> None:
    words = ("--for", "qwen3-8b", "--rent-for", "1week", "--count", "2", "--device", "rtx-4090")
    done = run(*words, "--svg", str(tmp_path / "a.svg"))
    assert done.exit_code == 0, done.output
    drawing = (tmp_path / "a.svg").read_text("utf-8")
    assert "on rented cards" in drawing
    assert "USD all together" in drawing


def test_renting_for_a_week() -> None:
    done = run("--for", "qwen3-8b", "--rent-for", "1week", "--count", "4", "--device", "rtx-3090")
    assert done.exit_code == 0
    assert "what it costs in USD, with the time to fetch the weights:" in done.stdout
    assert "1 Gbit/s from the hub" in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--rate", "EUR=0"), "a rate is above 0"),
        (("--rate", "EUR"), "is no rate"),
        (("--rent-for", "soon"), "is no stretch of time"),
        (("--horizon", "0mo"), "is no time at all"),
        (("--download", "0Gbit/s"), "a line carries more than nothing"),
    ],
)
def test_a_bad_option_is_told_with_an_example(words: tuple[str, ...], says: str) -> None:
    done = run(*SMALL, *words)
    assert done.exit_code == 2
    assert says in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--electricity", "0.3EUR/kWh"), "electricity is in EUR, the answer in USD"),
        (("--electricity", "0/kWh"), "a price is above 0"),
        (("--utilisation", "20%..30%"), "one share"),
        (("--rate", "EUR=1.1", "--rate", "EUR=1.2"), "given twice"),
        (("--currency", "QQQ"), "no currency"),
    ],
)
def test_what_contradicts_itself_is_a_sentence(words: tuple[str, ...], says: str) -> None:
    done = run(*SMALL, *words)
    assert isinstance(done.exception, BadSetting)
    assert says in done.exception.message
    assert done.exception.hint


PAGE = Path(__file__).parents[2] / "docs" / "reference" / "scale.md"
SHOWN = re.findall(
    r"^`plimsoll scale ([^`]+)`\n```text\n(.*?)^```\n", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE
)


@pytest.mark.parametrize(("words", "shown"), SHOWN, ids=[w[:40] for w, _ in SHOWN])
def test_the_page_shows_the_ways_that_are_found_now(words: str, shown: str) -> None:
    """Amounts change with the calibration and notes with the day; what is looked at and assumed must not."""

    def names(text: str) -> set[str]:
        start = re.compile(r"^(?:[0-9]+\*?\s+)?([a-zA-Z0-9][^:\n]*?)(?:  |$)", re.MULTILINE)
        table = text.partition("what it comes to:")[0]
        return {name for name in start.findall(table) if not name.startswith(("note", "unknown"))}

    assert len(SHOWN) == 3
    done = run(*shlex.split(words))
    assert done.exit_code == 0
    assert names(done.stdout) == names(shown), "run: python tools/update_docs.py"
    assert done.stdout.splitlines()[0] == shown.splitlines()[0]
