"""Which copy gets a request: what the routers people put in front of engines do.

round robin        one after the other: nginx without a word more (nginx.org/docs/http/load_balancing.html),
                   the round-robin router of vLLM's production stack
least outstanding  who has the fewest unanswered: nginx's least_conn, and `vllm serve --data-parallel-size`
                   (the greater of in flight, and waiting + running; vllm/v1/engine/core_client.py of 0.33.0)
session            all of a session to one copy, whose prefix cache then holds its history: nginx's hash,
                   the session router of vLLM's production stack; the cache-aware routers of SGLang and vLLM
                   come close to it while no copy is overloaded

llama-swap swaps models; it does not spread requests over copies of one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from zlib import crc32

from plimsoll.core.chance import Chance
from plimsoll.domain.copies import Routing
from plimsoll.domain.traffic import Request

ROUTINGS: tuple[Routing, ...] = ("round robin", "least outstanding", "session")


class Router:
    """Picks a copy; `weights` say how much each takes compared with the others (nginx's weight)."""

    def __init__(self, routing: Routing, weights: Sequence[float]) -> None:
        self.routing, self._weights = routing, tuple(weights)
        self._given = [0] * len(self._weights)
        self._homes: dict[str, int] = {}

    def pick(self, request: Request, outstanding: Sequence[int]) -> int:
        """The place of the copy; of equal ones the first."""
        copies = range(len(self._weights))
        if self.routing == "session" and request.session:
            return self._home(request.session)
        if self.routing == "least outstanding":
            found = min(copies, key=lambda n: ((outstanding[n] + 1) / self._weights[n], self._given[n]))
        else:
            found = min(copies, key=lambda n: (self._given[n] + 1) / self._weights[n])
        self._given[found] += 1
        return found

    def _home(self, session: str) -> int:
        """By the highest of weight / -ln(hash): each copy gets sessions by its weight, and keeps them where
        another comes or goes (weighted rendezvous hashing)."""
        home = self._homes.get(session)
        if home is None:
            key = crc32(session.encode())
            drawn = [Chance(key << 16 | n).share() for n in range(len(self._weights))]
            scores = [weight / -math.log(share) for weight, share in zip(self._weights, drawn, strict=True)]
            home = self._homes[session] = max(range(len(scores)), key=scores.__getitem__)
        return home
