"""`plimsoll quality` at the command line."""

from __future__ import annotations

import json

from click.testing import CliRunner, Result

from plimsoll.doors.cli.main import cli


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["quality", *words, "--offline"])


def test_a_table_with_basis_figures_and_bars() -> None:
    done = run("Llama-3-8B", "--weights", "q4_k_m", "--weights", "iq2_xxs")
    assert done.exit_code == 0
    assert "mean KL divergence from the reference, nats per token" in done.stdout
    better, worse = [line for line in done.stdout.splitlines() if "measured" in line][:2]
    assert better.startswith("q4_k_m")
    assert 0 < better.count("█") < worse.count("█")


def test_why_shows_each_figure_with_its_address() -> None:
    done = run("Llama-3-8B", "--weights", "q4_k_m", "--why")
    assert "meta-llama/Meta-Llama-3-8B: mean_kld_nats 0.028152 ± 0.00024 beside f16" in done.stdout
    assert "https://" in done.stdout


def test_unknown_is_said_and_bounded() -> None:
    done = run("gpt-oss-20b", "--weights", "q4_k_m", "--kv", "q8_0/q4_0")
    assert done.exit_code == 3
    assert "unknown: q4_k_m: nobody measured it" in done.stdout


def test_json_holds_what_the_text_says() -> None:
    done = run("Llama-3-8B", "--weights", "q4_k_m", "--kv", "q8_0", "--json")
    found = json.loads(done.stdout)
    assert found["losses"][0]["loss"]["basis"] == "measured"
    assert found["cache"]["basis"] == "measured"
    assert found["sources"]
