import pytest

from plimsoll.core.schedule import between, per_token, schedule, to_first_token
from plimsoll.domain.serving import Load


def load(**changed: int) -> Load:
    base = {"concurrent_count": 4, "prompt_tokens": 1000, "output_tokens": 50, "chunk_tokens": 2000}
    return Load(**{**base, **changed})


def steps(found: object) -> float:
    return sum(s.steps_count for s in found)  # type: ignore[attr-defined]


@pytest.mark.parametrize("count", [1, 3, 16, 100])
@pytest.mark.parametrize("rounds", [1, 3])
@pytest.mark.parametrize("slots", [0, 2])
def test_every_token_is_generated_and_every_prompt_computed_once(count: int, rounds: int, slots: int) -> None:
    found = schedule(load(concurrent_count=count, rounds_count=rounds, slots_count=slots))
    requests = count * rounds
    assert len(found.requests) == requests
    prompts = sum(s.steps_count * s.prefill_tokens for s in found.stretches)
    later = sum(s.steps_count * s.decode_sequences_count for s in found.stretches)
    assert prompts == requests * 1000
    assert later == requests * 49  # the first token of each comes with the last part of its prompt
    assert all(r.arrived_step < r.first_step <= r.last_step for r in found.requests)


def test_one_request_takes_its_prompt_and_then_a_step_per_token() -> None:
    found = schedule(load(concurrent_count=1))
    (only,) = found.requests
    assert (only.arrived_step, only.first_step, only.last_step) == (0, 1, 50)


def test_no_step_computes_more_than_its_budget_or_runs_more_than_its_slots() -> None:
    found = schedule(load(concurrent_count=64, chunk_tokens=512, slots_count=10, rounds_count=2))
    for s in found.stretches:
        assert s.decode_sequences_count + s.prefill_tokens <= 512
        assert s.decode_sequences_count <= 10


def test_prompts_that_share_a_step_have_their_first_token_together() -> None:
    found = schedule(load())  # two prompts of 1,000 in a budget of 2,000; then decoding takes two of it
    firsts = [r.first_step for r in found.requests]
    assert firsts == [1, 1, 2, 3]


def test_who_finds_no_slot_waits_for_one() -> None:
    found = schedule(load(concurrent_count=4, slots_count=2))
    assert found.requests[3].first_step > found.requests[0].last_step
    assert steps(to_first_token(found)) > steps(to_first_token(schedule(load())))


def test_cached_prompts_are_not_computed_again() -> None:
    found = schedule(load(cached_tokens=984))
    assert sum(s.steps_count * s.prefill_tokens for s in found.stretches) == 4 * 16


def test_steps_between_add_up_to_the_whole() -> None:
    found = schedule(load(concurrent_count=9, rounds_count=2))
    end = max(r.last_step for r in found.requests)
    assert steps(between(found, 0, end)) == pytest.approx(end)
    assert steps(between(found, 0, 7)) + steps(between(found, 7, end)) == pytest.approx(end)


def test_a_token_takes_a_step_of_all() -> None:
    assert steps(per_token(schedule(load(output_tokens=500)))) == pytest.approx(1)


def test_the_same_load_has_the_same_schedule() -> None:
    one = schedule(load(concurrent_count=32, rounds_count=4, slots_count=20))
    assert one == schedule(load(concurrent_count=32, rounds_count=4, slots_count=20))


def test_where_prompts_go_first_nobody_decodes_beside_them() -> None:
    found = schedule(load(concurrent_count=8, rounds_count=2, is_prompt_first=True))
    assert all(not (s.prefill_tokens and s.decode_sequences_count) for s in found.stretches)
    assert sum(s.steps_count * s.decode_sequences_count for s in found.stretches) == 16 * 49
