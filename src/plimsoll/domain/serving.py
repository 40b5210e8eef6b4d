"""Nouns of serving: how many requests are in flight, what each asks, and what an engine does about them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Requests of one shape: `concurrent_count` in flight, each a prompt and the tokens it generates.

    `cached_tokens` of each prompt are found in the prefix cache. All start at once; a finished request is
    replaced at once until `rounds_count` times as many were served. `chunk_tokens` is what the engine
    computes in one step at most (vLLM's max_num_batched_tokens, llama.cpp's -b); `slots_count` is how many
    requests it runs at the same time (max_num_seqs, -np, or what the KV cache holds); the others queue.
    With `is_prompt_first` nobody decodes while prompts are computed (SGLang without mixed chunks).
    """

    concurrent_count: int
    prompt_tokens: int
    output_tokens: int
    chunk_tokens: int
    cached_tokens: int = 0
    rounds_count: int = 1
    slots_count: int = 0
    is_prompt_first: bool = False

    @property
    def computed_tokens(self) -> int:
        """Prompt tokens that are computed: all that are not cached, at least the last one."""
        return max(self.prompt_tokens - self.cached_tokens, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """`steps_count` equal steps: so many sequences decode, so many prompt tokens are computed beside them."""

    steps_count: float
    decode_sequences_count: float
    prefill_tokens: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One request in steps since the start: when it came, had its first token and its last."""

    arrived_step: int
    first_step: int
    last_step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What the engine does from the first arrival to the last token, in order, and each request's fate."""

    load: Load
    stretches: tuple[Stretch, ...] = field(repr=False)
    requests: tuple[Served, ...] = field(repr=False)
