"""Several copies of a server behind a router: each simulated as `core.load` does one, side by side.

Where the router looks at nothing but the request, each copy is simulated on its own. Where it looks at how
many are unanswered, or a session's requests go to several copies, the copies go on together: to the next
request that is known to come, and while there are sessions whose next request waits for an answer at most
`ROUND_S` at a time, so that such a request may be looked at that much later than it comes, and no more.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from plimsoll.core.load import Next, Run, simulate
from plimsoll.core.load_figures import Pace
from plimsoll.core.router import Router
from plimsoll.domain.copies import Routing
from plimsoll.domain.load import LoadResult, Outcome
from plimsoll.domain.traffic import Request

ROUND_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A copy: its server with its step times, and how much of the requests it should get."""

    pace: Pace
    weight: float = 1.0

    def alone(self, requests: Iterable[Request]) -> LoadResult:
        """What it does with requests that nobody shares with it."""
        return simulate(requests, self.pace.server, self.pace.steps)


def simulate_copies(
    requests: Iterable[Request], engines: Sequence[Engine], routing: Routing
) -> tuple[LoadResult, ...]:
    """What each copy did with its requests, in the order of the engines. One copy is `core.load.simulate`."""
    if len(engines) == 1:
        return (engines[0].alone(requests),)
    router = Router(routing, [engine.weight for engine in engines])
    if routing == "session":
        shares: list[list[Request]] = [[] for _ in engines]
        for request in requests:
            shares[router.pick(request, [0] * len(engines))].append(request)
        return tuple(engine.alone(share) for share, engine in zip(shares, engines, strict=True))
    return _Together(requests, engines, router).results()


class _Together:
    """The clock of all copies, requests on their way to the router, and answers on their way back."""

    def __init__(self, requests: Iterable[Request], engines: Sequence[Engine], router: Router) -> None:
        self._router = router
        self._stream = iter(requests)
        self._head = next(self._stream, None)
        self._coming: list[tuple[float, int, Request]] = []
        self._answers: list[tuple[float, int, int, Request]] = []
        self._count = 0
        self._behind: dict[str, deque[Request]] = {}
        self._open: dict[str, int] = {}
        self._answered_s: dict[str, float] = {}
        self._outstanding = [0] * len(engines)
        self._runs = [
            Run((), engine.pace.server, engine.pace.steps, self._answer_of(place))
            for place, engine in enumerate(engines)
        ]

    def results(self) -> tuple[LoadResult, ...]:
        now = 0.0
        while True:
            now = self._horizon(now)
            for run in self._runs:
                run.go(now)
            if now == math.inf:
                break
            self._pass_on(now)
        return tuple(run.result() for run in self._runs)

    def _horizon(self, now: float) -> float:
        """Until when nothing unknown can come, or at most a round from now."""
        self._read(self._coming[0][0] if self._coming else math.inf)
        known = self._coming[0][0] if self._coming else math.inf
        if self._behind and any(self._outstanding):
            return min(known, now + ROUND_S) if known > now else now + ROUND_S
        return max(known, now)

    def _pass_on(self, now: float) -> None:
        """Answers and requests until now, in the order of their time; an answer before a request."""
        while True:
            self._read(now)
            answered = self._answers[0][0] if self._answers else math.inf
            comes = self._coming[0][0] if self._coming else math.inf
            if min(answered, comes) > now:
                return
            if answered <= comes:
                at_s, _, place, request = heapq.heappop(self._answers)
                self._outstanding[place] -= 1
                self._follow(request, at_s)
            else:
                at_s, _, request = heapq.heappop(self._coming)
                place = self._router.pick(request, self._outstanding)
                self._outstanding[place] += 1
                self._runs[place].add(request, at_s)

    def _read(self, until_s: float) -> None:
        """Requests of the stream until then, and if nothing else comes the first one."""
        while self._head is not None and self._head.arrival_s <= until_s:
            request = self._head
            self._head = next(self._stream, None)
            session = request.session
            if request.after_s is not None and (self._open.get(session) or session in self._behind):
                self._behind.setdefault(session, deque()).append(request)
                continue
            ready = (
                self._answered_s.get(session, 0.0) + request.after_s if request.after_s is not None else 0.0
            )
            self._come(max(request.arrival_s, ready), request)
            if until_s == math.inf:
                return

    def _come(self, at_s: float, request: Request) -> None:
        heapq.heappush(self._coming, (at_s, self._count, request))
        self._count += 1
        if request.session:
            self._open[request.session] = self._open.get(request.session, 0) + 1

    def _follow(self, request: Request, at_s: float) -> None:
        """Let the session's next request come, so long after the answer."""
        session = request.session
        if not session:
            return
        self._open[session] -= 1
        self._answered_s[session] = at_s
        behind = self._behind.get(session)
        if behind:
            following = behind.popleft()
            if not behind:
                del self._behind[session]
            self._come(max(following.arrival_s, at_s + (following.after_s or 0.0)), following)

    def _answer_of(self, place: int) -> Next:
        def answer(outcome: Outcome) -> None:
            heapq.heappush(self._answers, (outcome.finished_s, self._count, place, outcome.request))
            self._count += 1

        return answer
