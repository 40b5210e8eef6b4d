"""What is printed is what a shell starts, whatever the names hold."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plimsoll.core.launch_shell import quoted, script, shown
from plimsoll.domain.launch import Command, Flag

BASH = shutil.which("bash")
words = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=12)


def started(command: Command) -> list[str]:
    """The arguments with which bash starts the program of a script (printf, one a zero byte apart)."""
    assert BASH is not None
    done = subprocess.run(
        [BASH, "-c", script(command)], capture_output=True, check=True, timeout=20, env={"LC_ALL": "C.UTF-8"}
    )
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.skipif(BASH is None, reason="needs bash")
@given(st.lists(words, min_size=1, max_size=6), words)
@settings(max_examples=60, deadline=None)
def test_bash_reads_every_word_back(values: list[str], reason: str) -> None:
    flags = tuple(Flag(name="-x", value=value, reason=reason) for value in values)
    found = started(Command(program=("printf", r"%s\0"), flags=flags))
    assert found == [word for value in values for word in ("-x", value)]


def test_no_control_character_reaches_the_terminal() -> None:
    evil = "a\x1b[2J\n$(reboot)'\\\u202e"
    assert quoted(evil) == r"$'a\x1b[2J\n$(reboot)\'\\\u202e'"
    assert shown("one\ntwo\x07") == r"one\ntwo\x07"


def test_a_reason_stands_behind_its_flag_and_variables_before() -> None:
    text = script(
        Command(
            program=("llama-server",),
            flags=(
                Flag(name="-c", value="8", reason="eight"),
                Flag(name="--jinja", value="", reason="template"),
            ),
            environment=(Flag(name="CUDA_VISIBLE_DEVICES", value="0", reason="one card"),),
        )
    )
    assert text.splitlines() == [
        "export CUDA_VISIBLE_DEVICES=0  # one card",
        "flags=(", "  -c 8     # eight", "  --jinja  # template", ")",
        'llama-server "${flags[@]}"',
    ]  # fmt: skip
