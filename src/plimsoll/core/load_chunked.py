"""vLLM's scheduler: prompts in parts beside decoding, preemption by recomputing.

Read in vllm/v1/core/sched/scheduler.py, kv_cache_manager.py and block_pool.py of vLLM 0.33.0. A step gives
every running request its next token, then what is left of `step_tokens` to the prompt that is under way and
to those that wait, first come first served. A request is admitted when the cache holds its whole prompt
(scheduler_reserve_full_isl). Where a running request finds no block, the one admitted last gives all its
blocks up, goes back to the front of the queue, and nobody is admitted in that step.
"""

from __future__ import annotations

from collections import deque

from plimsoll.core.load_batch import Decoding, Job
from plimsoll.core.load_pool import Pool
from plimsoll.domain.load import Server


class Chunked:
    """State of the scheduler; `plan` says what the next steps do, `advance` does them.

    `admitted` are those that were let in since somebody looked, `failed` those that were given up."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.pool = Pool(
            server.pool_tokens // server.block_tokens, server.block_tokens, has_cache=server.has_prefix_cache
        )
        self.decoding = Decoding(server.block_tokens)
        self.waiting: deque[Job] = deque()
        self.admitted: list[Job] = []
        self.failed: list[Job] = []
        self.preemptions_count = self.recomputed_tokens = 0
        self._running: dict[int, Job] = {}
        self._partial: Job | None = None
        self._parts: list[Job] = []

    def add(self, job: Job) -> None:
        """A request that came."""
        job.ids = self.pool.names(job.request)
        self.waiting.append(job)

    @property
    def running_count(self) -> int:
        return len(self._running)

    @property
    def held_share(self) -> float:
        """Of the cache's blocks, those that a request holds."""
        return 1 - self.pool.free / self.pool.blocks_count

    @property
    def is_open(self) -> bool:
        """Whether a request that comes now would be looked at."""
        return not self.waiting and len(self._running) < self.server.slots_count

    def plan(self) -> tuple[int, int, float, int] | None:
        """(decoding sequences, prompt tokens, what those look back on, equal steps at most); None: idle."""
        is_pressed = self._make_room()
        count = len(self.decoding.jobs)
        left = self.server.step_tokens - count
        self._parts, tokens, seen = [], 0, 0.0
        if self._partial and left > 0:
            taken, looked = self._compute(self._partial, left)
            tokens, seen, left = taken, looked, left - taken
        while self.waiting and left > 0 and not is_pressed and self._admit(self.waiting[0]):
            job = self.waiting.popleft()
            self._running[job.number] = job
            taken, looked = self._compute(job, left)
            tokens, seen, left = tokens + taken, seen + looked, left - taken
        if tokens:
            return count, tokens, seen / tokens, 1
        if not count:
            return self.plan() if is_pressed else None
        return count, 0, 0.0, self.decoding.most_steps(self.pool.free)

    def _make_room(self) -> bool:
        """Preempt those admitted last until the others find blocks for a step; whether any had to go."""
        is_pressed = False
        while self.decoding.blocks(1) > self.pool.free:
            self._preempt(self._running[next(reversed(self._running))])
            is_pressed = True
        return is_pressed

    def _preempt(self, job: Job) -> None:
        del self._running[job.number]
        if job is self._partial:
            self._partial = None
        else:
            self.decoding.remove(job)
        self._release(job)
        job.preemptions += 1
        self.preemptions_count += 1
        self.waiting.appendleft(job)

    def _admit(self, job: Job) -> bool:
        """Give a request blocks for all that is known of it, if there are enough, and what is cached."""
        if len(self._running) >= self.server.slots_count:
            return False
        pool, block = self.pool, self.server.block_tokens
        count = pool.matched(job.ids) if job.ids else 0
        piece = pool.piece_tokens(job.request) if job.ids else 0
        shared = job.ids[:count]
        private = job.known - count * piece
        blocks = -(-private // block)
        own = pool.kept(job.number) if job.preemptions and count == job.names_before else 0
        needed = blocks + (pool.idle(shared) * (piece // block) if count else 0)
        if needed + self.decoding.blocks(1) > pool.free:
            return False
        if count:
            pool.hold(shared, piece // block)
        if own:
            own = pool.reclaim(job.number)
        pool.take(blocks - own)
        job.names_count, job.private = count, private
        hit = min(count * piece + own * block, (job.known - 1) // block * block)
        job.computed = hit
        job.cached += hit
        self.admitted.append(job)
        if job.preemptions:
            self.recomputed_tokens += job.known - hit
        return True

    def _compute(self, job: Job, most: int) -> tuple[int, float]:
        """Take part of a prompt into this step: (tokens, tokens x what they look back on)."""
        taken = min(most, job.known - job.computed)
        looked = taken * (job.computed + taken / 2)
        job.computed += taken
        if job.ids:
            self._name(job)
        self._partial = job if job.computed < job.known else None
        self._parts.append(job)
        return taken, looked

    def _name(self, job: Job) -> None:
        """Let others find the pieces computed so far: vLLM does so as soon as they are scheduled."""
        piece = self.pool.piece_tokens(job.request)
        while job.names_count < len(job.ids) and (job.names_count + 1) * piece <= job.computed:
            if not self.pool.name(job.ids[job.names_count]):
                break  # somebody computed the same beside; both keep their own
            job.names_count += 1
            job.private -= piece

    def advance(self, steps: int) -> tuple[list[Job], list[Job]]:
        """Do the planned steps: (those with a token from their prompt, those that ended decoding)."""
        self.pool.take(self.decoding.blocks(steps))
        ended = self.decoding.advance(steps)
        for job in ended:
            self._end(job)
        first = [job for job in self._parts if job.computed == job.known]
        for job in first:
            job.done += 1
            if job.done == job.output:
                self._end(job)
            else:
                self.decoding.add(job)
        return first, ended

    def _end(self, job: Job) -> None:
        del self._running[job.number]
        self._release(job)

    def _release(self, job: Job) -> None:
        """Free its blocks; full ones may be found again, the last one not."""
        block, piece = self.server.block_tokens, 0
        if job.names_count:
            piece = self.pool.piece_tokens(job.request)
            self.pool.let_go(job.ids[: job.names_count], piece // block)
        full = max(job.computed - job.names_count * piece, 0) // block
        self.pool.put_back(full, job.number)
        self.pool.put_back(-(-job.private // block) - full, job.number, is_kept=False)
        job.names_before = job.names_count
        job.names_count = job.private = job.computed = 0
