"""What asks a server: requests in the order of their arrival."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request: when it comes, how long its prompt is, and how many tokens it is answered with.

    `prefix_blocks` names the prompt's beginning block by block (`prefix_block_tokens` each): two prompts
    that begin with the same names begin with the same tokens, and a prefix cache may hold them. Requests of
    one `session` follow each other; '' is none. Times are seconds from the start of the trace. With `after_s`
    the request comes so long after the answer to its session's request before it, at `arrival_s` at the
    earliest: a user reads, a tool runs. None comes at `arrival_s`, whatever became of the one before.
    """

    arrival_s: float
    prompt_tokens: int
    output_tokens: int
    session: str = ""
    prefix_blocks: tuple[int, ...] = ()
    prefix_block_tokens: int = 512
    after_s: float | None = None

    def __post_init__(self) -> None:
        if self.arrival_s < 0 or self.prompt_tokens < 1 or self.output_tokens < 1:
            raise ValueError("a request comes at 0 s or later, with at least one token each way")
        if self.after_s is not None and (self.after_s < 0 or not self.session):
            raise ValueError("a request that waits for an answer belongs to a session")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """How many tokens texts have: lognormal through two percentiles, or all alike where the two are equal.

    What is drawn above `most_tokens` is cut there.
    """

    p50_tokens: int
    p95_tokens: int
    most_tokens: int = 1 << 20

    def __post_init__(self) -> None:
        if not 1 <= self.p50_tokens <= self.p95_tokens <= self.most_tokens:
            raise ValueError("lengths are at least 1 token, their median at most their 95th percentile")


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """How people or programs use a model: what they send, what they get, and what they do between.

    A session has `turns_mean` requests on average. Each begins with `shared_tokens` that all sessions have in
    common, goes on with all that was said in the session, and ends with a new text. `together_count` sessions
    begin at once. `wait_s` is the mean time between an answer and the session's next request. `sources` say
    where each figure is from, or that it is our assumption.
    """

    name: str
    new: Lengths
    output: Lengths
    shared_tokens: int = 0
    turns_mean: float = 1.0
    wait_s: float = 0.0
    together_count: int = 1
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.turns_mean < 1 or self.together_count < 1 or self.wait_s < 0 or self.shared_tokens < 0:
            raise ValueError("a session has a request at least, and no wait or prompt is below nothing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """What was said, without times: (tokens of the new text, tokens of its answer), turn by turn."""

    name: str
    turns: tuple[tuple[int, int], ...]
