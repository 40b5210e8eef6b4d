"""What runs in a batch: requests on their way, and the sequences that decode together.

Nothing is counted token by token. All sequences that decode advance together, so a sequence is as long as
when it began to decode plus the steps since, and which of them need a new block depends on their lengths
modulo the block alone.
"""

from __future__ import annotations

import heapq

from plimsoll.domain.traffic import Request


class Job:
    """A request inside the server. `done` of its output tokens are generated, as of when it last changed."""

    __slots__ = (
        "admitted_s", "arrived_s", "cached", "computed", "done", "end", "entered_s", "first_s", "grown_from",
        "ids",
        "names_before", "names_count", "number", "output", "preemptions", "private", "prompt", "request",
    )  # fmt: skip

    def __init__(self, number: int, request: Request, arrived_s: float) -> None:
        self.number, self.request, self.arrived_s = number, request, arrived_s
        self.prompt, self.output = request.prompt_tokens, request.output_tokens
        self.done = 0
        self.computed = 0  # tokens of prompt and answer whose keys and values are in the cache
        self.private = 0  # tokens of the cache that it shares with nobody
        self.names_before = self.names_count = (
            0  # named pieces of its prompt that it holds together with others
        )
        self.ids: tuple[int, ...] = ()
        self.cached = self.preemptions = 0
        self.entered_s = self.admitted_s = self.first_s = -1.0
        self.end = self.grown_from = 0

    @property
    def known(self) -> int:
        """Tokens of the prompt and of the answer so far: what is computed before the next one comes."""
        return self.prompt + self.done


class Decoding:
    """Sequences that each get a token per step, in blocks of `block_tokens`."""

    def __init__(self, block_tokens: int) -> None:
        self.jobs: dict[int, Job] = {}
        self.steps = self.tokens = 0
        self._block = block_tokens
        self._ends: list[tuple[int, int]] = []
        self._phases = [0] * block_tokens

    def add(self, job: Job) -> None:
        """A job whose prompt (and answer so far) is computed and whose next token was just generated."""
        job.end = self.steps + job.output - job.done
        job.grown_from = self.steps
        self.jobs[job.number] = job
        self.tokens += job.computed
        self._phases[(job.private - self.steps) % self._block] += 1
        heapq.heappush(self._ends, (job.end, job.number))

    def blocks(self, steps: int) -> int:
        """New blocks that so many steps take."""
        block = self._block
        whole, rest = divmod(steps, block)
        found = whole * len(self.jobs)
        if rest:
            # a sequence takes a block at step j where (private + j) is a multiple of the block
            last = -self.steps % block
            first = last - rest + 1
            phases = self._phases
            if first >= 0:
                found += sum(phases[first : last + 1])
            else:
                found += sum(phases[: last + 1]) + sum(phases[first:])
        return found

    def most_steps(self, free_blocks: int) -> int:
        """Steps until a sequence ends, as long as the free blocks suffice."""
        steps = self.next_end() - self.steps
        if self.blocks(steps) <= free_blocks:
            return steps
        enough, short = 0, steps
        while short - enough > 1:
            middle = (enough + short) // 2
            if self.blocks(middle) <= free_blocks:
                enough = middle
            else:
                short = middle
        return enough

    def next_end(self) -> int:
        """The step at which the next sequence ends."""
        ends = self._ends
        while True:
            end, number = ends[0]
            job = self.jobs.get(number)
            if job is not None and job.end == end:
                return end
            heapq.heappop(ends)

    def advance(self, steps: int) -> list[Job]:
        """Let all decode; those that ended, out of the batch and with their counts up to date."""
        self.steps += steps
        self.tokens += steps * len(self.jobs)
        ended = []
        ends = self._ends
        while ends and ends[0][0] <= self.steps:
            end, number = heapq.heappop(ends)
            job = self.jobs.get(number)
            if job is not None and job.end == end:
                self.remove(job)
                ended.append(job)
        return ended

    def remove(self, job: Job) -> None:
        """Take a job out, with what it generated and holds by now."""
        del self.jobs[job.number]
        grown = self.steps - job.grown_from
        self._phases[(job.private - job.grown_from) % self._block] -= 1
        job.done = job.output - (job.end - self.steps)
        job.computed += grown
        job.private += grown
        self.tokens -= job.computed
