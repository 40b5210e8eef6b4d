"""`plimsoll diagnose` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from plimsoll.doors.cli.main import cli

LOG = """\
INFO 09-07 10:00:00 [api_server.py:1899] vLLM API server version 0.10.2
| NVIDIA-SMI 570.86.15    Driver Version: 570.86.15     CUDA Version: 12.8 |
INFO GPU KV cache size: 468,434 tokens
torch.AcceleratorError: CUDA error: no kernel image is available for execution on the device
export HF_TOKEN=hf_abcdefghijklmnopqrstuvwxyz0123
"""


def run(*words: str, text: str | None = None) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["diagnose", *words], input=text)
    return result.exit_code, result.output


def test_a_known_failure_is_named_with_cause_fix_and_source(tmp_path: Path) -> None:
    path = tmp_path / "vllm.log"
    path.write_text(LOG)
    code, output = run(str(path))
    assert code == 0
    assert "line 4" in output
    assert "why:" in output
    assert "what helps:" in output
    assert "https://" in output


def test_json_states_the_facts_of_the_log_and_hides_secrets() -> None:
    code, output = run("-", "--json", text=LOG)
    answer = json.loads(output)
    facts = {fact["name"]: fact["value"] for fact in answer["facts"]}
    assert code == 0
    assert answer["verdict"] == "recognised"
    assert facts["vllm version"] == "0.10.2"
    assert facts["driver version"] == "570.86.15"
    assert facts["KV cache tokens"] == "468,434"
    assert "hf_abc" not in output


def test_an_unknown_failure_shows_lines_that_look_like_errors() -> None:
    code, output = run("-", text="ok\nValueError: the moon is full, password=topsecret1\n")
    assert code == 3
    assert "UNKNOWN" in output
    assert "line 2: ValueError: the moon is full" in output
    assert "topsecret1" not in output


def test_a_log_without_errors_says_so() -> None:
    code, output = run("-", text="all is well\n")
    assert code == 3
    assert "nothing in it looks like an error" in output
