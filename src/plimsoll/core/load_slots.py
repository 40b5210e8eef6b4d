"""llama-server: slots that keep their last prompt, prompts and decoding in one batch.

Read in tools/server/server-context.cpp (get_available_slot, update_slots, try_clear_idle_slots, decode) and
server-task.cpp (server_prompt_cache) of llama.cpp b11434. A request takes the free slot whose prompt is most
like its own, if that shares more than a tenth of it, else the one that was used least recently. A batch of
`step_tokens` (-b) holds a token of every slot that generates, then parts of prompts, slot by slot. Slots
that share one cache lose their idle prompts when it is full; when that is not enough, all requests in flight
end with an error.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from plimsoll.core.load_batch import Decoding, Job
from plimsoll.domain.load import Server

# common/common.h: slot_prompt_similarity. Below half of a slot's prompt kept, it is saved in host memory; a
# saved one of which less than a quarter would be used is left alone.
_LEAST_LIKE, _SAVED_BELOW, _LEAST_KEPT = 0.1, 0.5, 0.25


class _Slot:
    """`tokens` of a prompt and its answer, of whose beginning `ids` are the names."""

    __slots__ = ("ids", "job", "tokens", "used")

    def __init__(self) -> None:
        self.job: Job | None = None
        self.ids: tuple[int, ...] = ()
        self.tokens = self.used = 0

    def common(self, job: Job) -> int:
        """Tokens with which both begin."""
        return _common(self.ids, self.tokens, job)


class Slots:
    """State of the server; `plan` says what the next steps do, `advance` does them.

    `admitted` are those that were let in since somebody looked, `failed` those that were given up."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.decoding = Decoding(1)
        self.waiting: deque[Job] = deque()
        self.admitted: list[Job] = []
        self.failed: list[Job] = []
        self.preemptions_count = self.recomputed_tokens = 0
        self._slots = [_Slot() for _ in range(server.slots_count)]
        self._busy = 0
        self._held = 0  # cells of idle slots, and of prompts under way
        self._clock = 0
        self._saved: OrderedDict[tuple[int, ...], int] = OrderedDict()
        self._chain: dict[tuple[int, int], int] = {}
        self._parts: list[tuple[_Slot, int]] = []

    def add(self, job: Job) -> None:
        """A request that came."""
        request = job.request
        if self.server.has_prefix_cache and request.prefix_blocks:
            found, before = [], -1
            for name in request.prefix_blocks[: -(-request.prompt_tokens // request.prefix_block_tokens)]:
                before = self._chain.setdefault((before, name), len(self._chain))
                found.append(before)
            job.ids = tuple(found)
        self.waiting.append(job)

    @property
    def running_count(self) -> int:
        return self._busy

    @property
    def held_share(self) -> float:
        """Of all cells, those that hold a prompt or an answer, of idle slots too."""
        return (self._held + self.decoding.tokens) / self.server.pool_tokens

    @property
    def is_open(self) -> bool:
        """Whether a request that comes now would be looked at."""
        return self._busy < len(self._slots)

    def plan(self) -> tuple[int, int, float, int] | None:
        """(decoding sequences, prompt tokens, what those look back on, equal steps at most); None: idle."""
        while self.waiting and self._busy < len(self._slots):
            self._launch(self.waiting.popleft())
        count = len(self.decoding.jobs)
        left, tokens, seen = self.server.step_tokens - count, 0, 0.0
        self._parts = []
        for slot in self._slots if self._busy > count else ():
            job = slot.job
            if job is None or job.computed == job.prompt or left <= 0:
                continue
            taken = min(left, job.prompt - job.computed)
            seen += taken * (job.computed + taken / 2)
            tokens, left = tokens + taken, left - taken
            self._parts.append((slot, taken))
        if not count and not tokens:
            return None
        steps = 1 if tokens else self.decoding.next_end() - self.decoding.steps
        if self.server.is_unified:
            steps = min(steps, self._room(count + tokens) // (count + tokens))
            if steps < 1:
                self._fail()
                return self.plan()
        return count, tokens, seen / tokens if tokens else 0.0, steps

    def _launch(self, job: Job) -> None:
        """Give a request its slot, with what the slot or host memory holds of its prompt."""
        slot, is_kept = self._choose(job)
        before = slot.tokens
        if not is_kept:
            self._save(slot)
            self._load(slot, job)
        hit = min(slot.common(job), job.prompt - 1)
        if self.server.is_unified and hit - before > self._free():
            hit = 0  # there is no room to restore it: the slot is cleared
        slot.job, slot.tokens, job.computed, job.cached = job, hit, hit, hit
        self._held += hit - before
        self._busy += 1
        self.admitted.append(job)
        if self.server.saved_tokens:
            for other in self._slots:
                if other.job is None and other.tokens:
                    self._save(other)
                    if self.server.is_unified:
                        self._clear(other)

    def _choose(self, job: Job) -> tuple[_Slot, bool]:
        """The free slot for a request, and whether most of its content will be kept."""
        free = [slot for slot in self._slots if slot.job is None]
        if job.ids:
            best = max(free, key=lambda slot: slot.common(job))
            common = best.common(job)
            if common > _LEAST_LIKE * job.prompt:
                return best, common >= _SAVED_BELOW * best.tokens
        return min(free, key=lambda slot: slot.used), False

    def _save(self, slot: _Slot) -> None:
        """Keep a slot's prompt in host memory, unless it is there; the oldest go when it is full."""
        ids = slot.ids
        if not ids or not self.server.saved_tokens or slot.tokens > self.server.saved_tokens:
            return
        if any(known[: len(ids)] == ids for known in self._saved):
            return
        for known in [k for k in self._saved if ids[: len(k)] == k]:
            del self._saved[known]
        self._saved[ids] = slot.tokens
        while sum(self._saved.values()) > self.server.saved_tokens:
            self._saved.popitem(last=False)

    def _load(self, slot: _Slot, job: Job) -> None:
        """Replace a slot's content by a saved prompt of which more, and a larger share, is of use."""
        common = slot.common(job)
        best_kept = common / slot.tokens if slot.tokens else -1.0
        found: tuple[int, ...] = ()
        for ids, tokens in self._saved.items():
            saved = _common(ids, tokens, job)
            if saved >= _LEAST_KEPT * tokens and saved / tokens > best_kept and saved > common:
                best_kept, common, found = saved / tokens, saved, ids
        if found:
            slot.ids, slot.tokens = found, self._saved.pop(found)

    def _clear(self, slot: _Slot) -> None:
        self._held -= slot.tokens
        slot.tokens, slot.ids = 0, ()

    def _room(self, wanted: int) -> int:
        """Free cells, after idle slots have lost their prompts as far as need be."""
        for slot in self._slots:
            if self._free() >= wanted:
                break
            if slot.job is None and slot.tokens:
                self._clear(slot)
        return self._free()

    def _free(self) -> int:
        return self.server.pool_tokens - self._held - self.decoding.tokens

    def _fail(self) -> None:
        """End all requests in flight: 'Context size has been exceeded.'"""
        for slot in self._slots:
            if slot.job is None:
                continue
            self.failed.append(slot.job)
            if slot.job.number in self.decoding.jobs:
                self.decoding.remove(slot.job)
            else:
                self._held -= slot.tokens
            slot.job, slot.tokens, slot.ids = None, 0, ()
        self._busy = 0
        self._parts = []

    def advance(self, steps: int) -> tuple[list[Job], list[Job]]:
        """Do the planned steps: (those with a token from their prompt, those that ended decoding)."""
        ended = self.decoding.advance(steps)
        for one in ended:
            self._end(one)
        first = []
        for slot, taken in self._parts:
            job = slot.job
            if job is None:
                continue
            job.computed += taken
            slot.tokens += taken
            self._held += taken
            if job.computed < job.prompt:
                continue
            job.done = 1
            first.append(job)
            self._held -= slot.tokens
            if job.output == 1:
                self._end(job)
            else:
                self.decoding.add(job)
        self._parts = []
        return first, ended

    def _end(self, job: Job) -> None:
        """An idle slot keeps its prompt and answer."""
        slot = next(s for s in self._slots if s.job is job)
        slot.job, slot.tokens, slot.ids = None, job.computed, job.ids
        self._clock += 1
        slot.used = self._clock
        self._held += slot.tokens
        self._busy -= 1


def _common(ids: tuple[int, ...], tokens: int, job: Job) -> int:
    """Tokens with which a kept prompt and a request begin alike, by their names."""
    count = 0
    for ours, theirs in zip(ids, job.ids, strict=False):
        if ours != theirs:
            break
        count += 1
    return min(count * job.request.prefix_block_tokens, tokens, job.prompt)
