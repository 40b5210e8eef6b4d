from hypothesis import given
from hypothesis import strategies as st

from plimsoll.core.fit import largest


@given(st.integers(0, 5000), st.integers(1, 5000), st.integers(1, 300), st.integers(1, 9))
def test_the_largest_multiple_with_room_is_found(bound: int, limit: int, step: int, slope: int) -> None:
    top = max(step, limit // step * step)
    assert largest(lambda n: (bound - n) * slope, limit, step) == (min(bound, top) // step * step or None)


@given(st.integers(0, 5000), st.integers(1, 5000))
def test_a_room_that_only_says_yes_or_no_is_enough(bound: int, limit: int) -> None:
    assert largest(lambda n: 0 if n <= bound else -1, limit) == (min(bound, limit) or None)


def test_the_search_asks_few_questions() -> None:
    asked: list[int] = []

    def room(n: int) -> int:
        asked.append(n)
        return 95 * 2**30 - 60 * 2**30 - n // 256 * 256 * 49_152

    assert largest(room, 2**24, 256) == 764_416
    assert len(asked) <= 6
