"""`plimsoll store-plan` at the command line."""

from __future__ import annotations

import json

from click.testing import CliRunner, Result

from plimsoll.doors.cli.main import cli


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["store-plan", *words])


def test_the_arithmetic_and_the_ways() -> None:
    done = run("--pages", "1_000_000", "--language", "ru", "--embedder", "bge-m3")
    assert done.exit_code == 0, done.output
    assert "1,000,000 pages x 2,403 characters" in done.stdout
    assert "▸  qdrant hnsw float32" in done.stdout
    assert "TiB" not in done.stdout


def test_why_shows_what_terabytes_would_be_and_who_said_what_belongs_where() -> None:
    done = run("--pages", "1M", "--why")
    assert "not needed: a vector per token" in done.stdout
    assert "TiB" in done.stdout
    assert "retrieval: Facts of your texts" in done.stdout
    assert "https://arxiv.org/abs/2404.05405" in done.stdout


def test_json_holds_what_the_text_says() -> None:
    found = json.loads(
        run("--pages", "2M", "--on", "rtx-3090 + 64GiB ram", "--queries", "2/s", "--json").stdout
    )
    assert found["verdict"] == "fits"
    assert found["asked"]["pages"] == 2_000_000
    assert found["way"]["components"][0]["estimate"]["unit"] == "bytes"
    assert any("queries a second" in note for note in found["notes"])


def test_a_machine_too_small_says_no() -> None:
    done = run("--pages", "2M", "--on", "rtx-3090 + 4GiB ram", "--store", "faiss", "--index", "hnsw")
    assert done.exit_code == 1
    assert done.stdout.startswith("DOES NOT FIT")


def test_usage_errors() -> None:
    for words in (
        ("--pages", "0"),
        ("--pages", "-5"),
        ("--pages", "many"),
        ("--pages", "1", "--queries", "0/s"),
    ):
        assert run(*words).exit_code == 2, words
    assert run().exit_code == 2
