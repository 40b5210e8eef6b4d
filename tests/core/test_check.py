"""From rules to verdicts: how topics combine, what nobody knows, what would work."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plimsoll.core import check as core
from plimsoll.domain.rule import OUTCOMES, Outcome, Range, Rule, Situation, Verdict, covers

ASKED = Situation(runtime="vllm", release=(5,), weights="fp8", hardware="sm_86", backend="cuda")


def rule(name: str, says: str, **more: Any) -> Rule:
    fields = {
        "runtime": "vllm",
        "aspect": "weights",
        "sources": ("here",),
        "checked_on": "2026-11-26",
        "note": f"{name}.",
        **more,
    }
    return Rule(id=name, says=says, **fields)  # type: ignore[arg-type]


def outcome(*rules: Rule, asked: Situation = ASKED) -> Outcome:
    return core.verdict(core.Rules(rules, {"fp8": "fp8", "awq": ""}), asked, "weights").outcome


def test_silence_is_unknown() -> None:
    assert outcome() == "unknown"
    assert outcome(rule("other", "native", formats=frozenset({"awq"}))) == "unknown"


def test_a_refusal_wins_over_everything() -> None:
    kernel = rule("kernel", "native", topic="kernel")
    assert outcome(kernel, rule("no", "unsupported", topic="gate")) == "unsupported"
    assert outcome(kernel, rule("no", "unsupported", topic="bug", checked_on="2026-01-01")) == "unsupported"


def test_another_name_of_the_architecture_may_be_known() -> None:
    asked = replace(ASKED, models=frozenset({"a", "b"}))
    old = rule("old", "unsupported", models=frozenset({"a"}), topic="registry")
    assert (
        outcome(old, rule("new", "supported", models=frozenset({"b"}), topic="registry"), asked=asked)
        == "supported"
    )
    assert (
        outcome(old, rule("new", "supported", models=frozenset({"b"}), topic="else"), asked=asked)
        == "unsupported"
    )


def test_the_worst_kernel_decides_and_its_needs_are_kept() -> None:
    rules = core.Rules(
        [rule("a", "native", topic="x", needs="CUDA 13"), rule("b", "penalty", topic="y", needs="a flag")], {}
    )
    made = core.verdict(rules, ASKED, "weights")
    assert (made.outcome, made.note, made.needs) == ("penalty", "b.", ("a flag", "CUDA 13"))
    assert made.rules == ("b", "a")


@pytest.mark.parametrize(
    ("weights", "unit", "wanted"),
    [("fp8", "native", "supported"), ("fp8", "penalty", "penalty"), ("fp8", "unsupported", "penalty"),
     ("fp8", "", "supported"), ("awq", "penalty", "supported")],
)  # fmt: skip
def test_a_passed_gate_is_a_penalty_without_the_matrix_unit(weights: str, unit: str, wanted: str) -> None:
    rules = [rule("gate", "supported", topic="gate")]
    if unit:
        rules.append(rule("unit", unit, runtime="", topic="matrix unit"))
    assert outcome(*rules, asked=replace(ASKED, weights=weights)) == wanted


def test_a_matrix_unit_alone_says_nothing_about_a_runtime() -> None:
    assert outcome(rule("unit", "native", runtime="", topic="matrix unit")) == "unknown"


def test_what_was_not_told_meets_no_condition() -> None:
    driver = rule("driver", "unsupported", driver=Range(high=(580,)))
    assert outcome(driver) == "unknown"
    assert outcome(driver, asked=replace(ASKED, driver=(570, 86))) == "unsupported"
    assert outcome(driver, asked=replace(ASKED, driver=(580,))) == "unknown"
    assert not covers(rule("sinks", "native", features=frozenset({"sinks", "moe"})), ASKED)


def verdict(aspect: str, said: str) -> Verdict:
    return Verdict(aspect=aspect, outcome=said, note="")  # type: ignore[arg-type]


def test_an_unknown_side_question_does_not_decide() -> None:
    known = [verdict("device", "supported"), verdict("weights", "native"), verdict("model", "supported")]
    assert core.overall([*known, verdict("tools", "unknown")]) == "native"
    assert core.overall([*known[:2], verdict("model", "unknown")]) == "unknown"
    assert core.overall([*known, verdict("stack", "unsupported")]) == "unsupported"
    assert core.overall([*known, verdict("attention", "supported")]) == "supported"
    assert core.overall([]) == "unknown"


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # a busy machine is no finding
@given(st.lists(st.sampled_from(OUTCOMES), min_size=1))
def test_one_more_aspect_never_makes_it_better(said: list[Outcome]) -> None:
    graded = [verdict("weights", s) for s in said]
    whole = core.ORDER.index(core.overall(graded))
    for more in OUTCOMES:
        assert core.ORDER.index(core.overall([*graded, verdict("moe", more)])) <= max(
            whole, core.ORDER.index("unknown")
        )


def test_the_lowest_release_is_of_the_unbroken_run_up_to_the_newest() -> None:
    aspects = ("device", "weights", "model")
    rules = core.Rules(
        [
            rule("early", "supported", releases=Range(low=(2,), high=(4,))),
            rule("broken", "unsupported", releases=Range(low=(4,), high=(6,))),
            rule("late", "native", releases=Range(low=(6,))),
            rule("device", "supported", aspect="device"), rule("model", "supported", aspect="model"),
        ],
        {},
    )  # fmt: skip

    def at(place: int) -> Situation:
        return replace(ASKED, release=(place,))

    assert core.lowest_release(rules, at, aspects, 9) == (6, "native")  # type: ignore[arg-type]
    assert core.lowest_release(rules, at, aspects, 5) is None  # type: ignore[arg-type]


def test_a_yes_without_a_model_is_weaker_where_some_model_is_refused() -> None:
    yes = rule("yes", "supported", aspect="lora", topic="experts", features=frozenset({"lora-experts"}))
    no = rule(
        "no", "unsupported", aspect="lora", topic="some",
        models=frozenset({"gemma4"}), features=frozenset({"lora-experts"}),
    )  # fmt: skip
    asked = Situation(runtime="vllm", features=frozenset({"lora", "lora-experts"}))
    made = core.verdict(core.Rules([yes, no], {}), asked, "lora")
    assert made.outcome == "penalty"
    assert made.note.startswith("It depends on the model")
    named = replace(asked, models=frozenset({"qwen3_moe"}))
    assert core.verdict(core.Rules([yes, no], {}), named, "lora").outcome == "supported"
