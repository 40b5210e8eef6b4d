"""A command as a shell takes it: one flag a line, the reason behind it, every word quoted."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from plimsoll.domain.launch import Command, Flag, LaunchFile

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


FILE_NAME = "launch.sh"


def script_file(command: Command) -> LaunchFile:
    """The script as a file; the program takes the shell's place, so that signals reach it."""
    return LaunchFile(
        name=FILE_NAME,
        text=f"#!/usr/bin/env bash\n{script(command, before='exec ')}",
        reason="starts the model",
    )


def script(command: Command, *, before: str = "") -> str:
    """A bash script that starts the command. Pasted into a terminal it does the same.

    The flags stand in an array, the only form in which a shell takes a comment behind each of them.
    """
    lines = [f"export {flag.name}={quoted(flag.value)}{_because(flag, 0)}" for flag in command.environment]
    words = [" ".join(quoted(word) for word in (f.name, f.value) if word) for f in command.flags]
    width = max((len(w) for w in words if len(w) <= 44), default=0)
    lines += ["flags=(", *(f"  {w}{_because(f, width - len(w))}" for w, f in _pairs(words, command)), ")"]
    lines.append(f'{before}{" ".join(map(quoted, command.program))} "${{flags[@]}}"')
    return "\n".join(lines) + "\n"


def one_line(words: Sequence[str]) -> str:
    """Words as one line for a shell."""
    return " ".join(map(quoted, words))


def quoted(word: str) -> str:
    """A word that a shell reads back as it was; no control character reaches a terminal."""
    if not _CONTROL.search(word):
        return shlex.quote(word)
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{_CONTROL.sub(_escape, escaped)}'"


def shown(text: str) -> str:
    """A sentence on one line, control characters spelled out."""
    return _CONTROL.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    short = {9: "\\t", 10: "\\n", 13: "\\r"}.get(code)
    return short or (f"\\x{code:02x}" if code < 128 else f"\\u{code:04x}")


def _because(flag: Flag, gap: int) -> str:
    return f"{' ' * max(gap, 0)}  # {shown(flag.reason)}" if flag.reason else ""


def _pairs(words: Sequence[str], command: Command) -> list[tuple[str, Flag]]:
    return list(zip(words, command.flags, strict=True))
