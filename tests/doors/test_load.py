from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from plimsoll.doors.cli.main import cli

ASKED = (
    "load meta-llama/Llama-3.1-8B --on rtx-3090 --runtime vllm --weights awq --prompt 1k --output 100"
    " --requests 100 --offline"
)


def asked(*more: str) -> Result:
    return CliRunner().invoke(cli, [*ASKED.split(), *more])


def test_waits_limits_and_plot_are_printed() -> None:
    result = asked("--arrivals", "1/s", "--plot")
    assert result.exit_code == 0
    for word in ("KEEPS UP", "first token", "saturation: ", "80 % interval", "▸", "KV cache in use"):
        assert word in result.output


def test_json_holds_the_whole_answer() -> None:
    result = asked("--users", "4", "--think", "3s", "--json")
    answer = json.loads(result.output)
    assert answer["question"] == "load"
    assert answer["at_unit"] == "users"
    assert answer["limits"]["users"]["value"] > 0
    assert {p["at"] for p in answer["points"]} >= {1.0, 2.0, 4.0}


def test_a_saturated_server_is_a_no() -> None:
    result = asked("--arrivals", "1000/s")
    assert result.exit_code == 1
    assert "SATURATED" in result.output


def test_why_shows_the_server_and_every_figure() -> None:
    result = asked("--arrivals", "60/min", "--why")
    for word in ("tokens of a step", "in blocks of 16", "core.load:simulate", "ttft_p95 ="):
        assert word in result.output


def test_the_chart_is_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "load.svg"
    assert asked("--arrivals", "1/s", "--svg", str(path)).exit_code == 0
    assert "saturation" in path.read_text("utf-8")


def test_a_choice_of_a_saved_plan_is_simulated_as_it_was_planned(tmp_path: Path) -> None:
    saved = str(tmp_path / "plan.json")
    plan = ["plan", "meta-llama/Llama-3.1-8B", "--on", "rtx-3090", "--save", saved, "--offline", "--json"]
    part = json.loads(CliRunner().invoke(cli, plan).output)["choices"][0]["parts"][0]
    few = [
        "--arrivals",
        "1/s",
        "--prompt",
        "500",
        "--output",
        "50",
        "--requests",
        "50",
        "--json",
        "--offline",
    ]
    answer = json.loads(CliRunner().invoke(cli, ["load", f"{saved}#1", *few]).output)
    assert answer["model"][0]["fingerprint"] == part["fingerprint"]


@pytest.mark.parametrize(
    "more",
    [
        ("--arrivals", "0/s"), ("--arrivals", "-1/s"), ("--arrivals", "inf/s"), ("--arrivals", "often"),
        ("--users", "0"), ("--users", "inf"), ("--users", "-3"), (), ("--users", "2", "--arrivals", "1/s"),
        ("--arrivals", "1/s", "--requests", "0"), ("--arrivals", "1/s", "--seconds", "0s"),
    ],
)  # fmt: skip
def test_impossible_loads_are_usage_errors(more: tuple[str, ...]) -> None:
    result = asked(*more)
    assert result.exit_code != 0
    assert result.exception is not None
