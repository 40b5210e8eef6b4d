"""Nouns of load: a server as its scheduler sees it, what becomes of each request, what a run amounts to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from plimsoll.domain.answer import ModelFacts
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.origin import Source
from plimsoll.domain.traffic import Request

Scheduling = Literal["chunked", "prompts first", "slots"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One engine with continuous batching, in tokens and slots.

    `scheduling` is vLLM's ('chunked': prompts beside decoding, in parts), SGLang's ('prompts first': nobody
    decodes meanwhile) or llama-server's ('slots'). `slots_count` requests run at a time (max_num_seqs,
    max_running_requests, -np); a step computes at most `step_tokens` (max_num_batched_tokens,
    chunked_prefill_size, -b). The KV cache holds `pool_tokens` in blocks of `block_tokens`; one request may
    be `context_tokens` long. With separate slots each has a cache of `context_tokens` of its own, and
    `pool_tokens` is their sum; `is_unified` slots share the pool. Taking a request in takes `intake_s`, one
    after the other, and `delay_s` more beside the others.
    """

    scheduling: Scheduling
    slots_count: int
    step_tokens: int
    pool_tokens: int
    context_tokens: int
    block_tokens: int = 1
    has_prefix_cache: bool = True
    is_unified: bool = True
    intake_s: float = 0.0
    delay_s: float = 0.0
    saved_tokens: int = 0

    def __post_init__(self) -> None:
        if min(self.slots_count, self.step_tokens, self.block_tokens, self.context_tokens) < 1:
            raise ValueError("slots, tokens of a step, of a block and of the context are at least 1")
        has_own = self.scheduling == "slots" and not self.is_unified
        if has_own and self.pool_tokens < self.slots_count * self.context_tokens:
            raise ValueError("separate slots have a context each")

    @property
    def most_tokens(self) -> int:
        """Prompt and answer of the longest request that can be served at all: SGLang keeps a block spare, and
        admits only what leaves a token more."""
        blocks = self.pool_tokens // self.block_tokens * self.block_tokens
        spare = self.block_tokens + 1 if self.scheduling == "prompts first" else 0
        return min(self.context_tokens, blocks - spare)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a request; `refused` says why it was not answered ('' where it was).

    `arrived_s` differs from the request's own `arrival_s` where it waited for its session's answer;
    `entered_s` is when the server had taken it in, `admitted_s` the begin of the step that first computed
    some of its prompt. `cached_tokens` of its prompt were found in the cache; it was preempted
    `preemptions_count` times. Times are seconds from the start; of a refused one, those of the refusal.
    """

    request: Request
    arrived_s: float
    entered_s: float
    admitted_s: float
    first_token_s: float
    finished_s: float
    cached_tokens: int = 0
    preemptions_count: int = 0
    refused: str = ""

    @property
    def ttft_s(self) -> float:
        """From arrival to the first token."""
        return self.first_token_s - self.arrived_s

    @property
    def total_s(self) -> float:
        """From arrival to the last token."""
        return self.finished_s - self.arrived_s

    @property
    def tpot_s(self) -> float:
        """Per token after the first; 0 where there was only one."""
        return (self.finished_s - self.first_token_s) / max(self.request.output_tokens - 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """A run from its first arrival until all was answered or `seconds` were over.

    `outcomes` are in the order of finishing; `unfinished_count` requests had come and were not answered when
    the run ended. Means are over time. `computed_tokens` counts prompt tokens that were computed,
    `recomputed_tokens` those of them that a preemption had thrown away.
    """

    server: Server
    outcomes: tuple[Outcome, ...] = field(repr=False)
    unfinished_count: int
    seconds: float
    busy_seconds: float
    steps_count: int
    waiting_mean: float
    waiting_most: int
    running_mean: float
    running_most: int
    held_share_mean: float
    held_share_most: float
    preemptions_count: int
    computed_tokens: int
    recomputed_tokens: int
    cached_tokens: int
    in_system_mean: float

    @property
    def answered(self) -> tuple[Outcome, ...]:
        """The requests that were not refused."""
        return tuple(o for o in self.outcomes if not o.refused)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A value, and what encloses it: the same run with the fast and with the slow end of the step times."""

    low: float
    value: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPoint:
    """One load of a sweep: `at` requests a second, or users. `goodput_per_s` are requests a second that met
    the targets; None without targets. `recomputed_share` of all computed prompt tokens had been thrown away
    by preemptions."""

    at: float
    ttft_p50_s: Span
    ttft_p95_s: Span
    tpot_p95_s: Span
    requests_per_s: Span
    tokens_per_s: Span
    goodput_per_s: Span | None
    waiting_mean: Span
    recomputed_share: float
    refused_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the server can carry: the largest rate at which queues do not grow without end, and the users who
    ask at that rate where it was asked by users. `collapse_at` is the first load of the sweep that breaks
    down, in its unit, and `collapse_reason` why; None where none of the sweep did."""

    rate_per_s: Estimate
    users: Estimate | None
    collapse_at: float | None
    collapse_reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadTargets:
    """What 95 of 100 requests shall keep; None is no target."""

    ttft_s: float | None = None
    tpot_s: float | None = None

    @property
    def is_set(self) -> bool:
        return self.ttft_s is not None or self.tpot_s is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadAnswer:
    """The answer of `load`. `figures` are of the asked load, `points` of a sweep through other loads.

    `verdict`: 'keeps_up', 'misses_targets' (it keeps up, but too slowly), 'saturated' (queues grow without
    end), 'does_not_fit' (the model, or the longest request), 'unknown'. `refused` counts requests by why
    they were not answered.
    """

    question: str
    asked: Mapping[str, object]
    verdict: str
    reason: str
    model: tuple[ModelFacts, ...]
    machine: str
    placement: tuple[str, ...]
    at_unit: str
    server: Server | None = None
    requests_count: int = 0
    seconds: float = 0.0
    figures: tuple[Estimate, ...] = ()
    limits: Limits | None = None
    points: tuple[LoadPoint, ...] = ()
    refused: Mapping[str, int] = field(default_factory=dict)
    hint: str = ""
    notes: tuple[str, ...] = ()
    unknowns: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 keeps up, 1 does not, 3 unknown."""
        return {"keeps_up": 0, "unknown": 3}.get(self.verdict, 1)
