"""What a question is answered with, and its plain form for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

from plimsoll.domain.bill import Bill
from plimsoll.domain.deployment import Deployment
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.origin import Source

Verdict = Literal["fits", "tight", "offload", "does_not_fit", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """A model of the question, in numbers. `active_parameters_count` counts what one token touches."""

    id: str
    revision: str
    architecture: str
    parameters_count: int
    active_parameters_count: int
    weight_format: str
    trained_context_tokens: int | None
    runtime: str
    runtime_version: str
    fingerprint: str
    unread_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """One change that would make it fit, computed like the question itself.

    `flags` is what to type after the same question; `headroom_bytes` is of the fullest device then.
    """

    change: str
    flags: str
    verdict: Verdict
    headroom_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer of `fit`. `missing_bytes` is 0 when it fits, else what the fullest device lacks.

    `max_context_tokens` and `max_parallel_sequences` change one thing each and keep the rest;
    None means unknown or that nothing fits. `deployments` is what was judged (not part of the JSON).
    `speed` is generation with a full context and the time to the first token; `speed_reason` says what of it
    is not known and why.
    """

    question: str
    asked: Mapping[str, Any]
    verdict: Verdict
    reason: str
    missing_bytes: int
    headroom_bytes: int
    bill: Bill
    model: tuple[ModelFacts, ...]
    machine: str
    max_context_tokens: int | None
    max_parallel_sequences: int | None
    placement: tuple[str, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    estimates: tuple[Estimate, ...] = ()
    notes: tuple[str, ...] = ()
    unknowns: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    deployments: tuple[Deployment, ...] = ()
    speed: tuple[Estimate, ...] = ()
    speed_reason: str = ""

    @property
    def exit_code(self) -> int:
        """0 yes, 1 no, 3 unknown."""
        return {"does_not_fit": 1, "unknown": 3}.get(self.verdict, 0)


def plain(value: Any) -> Any:
    """Dataclasses, tuples and mappings as dicts and lists; computed totals included."""
    if is_dataclass(value) and not isinstance(value, type):
        out = {f.name: plain(getattr(value, f.name)) for f in fields(value) if f.name != "deployments"}
        if hasattr(value, "headroom_bytes"):
            out["headroom_bytes"] = value.headroom_bytes
        return out
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, frozenset):
        return sorted(value)
    return value
