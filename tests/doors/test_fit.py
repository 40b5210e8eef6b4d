"""The command as a person or a program calls it."""

import json
import sys

import pytest

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
