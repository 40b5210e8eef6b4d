"""vLLM's scheduler without shortcuts: every step and every block by itself, and no prefix cache.

An oracle for `core.load`, written from vllm/v1/core/sched/scheduler.py of vLLM 0.33.0 apart from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from plimsoll.domain.load import Server
from plimsoll.domain.traffic import Request


@dataclass
class Running:
    request: Request
    tokens: int  # prompt and generated
    computed: int = 0
    blocks: int = 0
    preemptions: int = 0
    first_s: float = -1.0

    @property
    def generated(self) -> int:
        return self.tokens - self.request.prompt_tokens


@dataclass
class Plain:
    """Lists and counters as the engine has them."""

    server: Server
    free: int
    waiting: list[Running]
    running: list[Running]

    def preempt(self) -> Running:
        """The one admitted last gives everything up."""
        last = self.running.pop()
        self.free += last.blocks
        last.blocks = last.computed = 0
        last.preemptions += 1
        self.waiting.insert(0, last)
        return last

    def step(self) -> list[tuple[Running, int]]:
        """Who computes how many tokens in the next step."""
        left, work, is_pressed, at = self.server.step_tokens, list[tuple[Running, int]](), False, 0
        while at < len(self.running) and left > 0:
            one = self.running[at]
            taken = min(one.tokens - one.computed, left)
            needed = self.needed(one, one.computed + taken)
            is_gone = False
            while needed > self.free and not is_gone:
                is_pressed = True
                is_gone = self.preempt() is one
            if is_gone:
                break
            self.free -= needed
            one.blocks += needed
            work.append((one, taken))
            left -= taken
            at += 1
        while self.waiting and left > 0 and not is_pressed and len(self.running) < self.server.slots_count:
            one = self.waiting[0]
            # the whole prompt, though only a part of it may be computed now
            needed = self.needed(one, one.tokens)
            if needed > self.free:
                break
            self.running.append(self.waiting.pop(0))
            self.free -= needed
            one.blocks = needed
            taken = min(one.tokens, left)
            work.append((one, taken))
            left -= taken
        return work

    def needed(self, one: Running, tokens: int) -> int:
        return max(-(-tokens // self.server.block_tokens) - one.blocks, 0)


def served(
    requests: Sequence[Request], server: Server, step_seconds: Callable[[int, float, int, float], float]
) -> list[tuple[float, float, float, int]]:
    """(arrival, first token, end, preemptions) of each request that fits."""
    coming = [Running(request=r, tokens=r.prompt_tokens) for r in requests]
    engine = Plain(server=server, free=server.pool_tokens // server.block_tokens, waiting=[], running=[])
    done: list[tuple[float, float, float, int]] = []
    now = coming[0].request.arrival_s
    while coming or engine.waiting or engine.running:
        while coming and coming[0].request.arrival_s <= now:
            engine.waiting.append(coming.pop(0))
        if not engine.waiting and not engine.running:
            now = coming[0].request.arrival_s
            continue
        work = engine.step()
        if not work:
            continue
        decoding = [one for one, taken in work if one.generated and one.computed == one.tokens - 1]
        tokens = sum(taken for _, taken in work) - len(decoding)
        now += step_seconds(len(decoding), 0.0, tokens, 0.0)
        for one, taken in work:
            one.computed += taken
            if one.computed < one.tokens:
                continue
            one.tokens += 1
            one.first_s = now if one.first_s < 0 else one.first_s
            if one.generated == one.request.output_tokens:
                engine.running.remove(one)
                engine.free += one.blocks
                done.append((one.request.arrival_s, one.first_s, now, one.preemptions))
    return done
