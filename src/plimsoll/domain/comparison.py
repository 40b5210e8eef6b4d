"""Models side by side, and what carries over from the first to each of the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from plimsoll.domain.answer import Verdict
from plimsoll.domain.origin import Source

Portability = Literal["portable", "partly", "not", "unknown"]
Unit = Literal["text", "count", "parameters", "tokens", "bytes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRow:
    """One property of every model, in the order of the models; None is unknown."""

    key: str
    label: str
    unit: Unit
    values: tuple[int | str | None, ...]

    @property
    def differs(self) -> bool:
        """Whether the models do not all have the same value."""
        return len(set(self.values)) > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerPrint:
    """What tells tokenizers apart. `tokens_sha256` is over (id, text) in order of ids with the added tokens,
    `merges_sha256` over the merges in order; both '' where no file was read. `rows_count` are the
    embedding's rows, `special_ids` the ids that the config gives roles to."""

    rows_count: int
    kind: str = ""
    tokens_count: int | None = None
    tokens_sha256: str = ""
    merges_sha256: str = ""
    special_ids: Mapping[str, int] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraGroup:
    """Modules of the first model that share a name and a fate on the other: they carry over, or `reason`."""

    module: str
    modules_count: int
    carries: bool
    reason: str = ""
    shape: tuple[int, ...] = ()
    other_shape: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Continued:
    """One thing that may carry over: whether, and why."""

    what: Literal["tokenizer", "chat format", "prompts", "LoRA adapters"]
    verdict: Portability
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuity:
    """What of one model can be kept when another takes its place."""

    from_model: str
    to_model: str
    items: tuple[Continued, ...]
    lora: tuple[LoraGroup, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FitCell:
    """Whether one model fits the machine, as `plimsoll fit` says."""

    model: str
    verdict: Verdict
    reason: str
    runtime: str
    weight_format: str
    context_tokens: int | None = None
    headroom_bytes: int | None = None
    max_context_tokens: int | None = None
    max_parallel_sequences: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The answer of `compare`."""

    question: str
    asked: Mapping[str, Any]
    models: tuple[str, ...]
    rows: tuple[ComparedRow, ...]
    continuity: tuple[Continuity, ...]
    tokenizers: tuple[TokenizerPrint, ...]
    machine: str = ""
    fits: tuple[FitCell, ...] = ()
    notes: tuple[str, ...] = ()
    unknowns: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
