"""`plimsoll whatif` at the command line."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from plimsoll.doors.cli.main import main; main()", "whatif", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_answer_and_its_json_say_the_same() -> None:
    typed = ("Qwen/Qwen3-30B-A3B", "--set", "num_attention_heads=48", "--offline")
    text, data = run(*typed), run(*typed, "--json")
    assert text.returncode == data.returncode == 1
    assert text.stdout.startswith("LOAD ERROR  num_attention_heads: 32 → 48")
    found = json.loads(data.stdout)
    assert found["verdict"] == "load_error"
    assert found["together"]["engines"][0]["tensors"][0]["held_shape"] == [4096, 2048]


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        (("--set", "num_experts_per_tok=16"), 0),
        (("--set", "num_experts_per_tok=0"), 2),
        (("--set", "num_expert_per_tok=4"), 2),
        (("--set", "rope_scaling=yarn:0.5"), 2),
        (("--context", "-5"), 2),
        (("--experts", "9..1"), 2),
        (("--svg", "x.svg", "--set", "num_experts_per_tok=16"), 2),
        ((), 2),
    ],
)
def test_exit_codes(typed: tuple[str, ...], code: int) -> None:
    done = run("Qwen/Qwen3-30B-A3B", "--offline", *typed, "--json")
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    found = json.loads(done.stdout)
    assert ("error" in found) == (code == 2)


def test_the_sweep_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "sweep.svg"
    done = run("gpt-oss-120b", "--context", "4k..64k", "--svg", str(path), "--offline")
    assert done.returncode == 0, done.stderr
    assert "<svg " in path.read_text()[:500]
    assert "65,536" in done.stdout
    away = run("gpt-oss-120b", "--context", "4k..64k", "--svg", str(tmp_path / "no" / "x.svg"), "--offline")
    assert away.returncode == 2
    assert "cannot be written" in away.stderr


@pytest.mark.slow
def test_a_cold_start_takes_less_than_0_3_s() -> None:
    taken = []
    for _ in range(7):
        start = time.perf_counter()
        assert run("gpt-oss-120b", "--set", "num_experts_per_tok=8", "--offline").returncode == 0
        taken.append(time.perf_counter() - start)
    assert sorted(taken)[3] < 0.3
