"""The command as a person or a program calls it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import plimsoll
from plimsoll.doors.cli.main import main

FIRST = ["fit", "gpt-oss-120b", "--on", "rtx-pro-6000", "--context", "131072", "--offline"]


Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


def run(capsys: Capture, monkeypatch: Patch, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["plimsoll", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    out, err = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, out, err


def test_the_answer_reads_well(capsys: Capture, monkeypatch: Patch) -> None:
    code, out, err = run(capsys, monkeypatch, *FIRST)
    assert (code, err) == (0, "")
    for words in (
        "FITS",
        "left",
        "┃ capacity",
        "KV cache",
        "longest context that fits: 131,072",
        "others: --runtime",
    ):
        assert words in out


def test_json_has_what_others_build_on(capsys: Capture, monkeypatch: Patch) -> None:
    code, out, _ = run(capsys, monkeypatch, *FIRST, "--json")
    answer = json.loads(out)
    assert code == 0
    assert {
        "verdict", "bill", "model", "max_context_tokens", "max_parallel_sequences", "notes", "sources",
        "unknowns", "versions",
    } <= set(answer)  # fmt: skip
    line_keys = {
        "component", "label", "device", "model", "size_bytes", "low_bytes", "high_bytes", "basis", "formula",
        "inputs", "origins",
    }  # fmt: skip
    assert all(line_keys <= set(line) for line in answer["bill"]["lines"])
    device_keys = {"id", "capacity_bytes", "used_bytes", "headroom_bytes"}
    assert all(device_keys <= set(device) for device in answer["bill"]["devices"])
    assert {"id", "parameters_count", "active_parameters_count"} <= set(answer["model"][0])


def test_why_shows_formula_inputs_and_sources(capsys: Capture, monkeypatch: Patch) -> None:
    _, out, _ = run(capsys, monkeypatch, *FIRST, "--why")
    assert "formula  formulas." in out
    assert "sources:" in out
    assert "from catalog: " in out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["fit", "llama-3.3-70b", "--on", "rtx-3090", "--runtime", "vllm"], 1, ""),
        (["fit", "Qwen3-72B", "--on", "rtx-pro-6000"], 2, "nearest: "),
        (["fit", "gpt-oss-120b", "--on", "rtx 6000"], 2, "fits several devices"),
        (["fit", "gpt-oss-120b", "--on", "rtx-3090", "--context", "lots"], 2, "tokens"),
        (["fit", "gpt-oss-120b", "--on", "rtx-3090", "--parallel", "0"], 2, "--parallel"),
        (["fit", "gpt-oss-120b", "--on", "rtx-3090", "--set", "x"], 2, "NAME=VALUE"),
        (["fit"], 2, "MODEL"),
        (["ftt"], 2, "did you mean `plimsoll fit`"),
        (["fit", "qwen3-30b-a3b", "--on", "epyc-9554", "--weights", "q4_k_m"], 3, ""),
        (["fit", "./no-such-file.gguf", "--on", "rtx-3090"], 4, ""),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else None,
)
def test_exit_codes_and_hints(
    words: list[str],
    code: int,
    said: str,
    capsys: Capture,
    monkeypatch: Patch,
) -> None:
    got, _, err = run(capsys, monkeypatch, *words, *(["--offline"] if words[0] == "fit" else []))
    assert got == code
    assert said in err
    assert "Traceback" not in err


def test_an_error_as_json_is_one_object(capsys: Capture, monkeypatch: Patch) -> None:
    code, out, err = run(capsys, monkeypatch, "fit", "Qwen3-72B", "--on", "rtx-pro-6000", "--json")
    body = json.loads(out)
    assert (code, err) == (2, "")
    assert body["error"] == "UnknownModel"
    assert {"message", "hint"} <= set(body)


def test_colour_never_reaches_a_pipe(capsys: Capture, monkeypatch: Patch) -> None:
    _, out, _ = run(capsys, monkeypatch, *FIRST)
    assert "\x1b[" not in out


def piped(*words: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    code = "from plimsoll.doors.cli.main import main; main()"
    source = str(Path(plimsoll.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, check=False,
        env={**os.environ, "PYTHONPATH": source, **environment},
    )  # fmt: skip


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437"])
def test_signs_that_the_output_cannot_hold_become_plain_ones(encoding: str) -> None:
    done = piped(*FIRST, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    said = done.stdout.decode(encoding)
    assert "| capacity" in said
    assert "?" not in said


def test_json_is_utf8_whatever_the_console() -> None:
    done = piped(*FIRST, "--json", PYTHONIOENCODING="cp1252")
    assert json.loads(done.stdout.decode("utf-8")) == json.loads(piped(*FIRST, "--json").stdout)


def test_a_reader_that_goes_away_is_not_a_no() -> None:
    code = "from plimsoll.doors.cli.main import main; main()"
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, *FIRST], stdout=write, stderr=subprocess.PIPE, check=False,
            env={**os.environ, "PYTHONPATH": str(Path(plimsoll.__file__).parents[1])},
        )  # fmt: skip
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["", "--on", "rtx-3090"], "no model is named"),
        (["llama-3.1-8b", "--on", ""], "no machine is named"),
        (["llama-3.1-8b", "--on", "rtx-3090", "--desktop", "30GiB"], "a desktop cannot take 30.00 GiB"),
    ],
)
def test_what_is_missing_or_too_much_is_named(
    words: list[str], said: str, capsys: Capture, monkeypatch: Patch
) -> None:
    code, _, err = run(capsys, monkeypatch, "fit", *words, "--offline")
    assert code == 2
    assert said in err
    assert "hint: " in err
