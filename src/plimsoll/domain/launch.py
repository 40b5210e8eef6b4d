"""What starts a deployment: a command with a reason for every flag, and the files around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from plimsoll.domain.answer import ModelFacts, Verdict
from plimsoll.domain.bill import Bill
from plimsoll.domain.origin import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Where a launched model is read and served. `model_path` is a file, folder or hub id, as typed."""

    model_path: str
    served_name: str
    host: str = "127.0.0.1"
    port: int = 8000


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One argument. `value` '' is a switch. `reason` is a sentence that says why it is there."""

    name: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program with its flags; `environment` are variables set for it, as flags with a reason."""

    program: tuple[str, ...]
    flags: tuple[Flag, ...]
    environment: tuple[Flag, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def arguments(self) -> tuple[str, ...]:
        """The program and its flags, one word each, as a process is started with them."""
        words = [w for f in self.flags for w in (f.name, f.value) if w]
        return (*self.program, *words)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchFile:
    """A file to write beside the command ('compose.yaml'), and what it is for."""

    name: str
    text: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchAnswer:
    """The answer of `launch`. Without `command` and `files`, `reason` says why there are none.

    `promise` is the bill that `fit` gave for exactly this deployment: what the log is compared with.
    """

    question: str
    asked: Mapping[str, object]
    verdict: Verdict
    reason: str
    model: tuple[ModelFacts, ...]
    machine: str
    target: str
    command: Command | None
    files: tuple[LaunchFile, ...]
    promise: Bill
    notes: tuple[str, ...]
    unknowns: tuple[str, ...]
    sources: tuple[Source, ...]
    versions: Mapping[str, str]

    @property
    def exit_code(self) -> int:
        """0 yes, 1 no, 3 unknown."""
        return {"does_not_fit": 1, "unknown": 3}.get(self.verdict, 0)
