"""What a server does with requests that come when they come: a simulation, event by event.

Steps of an engine follow each other without a gap while there is work. Equal steps are done at once: nothing
changes until a sequence ends, a block is missing, or a request comes that would be looked at. What a step
takes is a function given from outside, so the same simulation serves the speed model and textbook queues.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Protocol

from plimsoll.core.load_batch import Decoding, Job
from plimsoll.core.load_chunked import Chunked
from plimsoll.core.load_prompts_first import PromptsFirst
from plimsoll.core.load_slots import Slots
from plimsoll.domain.load import LoadResult, Outcome, Server
from plimsoll.domain.traffic import Request

# Seconds of one step: (sequences that decode, their mean tokens in the cache, prompt tokens computed beside
# them, mean tokens that each of those looks back on).
StepSeconds = Callable[[int, float, int, float], float]
# What an answered user asks next, if anything: a closed loop without end.
Next = Callable[[Outcome], Request | None]

TOO_LONG = "longer than the context or the KV cache"
CONTEXT_FULL = "the slots' shared context was full, and the server ended all that ran"


class Scheduler(Protocol):
    """What the three schedulers have in common."""

    decoding: Decoding
    admitted: list[Job]
    failed: list[Job]
    preemptions_count: int
    recomputed_tokens: int

    def add(self, job: Job) -> None: ...
    def plan(self) -> tuple[int, int, float, int] | None: ...
    def advance(self, steps: int) -> tuple[list[Job], list[Job]]: ...
    @property
    def is_open(self) -> bool: ...
    @property
    def running_count(self) -> int: ...
    @property
    def held_share(self) -> float: ...


_SCHEDULERS: dict[str, Callable[[Server], Scheduler]] = {
    "chunked": Chunked, "prompts first": PromptsFirst, "slots": Slots,
}  # fmt: skip


def simulate(
    requests: Iterable[Request], server: Server, step_seconds: StepSeconds, *, then: Next | None = None,
    until_s: float = math.inf,
) -> LoadResult:  # fmt: skip
    """Serve the requests, which come in the order of `arrival_s`, and those that `then` lets follow.

    A request with `after_s` comes so long after its session's request before it was answered. After
    `until_s` nothing more is begun. The same requests give the same result, always.
    """
    run = Run(requests, server, step_seconds, then)
    run.go(until_s)
    return run.result()


class Run:
    """The clock of one server, what is on its way to its scheduler, and sums over time.

    Several can go side by side, each as far as `go` is told, and be given requests by `add` meanwhile.
    """

    def __init__(
        self, requests: Iterable[Request], server: Server, step_seconds: StepSeconds, then: Next | None
    ) -> None:
        self.server, self.step_seconds, self.then = server, step_seconds, then
        self.scheduler = _SCHEDULERS[server.scheduling](server)
        self.arrivals = _Arrivals(requests)
        self.now = self.start = self.busy = 0.0
        self.is_begun = False
        self.until = math.inf
        self.entering: deque[tuple[float, Job]] = deque()
        self.taken_in = 0.0
        self.outcomes: list[Outcome] = []
        self.numbers = self.present = self.steps = self.computed = self.cached = 0
        self.over_time = [0.0] * 4  # present, waiting, running, held share
        self.most = [0.0] * 3  # waiting, running, held share

    def add(self, request: Request, at_s: float) -> None:
        """A request that comes then, not before what was already done."""
        self.arrivals.push(at_s, request)

    def go(self, until_s: float) -> None:
        """Go on until nothing is left to do, or nothing that would begin before `until_s`."""
        scheduler, self.until = self.scheduler, until_s
        if not self.is_begun:
            first = self.arrivals.next_s()
            if first >= until_s:
                return
            self.now = self.start = first
            self.is_begun = True
        while True:
            self._receive()
            if self.now >= until_s:
                break
            plan = scheduler.plan()
            self._fail()
            if plan is None:
                coming = self._next_entry()
                if coming >= until_s:
                    break
                if coming > self.now:  # else somebody's successor came at once
                    self._pass(coming - self.now)
                continue
            self._step(*plan)

    def _step(self, count: int, tokens: int, seen: float, most: int) -> None:
        """Do equal steps: up to `most`, or to the one in which a request comes that is looked at."""
        depth = self.scheduler.decoding.tokens / count if count else 0.0
        steps = most
        if most > 1 and self.scheduler.is_open:
            coming = min(self._next_entry(), self.until) - self.now
            if coming < math.inf:
                steps = self._steps_within(coming, count, depth, most)
        seconds = steps * self.step_seconds(count, depth + (steps - 1) / 2, tokens, seen)
        while self.scheduler.admitted:
            job = self.scheduler.admitted.pop()
            if job.admitted_s < 0:
                job.admitted_s = self.now
        self._pass(seconds)
        self.busy += seconds
        self.steps += steps
        self.computed += tokens
        first, ended = self.scheduler.advance(steps)
        for job in first:
            if job.first_s < 0:
                job.first_s = self.now
            if job.done == job.output:
                self._finish(job)
        for job in ended:
            self._finish(job)

    def _steps_within(self, seconds: float, count: int, depth: float, most: int) -> int:
        """The steps after which so many seconds are over: two rounds, since a step grows with its depth."""
        steps = most
        for _ in range(2):
            each = self.step_seconds(count, depth + (steps - 1) / 2, 0, 0.0)
            steps = max(1, min(most, math.ceil(seconds / each)))
        return steps

    def _pass(self, seconds: float) -> None:
        """Let time go by, with those present, waiting and running as they are; who comes meanwhile counts
        from then on."""
        scheduler, sums, most = self.scheduler, self.over_time, self.most
        running, held = scheduler.running_count, scheduler.held_share
        waiting = self.present - running
        sums[0] += self.present * seconds
        sums[1] += waiting * seconds
        sums[2] += running * seconds
        sums[3] += held * seconds
        if waiting > most[0]:
            most[0] = waiting
        if running > most[1]:
            most[1] = running
        if held > most[2]:
            most[2] = held
        self.now += seconds

    def _receive(self) -> None:
        """Take in who came until now, and hand over who was taken in.

        Those that come together are taken in one after the other and handed over together, in the middle of
        it: so their median wait is that of `core.serving.ttft_terms`.
        """
        for arrived_s, together in groupby(self.arrivals.until(self.now), key=itemgetter(0)):
            came = [Job(self.numbers + n, request, arrived_s) for n, (_, request) in enumerate(together)]
            self.numbers += len(came)
            self.present += len(came)
            for place in (0, 1):
                self.over_time[place] += (self.now - arrived_s) * len(came)
            fitting = [job for job in came if job.prompt + job.output <= self.server.most_tokens]
            begun = max(self.taken_in, arrived_s)
            self.taken_in = begun + len(fitting) * self.server.intake_s
            ready = begun + (len(fitting) + 1) / 2 * self.server.intake_s + self.server.delay_s
            for job in fitting:
                job.entered_s = ready
                self.entering.append((ready, job))
            for job in came:
                if job.prompt + job.output > self.server.most_tokens:
                    self._refuse(job, TOO_LONG)
        while self.entering and self.entering[0][0] <= self.now:
            self.scheduler.add(self.entering.popleft()[1])

    def _next_entry(self) -> float:
        """When the next request reaches the scheduler."""
        if self.entering:
            return self.entering[0][0]
        coming = self.arrivals.next_s()
        if math.isinf(coming):
            return coming
        return max(self.taken_in, coming) + self.server.intake_s + self.server.delay_s

    def _fail(self) -> None:
        while self.scheduler.failed:
            self._refuse(self.scheduler.failed.pop(), CONTEXT_FULL)

    def _finish(self, job: Job) -> None:
        self.cached += job.cached
        self._leave(
            Outcome(
                request=job.request, arrived_s=job.arrived_s, entered_s=job.entered_s,
                admitted_s=job.admitted_s, first_token_s=job.first_s, finished_s=self.now,
                cached_tokens=job.cached, preemptions_count=job.preemptions,
            )
        )  # fmt: skip

    def _refuse(self, job: Job, why: str) -> None:
        self._leave(
            Outcome(
                request=job.request, arrived_s=job.arrived_s, entered_s=self.now, admitted_s=self.now,
                first_token_s=self.now, finished_s=self.now, refused=why,
            )
        )  # fmt: skip

    def _leave(self, outcome: Outcome) -> None:
        self.present -= 1
        self.outcomes.append(outcome)
        self.arrivals.answered(outcome.request, self.now)
        if self.then:
            following = self.then(outcome)
            if following is not None:
                self.arrivals.push(max(following.arrival_s, self.now), following)

    def result(self) -> LoadResult:
        seconds = self.now - self.start
        means = [total / seconds if seconds else 0.0 for total in self.over_time]
        return LoadResult(
            server=self.server, outcomes=tuple(self.outcomes), unfinished_count=self.present,
            seconds=seconds, busy_seconds=self.busy, steps_count=self.steps, in_system_mean=means[0],
            waiting_mean=means[1], running_mean=means[2], held_share_mean=means[3],
            waiting_most=int(self.most[0]), running_most=int(self.most[1]), held_share_most=self.most[2],
            preemptions_count=self.scheduler.preemptions_count, computed_tokens=self.computed,
            recomputed_tokens=self.scheduler.recomputed_tokens, cached_tokens=self.cached,
        )  # fmt: skip


class _Arrivals:
    """Requests in the order in which they come: the stream's, and those that wait for an answer."""

    def __init__(self, requests: Iterable[Request]) -> None:
        self._stream: Iterator[Request] = iter(requests)
        self._head: Request | None = next(self._stream, None)
        self._heap: list[tuple[float, int, Request]] = []
        self._count = 0
        self._open: dict[str, int] = {}
        self._behind: dict[str, deque[Request]] = {}
        self._answered_s: dict[str, float] = {}

    def push(self, at_s: float, request: Request) -> None:
        """A request that comes then."""
        heapq.heappush(self._heap, (at_s, self._count, request))
        self._count += 1
        if request.session:
            self._open[request.session] = self._open.get(request.session, 0) + 1

    def next_s(self) -> float:
        """When the next one comes, or infinity."""
        self._read(self._heap[0][0] if self._heap else math.inf)
        return self._heap[0][0] if self._heap else math.inf

    def until(self, now: float) -> Iterator[tuple[float, Request]]:
        """Those that came until now."""
        self._read(now)
        while self._heap and self._heap[0][0] <= now:
            at_s, _, request = heapq.heappop(self._heap)
            yield at_s, request

    def _read(self, until_s: float) -> None:
        """Read the stream up to that time; with nothing else to come, at least to the next request."""
        while self._head is not None and (self._head.arrival_s <= until_s):
            request = self._head
            self._head = next(self._stream, None)
            if self._head is not None and self._head.arrival_s < request.arrival_s:
                raise ValueError("requests come in the order of their arrival")
            session = request.session
            if request.after_s is None:
                self.push(request.arrival_s, request)
            elif self._open.get(session) or self._behind.get(session):
                self._behind.setdefault(session, deque()).append(request)
            else:
                ready = self._answered_s.get(session, 0.0) + request.after_s
                self.push(max(request.arrival_s, ready), request)
            if self._heap and math.isinf(until_s):
                break

    def answered(self, request: Request, now: float) -> None:
        """Let the next request of a session come."""
        session = request.session
        if not session:
            return
        self._open[session] -= 1
        if not self._open[session]:
            del self._open[session]
        self._answered_s[session] = now
        behind = self._behind.get(session)
        if behind:
            following = behind.popleft()
            if not behind:
                del self._behind[session]
            self.push(max(following.arrival_s, now + (following.after_s or 0.0)), following)
