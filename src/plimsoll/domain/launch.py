"""What starts a deployment: a command with a reason for every flag, and the files around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from plimsoll.domain.answer import ModelFacts, Remedy, Verdict
from plimsoll.domain.bill import Bill
from plimsoll.domain.deployment import Deployment
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.origin import Source

# What stands in a command where the path of a model belongs that nobody told.
NO_MODEL = {"llama_cpp": "MODEL.gguf", "exllama": "MODEL-FOLDER"}
NO_MODEL_ELSEWHERE = "MODEL"
NO_DRAFT = "DRAFT.gguf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Where a launched model is read and served.

    `model_path` is a file, folder or hub id as typed, or the runtime's word of `NO_MODEL` where nobody told;
    `adapter_paths` belong to the adapters of the deployment, in their order; `draft_path` is where a model
    that drafts for it is read, '' without one.
    """

    model_path: str
    served_name: str
    adapter_paths: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8000
    draft_path: str = ""


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
class LaunchParts:
    """What the files of a target are made of: `command` is the runtime's own for the same deployment."""

    deployment: Deployment
    serving: Serving
    command: Command
    promise: Bill


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchFiles:
    """The files of one target, what starts them (typed beside them), and what is worth saying."""

    files: tuple[LaunchFile, ...]
    start: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


Outcome = Literal["ready", "stopped", "out_of_memory"]
Match = Literal["equal", "within", "more", "less", "not reported"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One promise and what the running program said of it. `step_bytes` is what its last printed digits are
    worth; 'within' means between the promised bounds. `is_room` marks what is offered, not taken (a pool)."""

    what: str
    device: str
    promised_bytes: int
    low_bytes: int
    high_bytes: int
    reported_bytes: int | None
    step_bytes: int
    match: Match
    reason: str = ""
    is_room: bool = False

    @property
    def is_worse(self) -> bool:
        """Whether more is taken, or less offered, than promised, without a reason."""
        return self.match == ("less" if self.is_room else "more") and not self.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedCount:
    """A promised count of `unit` (tokens, requests) that the runtime offers, beside the logged one."""

    what: str
    unit: str
    promised: float
    low: float
    high: float
    reported: float | None
    step: float
    match: Match

    @property
    def is_worse(self) -> bool:
        """Whether fewer are offered than promised."""
        return self.match == "less"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchAnswer:
    """The answer of `launch`. Without `command` and `files`, `reason` says why there are none.

    `start` is typed beside the files where they are not started by `command`; `promise` is the bill that
    `fit` gave for exactly this deployment, `estimates` what it says of pools and tokens: what the log is
    compared with.
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
    start: tuple[str, ...]
    serving: Serving | None
    promise: Bill
    remedies: tuple[Remedy, ...]
    estimates: tuple[Estimate, ...]
    notes: tuple[str, ...]
    unknowns: tuple[str, ...]
    sources: tuple[Source, ...]
    versions: Mapping[str, str]
    deployments: tuple[Deployment, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 yes, 1 no, 3 unknown."""
        return {"does_not_fit": 1, "unknown": 3}.get(self.verdict, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAnswer:
    """What became of a started command. `compared` and `counts` hold its reports against the promise,
    `seconds` passed until it served or ended, `exit_status` is the program's own (negative: a signal), None
    while it runs."""

    question: str
    outcome: Outcome
    reason: str
    compared: tuple[Compared, ...]
    seconds: float
    exit_status: int | None
    notes: tuple[str, ...]
    versions: Mapping[str, str]
    counts: tuple[ComparedCount, ...] = ()

    @property
    def takes_more(self) -> bool:
        """Whether a figure is above its promise without a reason."""
        return any(row.is_worse for row in self.compared if not row.is_room)

    @property
    def is_as_promised(self) -> bool:
        """Whether nothing takes more, and no pool offers less, than promised without a reason."""
        return not any(row.is_worse for row in self.compared) and not any(row.is_worse for row in self.counts)

    @property
    def exit_code(self) -> int:
        """0 it serves as promised, 1 it takes more or offers less than promised, or found no memory."""
        return 0 if self.outcome != "out_of_memory" and self.is_as_promised else 1
