"""SGLang's scheduler without mixed chunks: prompts first, retraction when the pool is full.

Read in python/sglang/srt/managers/scheduler.py (_get_new_batch_prefill_raw, update_running_batch),
schedule_policy.py (PrefillAdder) and schedule_batch.py (retract_decode) of SGLang 0.5.23. While prompts can
be admitted nobody decodes. A request is admitted, first come first served, when the pool has room for its
prompt and all it may answer, beside what those that run are expected to still generate: `ratio` times what
they may. The ratio starts at 0.7, falls with every decode step to 0.098, and is estimated anew when
decoding finds no room and the requests with the fewest generated tokens are sent back to the end of the
queue.
"""

from __future__ import annotations

from collections import deque

from plimsoll.core.load_batch import Decoding, Job
from plimsoll.core.load_pool import Pool
from plimsoll.domain.load import Server

# srt/environ.py: SGLANG_INIT_NEW_TOKEN_RATIO, x SGLANG_MIN_NEW_TOKEN_RATIO_FACTOR,
# SGLANG_NEW_TOKEN_RATIO_DECAY_STEPS, SGLANG_RETRACT_DECODE_STEPS, SGLANG_CLIP_MAX_NEW_TOKENS_ESTIMATION.
_FIRST_RATIO, _LEAST_RATIO, _DECAY_STEPS = 0.7, 0.7 * 0.14, 600
_RETRACT_STEPS = 20
_MOST_EXPECTED = 4096


class PromptsFirst:
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
        self._ratio = _FIRST_RATIO
        self._is_full = False
        self._partial: Job | None = None
        self._parts: list[Job] = []

    def add(self, job: Job) -> None:
        """A request that came."""
        job.ids = self.pool.names(job.request)
        self.waiting.append(job)

    @property
    def running_count(self) -> int:
        return len(self.decoding.jobs) + len(self._parts)

    @property
    def held_share(self) -> float:
        """Of the pool, what a request holds."""
        return 1 - self.pool.free / self.pool.blocks_count

    @property
    def is_open(self) -> bool:
        """Whether a request that comes now would be looked at."""
        return not self._is_full and not self.waiting and len(self.decoding.jobs) < self.server.slots_count

    def plan(self) -> tuple[int, int, float, int] | None:
        """(decoding sequences, prompt tokens, what those look back on, equal steps at most); None: idle."""
        self._parts = []
        if not self.decoding.jobs:
            self._is_full = False
        if self._partial or (self.waiting and not self._is_full):
            tokens, seen = self._prompts()
            if tokens:
                return 0, tokens, seen / tokens, 1
        self._retract()
        count = len(self.decoding.jobs)
        return (count, 0, 0.0, self.decoding.most_steps(self.pool.free)) if count else None

    def _prompts(self) -> tuple[int, float]:
        """Fill a step with prompts: (tokens, tokens x what they look back on)."""
        left, tokens, seen = self.server.step_tokens, 0, 0.0
        promised = self._expected()
        if self._partial:
            job = self._partial
            taken, looked = self._compute(job, left)
            tokens, seen, left = taken, looked, left - taken
            promised += min(job.output - job.done, _MOST_EXPECTED) if not self._partial else 0
        while self.waiting and left > 0 and not self._is_full:
            if self.running_count >= self.server.slots_count:
                self._is_full = True
                break
            job = self.waiting[0]
            expected = self._admit(job, promised)
            if expected < 0:
                self._is_full = bool(self._parts or self.decoding.jobs)
                break
            self.waiting.popleft()
            taken, looked = self._compute(job, left)
            tokens, seen, left = tokens + taken, seen + looked, left - taken
            promised += expected
        return tokens, seen

    def _expected(self) -> float:
        """Tokens that those that run are expected to still generate."""
        steps = self.decoding.steps
        return self._ratio * sum(min(j.end - steps, _MOST_EXPECTED) for j in self.decoding.jobs.values())

    def _admit(self, job: Job, promised: float) -> int:
        """Give a request room for its prompt: what it may answer, or -1 where it has to wait."""
        pool, block = self.pool, self.server.block_tokens
        count = pool.matched(job.ids) if job.ids else 0
        piece = pool.piece_tokens(job.request) if job.ids else 0
        while count and count * piece >= job.known:
            count -= 1  # the last token is computed in any case
        shared = job.ids[:count]
        private = job.known - count * piece
        locked = pool.idle(shared) * piece if count else 0
        expected = min(job.output - job.done, _MOST_EXPECTED)
        if private + expected + block >= pool.free * block - locked - promised:
            return -1
        if count:
            pool.hold(shared, piece // block)
        pool.take(-(-private // block))
        job.names_count, job.private, job.computed = count, private, count * piece
        job.cached += job.computed
        self.admitted.append(job)
        if job.preemptions:
            self.recomputed_tokens += job.known - job.computed
        return expected + block

    def _compute(self, job: Job, most: int) -> tuple[int, float]:
        taken = min(most, job.known - job.computed)
        looked = taken * (job.computed + taken / 2)
        job.computed += taken
        self._partial = job if job.computed < job.known else None
        self._parts.append(job)
        return taken, looked

    def _retract(self) -> None:
        """Send requests back until the others find room for a step: fewest generated tokens, then longest
        prompts first; at least one stays."""
        decoding = self.decoding
        if decoding.blocks(1) <= self.pool.free:
            return
        steps = decoding.steps
        kept = sorted(decoding.jobs.values(), key=lambda j: (j.output - (j.end - steps), -j.prompt))
        for place, job in enumerate(kept[:-1]):
            decoding.remove(job)
            self._release(job, is_known=False)
            job.preemptions += 1
            self.preemptions_count += 1
            self.waiting.append(job)
            if decoding.blocks(1) <= self.pool.free:
                kept = kept[place + 1 :]
                break
        done = sum(j.output - (j.end - steps) for j in kept)
        self._ratio = min((done + _RETRACT_STEPS * len(kept)) / (sum(j.output for j in kept) + 1), 1.0)
        self._is_full = False

    def advance(self, steps: int) -> tuple[list[Job], list[Job]]:
        """Do the planned steps: (those with a token from their prompt, those that ended decoding)."""
        if self._parts:
            return self._advance_prompts(), []
        self.pool.take(self.decoding.blocks(steps))
        ended = self.decoding.advance(steps)
        self._ratio = max(self._ratio - steps * (_FIRST_RATIO - _LEAST_RATIO) / _DECAY_STEPS, _LEAST_RATIO)
        for job in ended:
            self._release(job, is_known=True)
        if ended:
            self._is_full = False
        return [], ended

    def _advance_prompts(self) -> list[Job]:
        first = []
        for job in self._parts:
            if job.ids:
                self._name(job)
            if job.computed < job.known:
                continue
            job.done += 1
            first.append(job)
            if job.done == job.output:
                self._release(job, is_known=True)
                self._is_full = False
            else:
                self.decoding.add(job)
        self._parts = []
        return first

    def _name(self, job: Job) -> None:
        """Insert what was computed into the tree, after the step."""
        piece = self.pool.piece_tokens(job.request)
        while job.names_count < len(job.ids) and (job.names_count + 1) * piece <= job.computed:
            if not self.pool.name(job.ids[job.names_count]):
                break
            job.names_count += 1
            job.private -= piece

    def _release(self, job: Job, *, is_known: bool) -> None:
        block = self.server.block_tokens
        if job.names_count:
            self.pool.let_go(job.ids[: job.names_count], self.pool.piece_tokens(job.request) // block)
        self.pool.put_back(-(-job.private // block), job.number, is_kept=is_known)
        job.names_count = job.private = job.computed = 0
