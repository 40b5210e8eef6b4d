from __future__ import annotations

import pytest

from plimsoll.ask.fit import FitQuestion
from plimsoll.ask.load import LoadQuestion, load
from plimsoll.domain.load import LoadAnswer
from plimsoll.errors import BadSetting


def asked(
    *, on: str = "rtx-pro-6000", runtime: str = "vllm", weights: str = "bf16", context: int | None = None,
    model: str = "meta-llama/Llama-3.1-8B", **more: object,
) -> LoadAnswer:  # fmt: skip
    fit = FitQuestion(
        models=(model,), on=on, runtime=runtime, weights=weights, context_tokens=context, offline=True
    )
    values = {"prompt_tokens": 1024, "output_tokens": 128, "requests_count": 200, **more}
    return load(LoadQuestion(fit=fit, **values))  # type: ignore[arg-type]


def figures(answer: LoadAnswer) -> dict[str, float]:
    return {e.quantity: e.value for e in answer.figures}


def test_a_rate_is_answered_with_waits_limits_and_a_sweep() -> None:
    answer = asked(rate_per_s=2.0)
    found = figures(answer)
    assert answer.verdict == "keeps_up"
    assert answer.exit_code == 0
    assert 0 < found["ttft_p50"] <= found["ttft_p95"] <= found["ttft_p99"] < found["total_p99"]
    assert 0 < found["held_share_mean"] < 1
    for e in answer.figures:
        assert e.low <= e.value <= e.high
        assert e.coverage == 0.8
    assert answer.limits is not None
    assert answer.limits.rate_per_s.value > 2.0
    assert 2.0 in [p.at for p in answer.points]
    assert answer.requests_count == 200


def test_more_than_it_can_carry_saturates_it() -> None:
    most = asked(rate_per_s=1.0).limits
    assert most is not None
    answer = asked(rate_per_s=most.rate_per_s.value * 1.5)
    assert answer.verdict == "saturated"
    assert answer.exit_code == 1
    assert figures(answer)["waiting_mean"] > figures(asked(rate_per_s=1.0))["waiting_mean"]


def test_a_saturated_server_is_answered_with_what_it_can_carry() -> None:
    answer = asked(rate_per_s=1000.0)
    assert answer.limits is not None
    assert answer.hint.startswith("--arrivals ")
    rate = float(answer.hint.removeprefix("--arrivals ").removesuffix("/s"))
    assert rate == pytest.approx(0.9 * answer.limits.rate_per_s.value, rel=0.01)


def test_targets_that_are_missed_are_a_no() -> None:
    answer = asked(rate_per_s=2.0, ttft_s=1e-4)
    assert (answer.verdict, answer.exit_code) == ("misses_targets", 1)
    assert "first token" in answer.reason
    assert figures(answer)["goodput_per_s"] == 0
    assert asked(rate_per_s=2.0, ttft_s=1e4, tpot_s=1e4).verdict == "keeps_up"


def test_users_wait_for_their_answers_and_think() -> None:
    few, many = (asked(users_count=n, think_s=5.0, requests_count=120) for n in (2, 24))
    assert few.at_unit == "users"
    assert figures(few)["requests_per_s"] < figures(many)["requests_per_s"]
    assert figures(few)["tpot_p50"] < figures(many)["tpot_p50"]
    assert few.limits is not None
    assert few.limits.users is not None
    assert figures(few)["running_mean"] <= 2


def test_a_common_beginning_makes_the_first_token_come_sooner() -> None:
    apart, shared = (asked(rate_per_s=4.0, prompt_tokens=4096, shared_tokens=n) for n in (0, 3072))
    assert figures(shared)["cached_share"] > 0.5
    assert figures(shared)["ttft_p50"] < figures(apart)["ttft_p50"]


def test_asking_again_gives_the_same_and_another_seed_does_not() -> None:
    assert asked(rate_per_s=3.0) == asked(rate_per_s=3.0)
    assert figures(asked(rate_per_s=3.0)) != figures(asked(rate_per_s=3.0, seed=1))


@pytest.mark.parametrize(
    ("runtime", "weights", "scheduling"),
    [("vllm", "bf16", "chunked"), ("sglang", "bf16", "prompts first"), ("llama.cpp", "q4_k_m", "slots")],
)
def test_each_runtime_is_simulated_by_its_own_scheduler(runtime: str, weights: str, scheduling: str) -> None:
    answer = asked(runtime=runtime, weights=weights, users_count=2)
    assert answer.server is not None
    assert answer.server.scheduling == scheduling
    assert answer.figures


def test_llama_server_has_the_slots_it_was_told_or_four_that_share() -> None:
    own = asked(runtime="llama.cpp", weights="q4_k_m", users_count=2).server
    told = asked(runtime="llama.cpp", weights="q4_k_m", users_count=2, slots_count=8).server
    assert own is not None
    assert told is not None
    assert (own.slots_count, own.is_unified) == (4, True)
    assert (told.slots_count, told.is_unified) == (8, False)


def test_habits_bring_their_own_lengths() -> None:
    answer = asked(rate_per_s=1.0, habit="chat", prompt_tokens=None, output_tokens=None, context=16384)
    assert figures(answer)["cached_share"] > 0.2
    assert any("chat" in note for note in answer.notes)


def test_texts_longer_than_the_model_was_trained_for_are_refused_one_by_one() -> None:
    answer = asked(
        model="qwen3-30b-a3b", rate_per_s=0.05, habit="thinking", prompt_tokens=None, output_tokens=None
    )
    assert answer.server is not None
    assert answer.server.context_tokens == 40960
    assert 0 < sum(answer.refused.values()) < answer.requests_count / 4


def test_a_request_that_can_never_be_served_is_answered_with_what_could() -> None:
    answer = asked(rate_per_s=1.0, context=1024)
    assert (answer.verdict, answer.exit_code) == ("does_not_fit", 1)
    assert answer.hint == "--context 1152"
    small = asked(rate_per_s=1.0, on="rtx-3060", weights="awq", prompt_tokens=10**6, context=10**6 + 200)
    assert small.verdict == "does_not_fit"


def test_a_runtime_whose_scheduler_was_not_read_is_unknown() -> None:
    answer = asked(runtime="exllama", weights="exl3-4.0bpw", rate_per_s=1.0)
    assert (answer.verdict, answer.exit_code) == ("unknown", 3)


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({}, "nobody"), ({"users_count": 2, "rate_per_s": 1.0}, "both"),
        ({"rate_per_s": 1.0, "shared_tokens": 1024}, "shared"),
        ({"rate_per_s": 1.0, "habit": "chatt", "prompt_tokens": None}, "chatt"),
        ({"rate_per_s": 1.0, "habit": "chat"}, "lengths of its own"),
        ({"rate_per_s": 1.0, "seconds": 5.0}, "twice"),
    ],
)  # fmt: skip
def test_questions_that_make_no_sense_are_refused(more: dict[str, object], word: str) -> None:
    with pytest.raises(BadSetting, match=word):
        asked(**more)  # type: ignore[arg-type]
