"""Plans: nothing that `fit` refuses, the same deployment again from what was asked, sensible firsts."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plimsoll.ask.check import CheckQuestion, check
from plimsoll.ask.fit import FitQuestion, fit
from plimsoll.ask.plan import plan
from plimsoll.ask.plan_catalog import plan_catalog
from plimsoll.ask.plan_question import PlanQuestion
from plimsoll.ask.speed import SpeedQuestion, speed
from plimsoll.core.fit import judge, room, with_context
from plimsoll.domain.answer import plain
from plimsoll.domain.plan import GOALS, Goal, PlanAnswer
from plimsoll.errors import BadSetting, UnknownModel
from plimsoll.parse import plan_file
from plimsoll.units import Money, parse_money


def ask(*models: str, on: str, **more: object) -> PlanAnswer:
    return plan(PlanQuestion(models=models, on=on, offline=True, **more))  # type: ignore[arg-type]


def first(answer: PlanAnswer) -> tuple[str, str]:
    part = answer.choices[0].parts[0]
    return part.model.runtime, part.weight_format


def check_against_fit(answer: PlanAnswer) -> None:
    """Every choice, asked as `launch` would after JSON, fits and is the same deployment."""
    saved = json.dumps(plain(answer)).encode()
    for number, choice in enumerate(answer.choices, start=1):
        for part_number, part in enumerate(choice.parts, start=1):
            found = plan_file.asked(saved, plan_file.Reference("p.json", number, part_number))
            fitted = fit(FitQuestion(**found.fields))
            assert fitted.verdict in ("fits", "tight", "offload"), (part.flags, fitted.reason)
            assert fitted.deployments[0].fingerprint == found.fingerprint == part.fingerprint
            if choice.arrangement == "alone":
                assert fitted.headroom_bytes == choice.memory_left_bytes
                assert (fitted.verdict == "offload") == bool(part.placement)


PLANS = given(
    model=st.sampled_from(["Qwen/Qwen3-8B", "openai/gpt-oss-20b", "google/gemma-3-12b-it"]),
    machine=st.sampled_from(["rtx-3060-12gb + 32GiB ram", "2x rtx-3090", "m4-pro 24gb", "rx-7900-xtx"]),
    goal=st.sampled_from(GOALS),
    users=st.sampled_from([None, 2]),
)


def check_plan(model: str, machine: str, goal: Goal, users: int | None) -> None:
    answer = ask(model, on=machine, goal=goal, users_count=users)
    check_against_fit(answer)
    ranks = [c.rank for c in answer.choices]
    assert ranks == list(range(1, len(ranks) + 1))
    assert answer.verdict == ("planned" if answer.choices else "does_not_fit")


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@PLANS
def test_a_plan_never_proposes_what_fit_refuses(
    model: str, machine: str, goal: Goal, users: int | None
) -> None:
    check_plan(model, machine, goal, users)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@PLANS
def test_many_plans_never_propose_what_fit_refuses(
    model: str, machine: str, goal: Goal, users: int | None
) -> None:
    check_plan(model, machine, goal, users)


def test_published_mxfp4_is_not_requantised() -> None:
    answer = ask("openai/gpt-oss-120b", on="rtx-pro-6000")
    assert first(answer)[1] == "mxfp4"
    assert answer.choices[0].why
    offered = {p.weight_format for c in answer.choices for p in c.parts}
    assert offered <= {"mxfp4", "mxfp4_moe"}
    assert any("hardly smaller than as published" in words for words in answer.left_out)


def test_quality_comes_first_above_a_comfortable_speed() -> None:
    answer = ask("Qwen/Qwen3-30B-A3B", on="rtx-pro-6000")
    assert first(answer)[1] == "bf16"
    assert answer.choices[0].parts[0].loss.basis == "reference"
    others = [c for c in answer.choices if c.parts[0].weight_format != "bf16"]
    assert others
    assert all(any("not as published" in words for words in c.gives_up) for c in others)


def test_experts_go_to_host_memory_where_that_keeps_quality_at_speed() -> None:
    answer = ask("Qwen/Qwen3-235B-A22B", on="rtx-pro-6000 + epyc-9554-12ch-ddr5-4800 + 192GiB ram")
    best = answer.choices[0]
    assert best.verdict == "offload"
    assert best.parts[0].placement.startswith("--n-cpu-moe ")
    decode = best.parts[0].figures["decode"].estimate
    assert decode.value > 8
    check_against_fit(answer)


def test_what_the_rules_refuse_is_left_out_with_the_reason() -> None:
    answer = ask("meta-llama/Llama-3.3-70B-Instruct", on="2x rtx-3090")
    assert answer.verdict == "planned"
    assert any("does not run fp8 weights on GeForce RTX 3090: The table" in w for w in answer.left_out)
    for choice in answer.choices:
        for part in choice.parts:
            asked = CheckQuestion(
                model=part.model.id, on="rtx-3090", runtime=part.model.runtime, offline=True,
                weights=part.weight_format.partition("-")[0],
            )  # fmt: skip
            assert check(asked).outcome != "unsupported"


def test_a_format_without_an_arithmetic_unit_says_what_it_costs() -> None:
    answer = ask("Qwen/Qwen3-8B", on="rtx-3090", runtime="vllm", weights="fp8")
    found = answer.choices[0].parts[0].compatibility
    assert found.outcome == "penalty"
    assert found.sources
    assert found.checked_on
    assert any("Marlin unpacks" in words for words in found.says)
    assert {s.id for s in answer.sources} >= set(found.sources)


def test_what_no_rule_covers_is_said_to_be_unknown() -> None:
    part = ask("openai/gpt-oss-120b", on="dgx-spark", runtime="tensorrt-llm").choices[0].parts[0]
    assert (part.compatibility.outcome, part.compatibility.aspects) == ("unknown", ("weights",))
    assert part.unchecked[0].startswith("whether tensorrt-llm runs gpt_oss in mxfp4 on GB10 / DGX Spark")
    known = ask("Qwen/Qwen3-30B-A3B", on="rtx-pro-6000", runtime="vllm").choices[0].parts[0]
    assert known.compatibility.outcome in ("native", "supported")
    assert not known.unchecked


def test_a_way_that_does_not_run_is_no_question_of_memory() -> None:
    answer = ask("Qwen/Qwen3-30B-A3B", on="rtx-pro-6000", runtime="tensorrt-llm", weights="awq")
    assert (answer.verdict, answer.exit_code, answer.choices) == ("no_plan", 1, ())
    assert answer.reason.startswith("no way that was asked for runs Qwen/Qwen3-30B-A3B: ")
    assert "tensorrt-llm does not run awq weights" in answer.reason


def test_a_runtime_nobody_measured_never_goes_before_one_of_the_same_quality_that_was() -> None:
    answer = ask("Qwen/Qwen3-30B-A3B", on="rtx-pro-6000", goal="max-quality")
    measured = [c.parts[0].figures["decode"].is_measured for c in answer.choices if not c.parts[0].placement]
    assert measured[0]
    assert first(answer)[0] != "tensorrt_llm"


def test_goals_differ_in_contexts_and_sequences() -> None:
    chat, agents, batch, deep = (
        ask("Qwen/Qwen3-8B", on="rtx-4090", goal=goal, runtime="vllm").choices[0].parts[0]
        for goal in ("chat", "agents", "batch", "long-context")
    )
    assert (chat.sequences_count, agents.sequences_count) == (1, 4)
    assert batch.sequences_count > 4
    assert agents.context_tokens > chat.context_tokens > batch.context_tokens
    assert deep.context_tokens >= agents.context_tokens


def test_an_impossible_speed_is_answered_with_the_nearest() -> None:
    answer = ask("openai/gpt-oss-120b", on="rtx-pro-6000", min_tokens_per_s=5000)
    assert (answer.verdict, answer.exit_code) == ("no_plan", 1)
    assert answer.reason.startswith("no plan reaches 5000 tokens/s; the nearest is ")
    # Which of the two it is depends on the calibration: on this card they take about as long.
    assert answer.reason.endswith(("limited by bandwidth", "limited by launch overhead"))
    best = answer.choices[0].parts[0].figures["decode"].estimate.value
    assert all(c.parts[0].figures["decode"].estimate.value <= best for c in answer.choices)


def test_an_impossible_wait_is_answered_with_the_nearest() -> None:
    answer = ask("Qwen/Qwen3-8B", on="rtx-4090", max_first_token_s=0.0001)
    assert answer.exit_code == 1
    assert "answers within 0.0001 s" in answer.reason


def test_what_fits_in_no_way_says_what_was_tried() -> None:
    answer = ask("meta-llama/Llama-3.1-405B", on="rtx-3090")
    assert (answer.verdict, answer.exit_code, answer.choices) == ("does_not_fit", 1, ())
    assert "none of " in answer.reason
    assert "24.00 GiB of GeForce RTX 3090" in answer.reason


@pytest.mark.parametrize(
    "more",
    [
        {"goal": "long-context", "context_tokens": 4096},
        {"goal": "batch", "max_first_token_s": 1.0},
        {"goal": "max-quality", "weights": "q4_k_m"},
    ],
)
def test_contradictions_are_refused(more: dict[str, object]) -> None:
    with pytest.raises(BadSetting) as error:
        ask("Qwen/Qwen3-8B", on="rtx-4090", **more)
    assert error.value.hint


def test_pins_hold() -> None:
    answer = ask("Qwen/Qwen3-8B", on="rtx-4090", runtime="vllm==0.33", weights="fp8", kv="fp8")
    asked = answer.choices[0].parts[0].asked
    assert (asked["runtime"], asked["weights"], asked["kv"]) == ("vllm==0.33", "fp8", "fp8")
    check_against_fit(answer)


def test_two_models_share_a_card_or_take_turns() -> None:
    answer = ask(
        "openai/gpt-oss-20b", "Qwen/Qwen3-30B-A3B", on="rtx-pro-6000", runtime="llama.cpp",
        disk_bytes_per_s=7 * 10**9,
    )  # fmt: skip
    assert answer.choices[0].arrangement == "beside"
    swapped = [c for c in answer.choices if c.arrangement == "swapped"]
    assert len(swapped) == 1
    seconds = swapped[0].parts[1].load_seconds
    assert seconds == pytest.approx(swapped[0].parts[1].weights_bytes / 7e9)
    deployments = [d for p in answer.choices[0].parts for d in p.deployments]
    assert judge(deployments).verdict in ("fits", "tight")
    assert judge(deployments).headroom_bytes == answer.choices[0].memory_left_bytes
    check_against_fit(replace(answer, choices=answer.choices[:1]))


def test_vllm_beside_another_is_told_its_share_of_the_card() -> None:
    answer = ask("openai/gpt-oss-20b", "Qwen/Qwen3-8B", on="rtx-pro-6000", runtime="vllm")
    beside = answer.choices[0]
    assert beside.arrangement == "beside"
    shares = [d.settings["gpu_memory_utilization"] for p in beside.parts for d in p.deployments]
    assert all(isinstance(s, float) and 0 < s < 1 for s in shares)
    assert sum(map(float, shares)) < 1
    check_against_fit(replace(answer, choices=answer.choices[:1]))


def test_unknown_host_memory_is_unknown() -> None:
    answer = ask("Qwen/Qwen3-8B", on="epyc-9554-12ch-ddr5-4800")
    assert (answer.verdict, answer.exit_code) == ("unknown", 3)
    assert "--ram" in answer.reason


def money(text: str) -> Money:
    return parse_money(text, per=("month", "hour"))


def test_a_budget_keeps_what_its_cards_cost_less_than() -> None:
    answer = ask("Qwen/Qwen3-8B", on="2x rtx-3090", rent=money("0.20USD/hour"), budget=money("150USD/month"))
    assert answer.verdict == "planned"
    costs = {c.cost_per_month.value for c in answer.choices if c.cost_per_month}
    assert costs == {0.20 * 730}


def test_a_budget_nothing_keeps_is_answered_with_the_cheapest() -> None:
    answer = ask("Qwen/Qwen3-8B", on="rtx-4090", rent=money("1USD/hour"), budget=money("100USD/month"))
    assert (answer.verdict, answer.exit_code) == ("no_plan", 1)
    assert answer.reason == "no plan costs at most 100.00 USD a month; the nearest costs 730.00 USD"


def test_a_budget_without_a_price_is_unknown() -> None:
    answer = ask("Qwen/Qwen3-8B", on="m4-pro 24gb", budget=money("100USD/month"))
    assert answer.exit_code == 3
    assert "--rent" in answer.reason


def test_currencies_are_not_converted() -> None:
    with pytest.raises(BadSetting, match="nothing is converted"):
        ask("Qwen/Qwen3-8B", on="rtx-4090", rent=money("1USD/hour"), budget=money("100EUR/month"))


def test_the_catalog_is_ranked_by_size_among_what_runs_well() -> None:
    answer = plan_catalog(PlanQuestion(models=(), on="rtx-4090", offline=True), ("qwen3",), limit=4)
    assert len(answer.choices) == 4
    parts = [c.parts[0] for c in answer.choices]
    sizes = [p.model.parameters_count for p in parts]
    assert sizes == sorted(sizes, reverse=True)
    assert all("qwen3" in p.model.id.lower() for p in parts)
    assert all(p.figures["decode"].estimate.value > 7 for p in parts)
    check_against_fit(answer)


@pytest.mark.parametrize("goal", ["long-context", "batch"])
def test_the_catalog_is_not_ranked_for_goals_without_one_context(goal: Goal) -> None:
    with pytest.raises(BadSetting, match=f"not ranked for {goal}"):
        plan_catalog(PlanQuestion(models=(), on="rtx-4090", goal=goal, offline=True))


def test_more_sequences_than_fit_are_answered_with_how_many_do() -> None:
    answer = ask("Qwen/Qwen3-8B", on="rtx-4090", users_count=5000, runtime="llama.cpp", weights="q4_k_m")
    assert (answer.verdict, answer.exit_code) == ("no_plan", 1)
    most = max(c.parts[0].most_sequences_count or 0 for c in answer.choices)
    assert answer.reason.startswith("no way holds 5,000 sequences of 16,384 tokens; the nearest holds ")
    assert f" {most} (q4_k_m on llama.cpp)" in answer.reason


def test_a_longer_context_than_fits_is_answered_with_the_longest() -> None:
    answer = ask("Qwen/Qwen3-8B", on="rtx-4090", context_tokens=10**7, runtime="llama.cpp", weights="q4_k_m")
    assert answer.exit_code == 1
    held = int(re.search(r"the nearest holds ([0-9,]+) with one sequence", answer.reason)[1].replace(",", ""))  # type: ignore[index]
    longest = 0
    for deployment in (d for c in answer.choices for d in c.parts[0].deployments):
        assert room(with_context([deployment], held + 256)) < 0
        longest = max(longest, 0 if room(with_context([deployment], held)) < 0 else held)
    assert longest == held


@pytest.mark.parametrize("wish", [float("nan"), float("inf"), 0.0])
def test_a_speed_is_a_number(wish: float) -> None:
    with pytest.raises(BadSetting, match="is a number above 0"):
        ask("Qwen/Qwen3-8B", on="rtx-4090", min_tokens_per_s=wish)


def test_words_that_no_model_has_are_refused() -> None:
    with pytest.raises(UnknownModel, match="'zzz' in its name"):
        plan_catalog(PlanQuestion(models=(), on="rtx-4090", offline=True), ("zzz",))


@pytest.mark.parametrize("on", ["rtx-4090", "rtx-4090 + rtx-3090", "rtx-3060-12gb + 32GiB ram"])
def test_a_plan_says_the_speeds_that_speed_says(on: str) -> None:
    for choice in ask("Qwen/Qwen3-14B", on=on, runtime="llama.cpp").choices[:2]:
        part = choice.parts[0]
        told = {
            s.estimate.quantity: s.estimate
            for s in speed(SpeedQuestion(fit=FitQuestion(**part.asked))).speeds  # type: ignore[arg-type]
        }
        for quantity in ("decode", "prefill", "ttft"):
            mine, its = part.figures[quantity].estimate, told[quantity]
            assert (mine.value, mine.low, mine.high) == pytest.approx((its.value, its.low, its.high))


def test_layers_that_draft_are_told_with_their_published_acceptance() -> None:
    answer = ask("Qwen/Qwen3.6-35B-A3B", on="rtx-4090", runtime="llama.cpp", weights="q4_k_m")
    assert any("drafting with its own layers: " in n and "--speculate mtp" in n for n in answer.notes)
    plain = ask("Qwen/Qwen3-8B", on="rtx-4090", runtime="llama.cpp", weights="q4_k_m")
    assert not any("draft" in n for n in plain.notes)


def test_heads_and_draft_models_are_told_where_somebody_published_the_pair() -> None:
    head = ask("meta-llama/Llama-3.3-70B-Instruct", on="rtx-pro-6000", runtime="vllm", weights="awq")
    assert any("with an EAGLE-3 head: " in n and "--speculate eagle3" in n for n in head.notes)
    without = ask(
        "meta-llama/Llama-3.3-70B-Instruct", on="rtx-pro-6000", runtime="llama.cpp", weights="q4_k_m"
    )
    assert not any("EAGLE" in n for n in without.notes)
    draft = ask("Qwen/Qwen2.5-Coder-32B-Instruct", on="rtx-pro-6000", runtime="llama.cpp", weights="q4_k_m")
    assert any("with Qwen/Qwen2.5-Coder-3B-Instruct: " in n for n in draft.notes)


def test_as_many_sequences_as_fit_for_certain() -> None:
    answer = ask("openai/gpt-oss-120b", on="rtx-pro-6000", goal="batch")
    assert first(answer) == ("vllm", "mxfp4")
    assert answer.choices[0].verdict == "fits"
    deep = ask("meta-llama/Llama-3.3-70B-Instruct", on="2x rtx-3090", goal="long-context")
    assert deep.choices[0].verdict == "fits"


def test_llama_cpp_runs_no_more_than_256_sequences() -> None:
    part = ask("Qwen/Qwen3-0.6B", on="m3-ultra-512gb", runtime="llama.cpp").choices[0].parts[0]
    assert part.most_sequences_count == 256
