"""`plimsoll train-plan` at the command line."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from plimsoll.doors.cli.main import cli


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["train-plan", *words, "--offline"])


def test_the_text_says_what_fits_time_disk_and_the_file() -> None:
    done = run("qwen3-8b", "--on", "rtx-pro-6000", "--tokens", "1M")
    assert done.exit_code == 0
    for part in ("FITS", "inputs of the layers", "steps", "time:", "disk:", "adapter file:"):
        assert part in done.stdout


def test_why_names_each_formula() -> None:
    done = run("qwen3-8b", "--on", "rtx-pro-6000", "--why")
    assert "formulas.training:layer_inputs_bytes(tokens_count = 2048" in done.stdout
    assert "formulas.training:training_seconds" in done.stdout


def test_json_holds_what_the_text_says() -> None:
    found = json.loads(run("qwen3-8b", "--on", "rtx-4090", "--method", "qlora", "--json").stdout)
    assert (found["verdict"], found["setup"]["base_bits"]) == ("fits", 4)
    assert found["memory"]["peak"] in ("loss", "backward", "step")
    assert found["adapter_file_bytes"] > 0


@pytest.mark.parametrize(("text", "tokens"), [("10M", 10**7), ("300k", 300_000), ("1.5B", 1_500_000_000)])
def test_data_is_counted_in_decimal_millions(text: str, tokens: int) -> None:
    found = json.loads(run("qwen3-8b", "--on", "rtx-pro-6000", "--tokens", text, "--json").stdout)
    assert found["asked"]["tokens_count"] == tokens


@pytest.mark.parametrize("text", ["-5", "0", "many", "nan", "inf", ""])
def test_tokens_that_are_none_are_refused(text: str) -> None:
    assert run("qwen3-8b", "--on", "rtx-pro-6000", "--tokens", text).exit_code == 2


def test_zero_and_fsdp_together_are_refused() -> None:
    done = run("qwen3-8b", "--on", "2x rtx-pro-6000", "--zero", "3", "--fsdp")
    assert "leave one of them out" in str(getattr(done.exception, "hint", ""))


def test_a_file_is_printed_where_none_is_written() -> None:
    done = run("qwen3-8b", "--on", "rtx-pro-6000", "--config", "unsloth")
    assert "unsloth train --config unsloth.yaml" in done.stdout
    assert "training_type" in done.stdout


def test_what_cannot_be_trained_is_not_said_to_lack_memory() -> None:
    found = CliRunner().invoke(
        cli, ["train-plan", "qwen3-8b", "--method", "router-only", "--on", "rtx-pro-6000", "--offline"]
    )
    assert found.exit_code == 1
    assert found.output.startswith("CANNOT  Qwen/Qwen3-8B has no router to train\n")
    assert "left" not in found.output
