"""What the log of a running engine says of its memory, and of why it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BufferKind = Literal["weights", "kv", "state", "compute", "output", "adapters"]
FigureKind = Literal[
    "weights", "kv_pool", "state_pool", "kv_tokens", "window_tokens", "concurrency", "graphs"
]
FailureKind = Literal["memory", "port", "file", "flag", "architecture", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffer:
    """A buffer as logged: `name` is the backend's ('CUDA0', 'CPU_Mapped', 'Vulkan_Host'); `step_bytes` is
    what the last printed digit is worth."""

    kind: BufferKind
    name: str
    size_bytes: int
    step_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number as vLLM or SGLang logs it: bytes, tokens or requests, as `kind` says. `rank` names the process
    that logged it ('TP1', 'PP0 TP1'; '' for the only one), `step` is what the last printed digit is worth."""

    kind: FigureKind
    rank: str
    value: float
    step: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The line that says why it ended, and what kind of reason that is."""

    kind: FailureKind
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLog:
    """The buffers of the last context in a log; caches of one device are separate entries.
    `splits_count` is into how many parts its graph is cut: one for each change of device. `figures` are what
    the Python runtimes report instead of buffers. `target_buffers` are those of the model that a draft model
    was loaded after; `buffers` are the draft's then.
    """

    buffers: tuple[Buffer, ...] = ()
    target_buffers: tuple[Buffer, ...] = ()
    figures: tuple[Figure, ...] = ()
    context_tokens: int | None = None
    sequence_tokens: int | None = None
    slots_count: int | None = None
    slot_tokens: int | None = None
    splits_count: int | None = None
    is_ready: bool = False
    failures: tuple[Failure, ...] = ()

    @property
    def failure(self) -> Failure | None:
        """The most telling failure: of memory before all others, else the first."""
        return min(self.failures, key=lambda f: f.kind != "memory", default=None)
