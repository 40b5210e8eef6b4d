"""Which steps a continuous batch takes: counted, not timed, so that a time is a sum over steps.

An engine with continuous batching (vLLM, SGLang, TensorRT-LLM, llama-server) runs one step after another. A
step generates one token for every running request and, within the step's token budget, computes part of the
prompts that wait, first come first served; a prompt whose last part was computed yields its first token at
the end of that step (chunked prefill: Agrawal et al. 2024, arXiv 2403.02310; vLLM's v1 scheduler). While
every request has the same shape and a finished one is replaced at once, which step does what depends on
counts alone, not on how long a step takes.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence

from plimsoll.domain.serving import Load, Schedule, Served, Stretch


def schedule(load: Load) -> Schedule:
    """The steps that serve `rounds_count` x `concurrent_count` requests."""
    total = load.concurrent_count * max(load.rounds_count, 1)
    slots = min(load.slots_count or load.concurrent_count, load.concurrent_count)
    waiting: deque[list[int]] = deque([r, load.computed_tokens] for r in range(load.concurrent_count))
    arrived, first, last = [0] * total, [0] * total, [0] * total
    finishing: list[tuple[int, int]] = []
    stretches: list[Stretch] = []
    issued, step, held = load.concurrent_count, 0, 0
    while waiting or finishing:
        count = len(finishing)
        budget = max(load.chunk_tokens - (0 if load.is_prompt_first else count), 1)
        left, done = budget, list[int]()
        while waiting and left:
            if waiting[0][1] == load.computed_tokens:
                if held >= slots:
                    break
                held += 1
            taken = min(left, waiting[0][1])
            waiting[0][1] -= taken
            left -= taken
            if waiting[0][1]:
                break
            done.append(waiting.popleft()[0])
        used = budget - left
        if used and load.is_prompt_first:  # those that run stand still for this step
            count, finishing = 0, [(at + 1, request) for at, request in finishing]
        steps = 1 if used else finishing[0][0] - step
        stretches.append(Stretch(steps_count=steps, decode_sequences_count=count, prefill_tokens=used))
        step += steps
        for request in done:
            first[request] = step
            heapq.heappush(finishing, (step + load.output_tokens - 1, request))
        while finishing and finishing[0][0] <= step:
            last[heapq.heappop(finishing)[1]] = step
            held -= 1
            if issued < total:
                arrived[issued] = step
                waiting.append([issued, load.computed_tokens])
                issued += 1
    requests = tuple(
        Served(arrived_step=a, first_step=f, last_step=z)
        for a, f, z in zip(arrived, first, last, strict=True)
    )
    return Schedule(load=load, stretches=tuple(stretches), requests=requests)


def between(found: Schedule, start: int, end: int) -> tuple[Stretch, ...]:
    """The steps from `start` to `end`, like ones together."""
    kinds: dict[tuple[bool, int], list[float]] = {}
    at = 0.0
    for s in found.stretches:
        steps = min(at + s.steps_count, end) - max(at, start)
        at += s.steps_count
        if steps > 0:
            kind = kinds.setdefault((s.prefill_tokens > 0, _size(s.decode_sequences_count)), [0.0, 0.0, 0.0])
            kind[0] += steps
            kind[1] += steps * s.decode_sequences_count
            kind[2] += steps * s.prefill_tokens
        if at >= end:
            break
    return tuple(
        Stretch(steps_count=n, decode_sequences_count=d / n, prefill_tokens=p / n)
        for n, d, p in kinds.values()
    )


def _size(count: float) -> int:
    """Steps whose sequences lie between the same powers of two are alike."""
    return int(count).bit_length()


def mean(parts: Sequence[tuple[Stretch, ...]]) -> tuple[Stretch, ...]:
    """The average of several runs of steps."""
    share = 1.0 / len(parts)
    return tuple(
        Stretch(
            steps_count=s.steps_count * share, decode_sequences_count=s.decode_sequences_count,
            prefill_tokens=s.prefill_tokens,
        )
        for run in parts for s in run
    )  # fmt: skip


def work_of(steps: Sequence[Stretch]) -> float:
    """A measure of length that orders runs of steps alike: a step, plus one more per 64 prompt tokens."""
    return sum(s.steps_count * (1 + s.prefill_tokens / 64) for s in steps)


def to_first_token(found: Schedule) -> tuple[Stretch, ...]:
    """The steps that the median request waits for its first token, from its arrival."""
    return _median([between(found, r.arrived_step, r.first_step) for r in _distinct(found, is_first=True)])


def per_token(found: Schedule) -> tuple[Stretch, ...]:
    """The steps from the median request's first token to its last, per token."""
    tokens = max(found.load.output_tokens - 1, 1)
    runs = [between(found, r.first_step, r.last_step) for r in _distinct(found, is_first=False)]
    return tuple(
        Stretch(
            steps_count=s.steps_count / tokens, decode_sequences_count=s.decode_sequences_count,
            prefill_tokens=s.prefill_tokens,
        )
        for s in _median(runs)
    )  # fmt: skip


def _distinct(found: Schedule, *, is_first: bool) -> list[Served]:
    """At most some hundred requests, evenly: medians of more do not differ."""
    every = max(len(found.requests) // 128, 1)
    ordered = sorted(found.requests, key=lambda r: r.first_step if is_first else r.last_step)
    return ordered[every // 2 :: every]


def _median(runs: Sequence[tuple[Stretch, ...]]) -> tuple[Stretch, ...]:
    ordered = sorted(runs, key=work_of)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else mean(ordered[middle - 1 : middle + 1])
