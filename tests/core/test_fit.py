from hypothesis import given
from hypothesis import strategies as st

from plimsoll.core.fit import largest


@given(
    st.integers(0, 5000), st.integers(1, 6000), st.integers(1, 5000), st.integers(1, 300)
)
def test_the_largest_multiple_that_holds_is_found(bound: int, start: int, limit: int, step: int) -> None:
    expected = min(bound, max(step, limit // step * step)) // step * step
    assert largest(lambda n: n <= bound, start, limit, step) == (expected or None)


def test_the_search_asks_few_questions() -> None:
    asked: list[int] = []

    def holds(n: int) -> bool:
        asked.append(n)
        return n <= 777_216

    assert largest(holds, 131_072, 2**24, 256) == 777_216
    assert len(asked) < 20
