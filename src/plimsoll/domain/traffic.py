"""What asks a server: requests in the order of their arrival."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request: when it comes, how long its prompt is, and how many tokens it is answered with.

    `prefix_blocks` names the prompt's beginning block by block (`prefix_block_tokens` each): two prompts
    that begin with the same names begin with the same tokens, and a prefix cache may hold them. Requests of
    one `session` follow each other; '' is none. Times are seconds from the start of the trace.
    """

    arrival_s: float
    prompt_tokens: int
    output_tokens: int
    session: str = ""
    prefix_blocks: tuple[int, ...] = ()
    prefix_block_tokens: int = 512

    def __post_init__(self) -> None:
        if self.arrival_s < 0 or self.prompt_tokens < 1 or self.output_tokens < 1:
            raise ValueError("a request comes at 0 s or later, with at least one token each way")
