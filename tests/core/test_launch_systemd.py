"""The unit: what systemd reads back of its command, by the rules of systemd.service(5)."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.core.launch_systemd import quoted
from plimsoll.domain.deployment import Split
from plimsoll.domain.launch import Serving
from tests.core.launch_files import HOSTILE, made, parts, wanted

_ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|.)")
HOSTILE_SERVING = Serving(model_path="/m/" + "".join(HOSTILE), served_name="".join(HOSTILE))


def read_back(line: str) -> list[str]:
    """Words of an ExecStart line: quotes, C escapes, then %% and $$."""
    words = []
    for word in re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', line):
        text = word[0] or word[1]
        data = b"".join(_bytes(part) for part in re.split(r"(\\x[0-9a-f]{2}|\\.)", text))
        plain = data.decode("utf-8", "surrogateescape")
        assert not re.search(r"(?<!%)(%%)*%(?!%)", plain), plain
        assert not re.search(r"(?<!\$)(\$\$)*\$(?!\$)", plain), plain
        words.append(plain.replace("%%", "%").replace("$$", "$"))
    return words


def _bytes(part: str) -> bytes:
    if part.startswith("\\x"):
        return bytes([int(part[2:], 16)])
    return (part[1:] if part.startswith("\\") else part).encode("utf-8", "surrogateescape")


def logical_lines(text: str) -> dict[str, str]:
    """Key -> value with continued lines joined and the comments between them left out."""
    found: dict[str, str] = {}
    lines = [line for line in text.split("\n") if not line.startswith(("#", ";"))]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    for line in joined.split("\n"):
        key, mark, value = line.partition("=")
        if mark:
            found.setdefault(key, value)
    return found


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_a_word_is_read_back_as_it_was(word: str) -> None:
    assert read_back(quoted(word)) == [word]


@pytest.mark.parametrize(
    "runtime", ["vllm", "sglang", "llama_cpp", "transformers", "tensorrt_llm", "exllama"]
)
def test_the_unit_starts_the_command(runtime: str) -> None:
    found = wanted(runtime, on="2x rtx-pro-6000")
    for serving in (None, HOSTILE_SERVING):
        unit = made("systemd", found, serving).files[0].text
        words = read_back(logical_lines(unit)["ExecStart"])
        assert words[:2] == ["/usr/bin/env", "--"]
        assert tuple(words[2:]) == parts(found, serving).command.arguments
        # A hostile name starts no line of its own.
        assert len(re.findall(r"^ExecStart=", unit, re.MULTILINE)) == 1
        assert "\x1b" not in unit


def test_chosen_devices_reach_the_environment() -> None:
    found = wanted(on="3x rtx-3090")
    one = made("systemd", found).files[0].text
    assert "CUDA_VISIBLE_DEVICES" not in one
    chosen = replace(found, split=Split(kind="pipeline", devices=("gpu2", "gpu0")))
    text = made("systemd", chosen).files[0].text
    assert 'Environment="CUDA_VISIBLE_DEVICES=2,0"' in text


@pytest.mark.oracle
@pytest.mark.parametrize(
    "runtime", ["vllm", "sglang", "llama_cpp", "transformers", "tensorrt_llm", "exllama"]
)
def test_systemd_itself_finds_no_fault(runtime: str, tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if not program:
        pytest.skip("no systemd-analyze")
    for number, serving in enumerate((None, HOSTILE_SERVING)):
        unit = made("systemd", wanted(runtime, on="2x rtx-pro-6000"), serving).files[0]
        path = tmp_path / f"{number}-{unit.name}"
        path.write_text(unit.text, "utf-8", "surrogateescape")
        told = subprocess.run([program, "verify", str(path)], check=False, capture_output=True, text=True)
        assert (told.returncode, told.stderr) == (0, "")
