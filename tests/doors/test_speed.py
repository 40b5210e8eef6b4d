"""`plimsoll speed` as typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from plimsoll.doors.cli.main import cli
from plimsoll.errors import BadSetting

ASKED = "speed llama-3.1-8b --on rtx-3090 --weights q4_k_m --context 4096 --offline"


def run(*more: str) -> Result:
    return CliRunner().invoke(cli, [*ASKED.split(), *more])


def test_a_plot_can_be_read_without_colour() -> None:
    printed = run("--plot").output
    rows = [line for line in printed.splitlines() if "█" in line and "·" in line]
    assert len(rows) >= 8
    assert "\x1b[" not in printed
    assert "█ expected  ░ 80 % interval  ▸ asked" in printed
    (asked,) = (line for line in rows if line.startswith("▸ ") and "4,096" in line)
    # The mark stands inside its interval, and the numbers stand beside.
    assert "░█░" in asked
    assert "…" in asked


def test_curves_fall_with_depth_and_rise_with_company() -> None:
    deep, wide = json.loads(run("--plot", "--json").output)["curves"]
    rates = [p["value"] for p in deep["points"]]
    assert rates == sorted(rates, reverse=True)
    totals = [p["value"] for p in wide["points"]]
    assert totals == sorted(totals)
    for p in (*deep["points"], *wide["points"]):
        assert p["low"] <= p["value"] <= p["high"]
    assert 4096 in [p["at"] for p in deep["points"]]


def test_without_asking_nothing_is_drawn() -> None:
    assert json.loads(run("--json").output)["curves"] == []
    assert "█" not in run().output


def test_a_picture_goes_into_a_file(tmp_path: Path) -> None:
    path = tmp_path / "speed.svg"
    assert run("--svg", str(path)).exit_code == 0
    assert "<svg " in path.read_text(encoding="utf-8")[:500]


def test_a_picture_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    result = run("--svg", str(tmp_path / "no" / "such.svg"))
    assert isinstance(result.exception, BadSetting)
    assert "cannot be written" in result.exception.message


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("--rent", "1.45", "names no currency"),
        ("--rent", "0USD/h", "a price is above 0"),
        ("--electricity", "0.3EUR/h", "not a price per kWh"),
        ("--power", "lots", "is not a power"),
        ("--power", "0", "is not a power"),
    ],
)
def test_bad_values_are_usage_errors_with_a_hint(option: str, value: str, why: str) -> None:
    result = run(option, value)
    assert result.exit_code == 2
    assert why in result.output


def test_bottlenecks_have_the_names_people_use() -> None:
    assert "memory bandwidth" in run().output
    assert "power limit" in CliRunner().invoke(cli, [*ASKED.split(), "--power", "120W", "--why"]).output


def test_costs_name_price_provider_and_day() -> None:
    printed = run().output
    assert "rent, million generated tokens" in printed
    assert "note: rent: rtx-3090 at " in printed


def test_why_shows_the_formula_of_a_cost_and_where_its_price_stands() -> None:
    printed = run("--why", "--electricity", "0.30EUR/kWh").output
    assert "formulas.cost:rent_per_million(rent_per_hour = " in printed
    assert "formulas.cost:electricity_per_million(watts = 350, price_per_kwh = 0.3, " in printed
    assert "  price of rtx-3090: https://" in printed
