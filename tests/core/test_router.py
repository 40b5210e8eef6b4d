"""Which copy gets a request."""

from __future__ import annotations

from collections import Counter

import pytest

from plimsoll.core.router import Router
from plimsoll.domain.traffic import Request


def _request(session: str = "") -> Request:
    return Request(arrival_s=0.0, prompt_tokens=1, output_tokens=1, session=session)


def test_round_robin_goes_round_by_weight() -> None:
    even = Router("round robin", [1, 1, 1])
    assert [even.pick(_request("a"), [9, 0, 0]) for _ in range(6)] == [0, 1, 2, 0, 1, 2]
    heavy = Router("round robin", [4, 1, 1])
    assert Counter(heavy.pick(_request(), [0, 0, 0]) for _ in range(60)) == {0: 40, 1: 10, 2: 10}


def test_least_outstanding_looks_at_who_is_unanswered() -> None:
    router = Router("least outstanding", [1, 1, 1])
    assert router.pick(_request(), [3, 1, 2]) == 1
    assert [router.pick(_request(), [0, 0, 0]) for _ in range(3)] == [0, 2, 0]  # of equal ones who got least
    assert Router("least outstanding", [4, 1]).pick(_request(), [3, 0]) == 0


def test_a_session_stays_where_it_is_and_sessions_spread_by_weight() -> None:
    router = Router("session", [4, 1, 1])
    homes = [router.pick(_request(f"s{n}"), [0, 0, 0]) for n in range(6000)]
    assert homes == [router.pick(_request(f"s{n}"), [9, 9, 0]) for n in range(6000)]
    share = Counter(homes)
    assert share[0] == pytest.approx(4000, rel=0.05)
    assert share[1] == pytest.approx(1000, rel=0.1)
    # One copy less moves nobody but those who were there.
    fewer = Router("session", [4, 1])
    assert all(fewer.pick(_request(f"s{n}"), [0, 0]) == home for n, home in enumerate(homes) if home < 2)


def test_requests_without_a_session_go_round() -> None:
    router = Router("session", [1, 1])
    assert [router.pick(_request(), [0, 0]) for _ in range(4)] == [0, 1, 0, 1]
