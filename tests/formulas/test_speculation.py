import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.formulas.speculation import acceptance_from, break_even, step_seconds, tokens_per_step


@pytest.mark.parametrize(
    ("acceptance", "drafted", "tokens"), [(0.0, 4, 1), (1.0, 4, 5), (0.8, 3, 2.952), (0.5, 1, 1.5)]
)
def test_tokens_of_a_step(acceptance: float, drafted: int, tokens: float) -> None:
    assert tokens_per_step(acceptance, drafted) == pytest.approx(tokens)
    if acceptance < 1:
        assert tokens == pytest.approx((1 - acceptance ** (drafted + 1)) / (1 - acceptance))


@given(st.floats(0, 1), st.integers(1, 16))
def test_the_acceptance_is_read_back_from_the_tokens(acceptance: float, drafted: int) -> None:
    tokens = tokens_per_step(acceptance, drafted)
    assert tokens_per_step(acceptance_from(tokens, drafted), drafted) == pytest.approx(tokens)


def test_a_step_drafts_one_after_the_other_and_verifies_once() -> None:
    assert step_seconds(0.001, 0.020, 4) == pytest.approx(0.024)


def test_where_it_pays() -> None:
    # A step of 1.5 plain passes pays when one drafted token is accepted every second time.
    assert break_even(0.010, 0.015, 1) == pytest.approx(0.5)
    assert break_even(0.010, 0.009, 1) == 0.0
    assert break_even(0.010, 0.021, 1) is None
