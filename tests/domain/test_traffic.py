"""What a request, a length and a habit may not be."""

from __future__ import annotations

import pytest

from plimsoll.domain.traffic import Habit, Lengths, Request


@pytest.mark.parametrize(
    "wrong",
    [
        {"arrival_s": -1.0},
        {"prompt_tokens": 0},
        {"output_tokens": 0},
        {"after_s": 1.0},
        {"after_s": -1.0, "session": "a"},
    ],
)
def test_a_request_that_cannot_be_is_refused(wrong: dict[str, float | str]) -> None:
    with pytest.raises(ValueError, match="request"):
        Request(**{"arrival_s": 0.0, "prompt_tokens": 1, "output_tokens": 1, **wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize(("p50", "p95", "most"), [(0, 1, 9), (5, 4, 9), (5, 6, 5)])
def test_lengths_are_ordered(p50: int, p95: int, most: int) -> None:
    with pytest.raises(ValueError, match="median"):
        Lengths(p50_tokens=p50, p95_tokens=p95, most_tokens=most)


@pytest.mark.parametrize(
    "wrong", [{"turns_mean": 0.5}, {"together_count": 0}, {"wait_s": -1.0}, {"shared_tokens": -1}]
)
def test_a_habit_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    one = Lengths(p50_tokens=1, p95_tokens=1)
    with pytest.raises(ValueError, match="session"):
        Habit(name="x", new=one, output=one, **wrong)  # type: ignore[arg-type]
