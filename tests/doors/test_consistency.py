"""The commands agree about one question, and take names that are no UTF-8."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from plimsoll.doors.cli.main import main

CONFIG = {
    "model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128,
    "num_hidden_layers": 2, "vocab_size": 100, "torch_dtype": "bfloat16",
}  # fmt: skip


def asked(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> dict[str, Any]:
    monkeypatch.setattr(sys, "argv", ["plimsoll", *words, "--offline", "--json"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


@pytest.mark.parametrize(
    ("model", "machine"),
    [("qwen3-30b-a3b", "rtx-3090"), ("gpt-oss-120b", "rtx-4090 + 128GiB ram"), ("deepseek-v3", "8x h200")],
)
def test_plan_fit_launch_and_speed_say_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, model: str, machine: str
) -> None:
    part = asked(capsys, monkeypatch, "plan", model, "--on", machine)["choices"][0]["parts"][0]
    words = shlex.split(part["flags"])
    fit, launch, speed = (asked(capsys, monkeypatch, name, *words) for name in ("fit", "launch", "speed"))
    assert {a["model"][0]["fingerprint"] for a in (fit, launch, speed)} == {part["fingerprint"]}
    assert fit["verdict"] == launch["verdict"]
    assert fit["bill"] == launch["promise"]
    measured = {s["estimate"]["quantity"]: s["estimate"]["value"] for s in speed["speeds"]}
    assert measured["decode"] == pytest.approx(part["figures"]["decode"]["estimate"]["value"])
    for figure in fit["speed"]:
        assert figure["value"] == pytest.approx(measured[figure["quantity"]])


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="their file names are Unicode")
def test_a_name_that_is_no_utf8_is_answered_and_saved(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/\xff"
    os.mkdir(folder)
    with open(folder + b"/config.json", "w", encoding="utf-8") as file:
        json.dump(CONFIG, file)
    start = [sys.executable, "-c", "from plimsoll.doors.cli.main import main; main()"]

    def run(*words: str | bytes) -> bytes:
        done = subprocess.run([*start, *words], cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return done.stdout

    assert json.loads(run("plan", folder, "--on", "rtx-3090", "--save", "plan.json", "--json"))
    assert b"flags=(" in run("launch", "plan.json#1")
    run("model", folder, "--svg", "map.svg")
    assert (tmp_path / "map.svg").read_text("utf-8").startswith("<svg")
