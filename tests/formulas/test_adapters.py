from hypothesis import given
from hypothesis import strategies as st

from plimsoll.formulas import adapters


def test_slots_hold_the_largest_rank_for_every_matrix() -> None:
    # Two matrices of 10 x 6 and one of 4 x 8: 2 x (10 + 6) + 12 values for each rank.
    assert (
        adapters.slots_bytes([[2, 10, 6], [1, 4, 8]], rank=16, slots_count=3, value_bytes=2)
        == 3 * 16 * 2 * 44
    )


def test_tensors_are_padded_one_by_one() -> None:
    assert adapters.loaded_bytes([[3, 33], [1, 64]], adapters_count=2, alignment_bytes=32) == 2 * (
        3 * 64 + 64
    )


@given(st.integers(1, 600))
def test_a_slot_holds_the_rank_or_there_is_none(rank: int) -> None:
    slot = adapters.vllm_rank(rank)
    assert (slot is None) == (rank > 512)
    assert slot is None or (slot >= rank and slot in adapters.VLLM_RANKS)


def test_equal_matrices_are_one_row() -> None:
    assert adapters.grouped([(1, 2), (3, 4), (1, 2)]) == [[2, 1, 2], [1, 3, 4]]
