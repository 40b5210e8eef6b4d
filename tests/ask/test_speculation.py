"""Speculative decoding asked for on the command line's words."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from plimsoll.ask.fit import FitQuestion
from plimsoll.ask.speed import SpeedQuestion, speed
from plimsoll.domain.speed_answer import SpeedAnswer
from plimsoll.doors.cli.main import cli
from plimsoll.errors import BadSetting


def ask(
    model: str,
    on: str = "rtx-pro-6000",
    weights: str = "q4_k_m",
    acceptance: tuple[float, float] | None = None,
    many: int = 1,
    **more: str,
) -> SpeedAnswer:
    fit = FitQuestion(
        models=(model,), on=on, weights=weights, context_tokens=2048, offline=True,
        parallel_sequences_count=many,
    )  # fmt: skip
    return speed(SpeedQuestion(fit=fit, acceptance=acceptance, **more))  # type: ignore[arg-type]


def rate(answer: SpeedAnswer, quantity: str) -> float:
    return next(s.estimate.value for s in answer.speeds if s.estimate.quantity == quantity)


def test_known_acceptance_gives_a_speed_with_an_interval_and_its_source() -> None:
    answer = ask("Qwen/Qwen3.6-35B-A3B", speculate="mtp:2")
    found = answer.speculation
    assert found is not None
    assert found.acceptance is not None
    assert found.acceptance.sources == ("https://github.com/ggml-org/llama.cpp/pull/22673",)
    drafted = next(s.estimate for s in answer.speeds if s.estimate.quantity == "decode_speculative")
    assert drafted.low < drafted.value < drafted.high
    assert rate(answer, "decode") < drafted.value < 3 * rate(answer, "decode")
    step = 2 * found.draft_seconds + found.verify_seconds
    a = found.acceptance.value
    assert drafted.value == pytest.approx((1 + a + a * a) / step)


def test_unknown_acceptance_is_a_range_without_a_headline() -> None:
    answer = ask("openai/gpt-oss-20b", weights="", speculate="eagle3:3")
    assert answer.speculation is not None
    assert answer.speculation.acceptance is None
    assert len(answer.speculation.points) == 5
    assert not any(s.estimate.quantity == "decode_speculative" for s in answer.speeds)
    assert any("nobody published it" in note for note in answer.notes)


def test_at_the_break_even_it_is_as_fast_as_without() -> None:
    unknown = ask("meta-llama/Llama-3.1-8B", speculate="draft:4", draft="Qwen/Qwen3-0.6B").speculation
    assert unknown is not None
    at = unknown.break_even
    assert at is not None
    answer = ask("meta-llama/Llama-3.1-8B", speculate="draft:4", draft="Qwen/Qwen3-0.6B", acceptance=(at, at))
    assert answer.speculation is not None
    assert answer.speculation.points[0].speedup == pytest.approx(1)


def test_more_accepted_is_never_slower() -> None:
    found = ask("meta-llama/Llama-3.1-8B", draft="Qwen/Qwen3-0.6B").speculation
    assert found is not None
    speedups = [p.speedup for p in found.points]
    assert speedups == sorted(speedups)


def test_the_published_speed_up_of_a_draft_model_is_met_within_a_third() -> None:
    # llama.cpp issue 5877: RTX 3060 12 GB, 8B and 1B in Q8_0, 5 drafted: 32.49 -> 55.47 tokens/s (x 1.71),
    # with half of the draft's layers left to the processor.
    answer = ask(
        "meta-llama/Llama-3.1-8B-Instruct", "rtx-3060-12gb", "q8_0", speculate="draft:5",
        draft="meta-llama/Llama-3.2-1B-Instruct",
    )  # fmt: skip
    found = answer.speculation
    assert found is not None
    assert found.points[0].speedup == pytest.approx(55.473 / 32.49, rel=0.33)


def test_the_published_speed_ups_of_an_mtp_layer_with_experts_in_host_memory_are_met() -> None:
    # llama.cpp's pull request 22673: Qwen3.6-35B-A3B on a 6 GB card with its experts in host memory, 1 to 4
    # drafted: 22.92 tokens/s plain, 27.58, 29.39, 27.78, 26.09 with the layer; 2 are best.
    published = [27.58 / 22.92, 29.39 / 22.92, 27.78 / 22.92, 26.09 / 22.92]
    predicted = []
    for drafted in (1, 2, 3, 4):
        fit = FitQuestion(
            models=("Qwen/Qwen3.6-35B-A3B",), on="rtx-3060-12gb + 64GiB ddr4-3200 x2", weights="q4_k_m",
            context_tokens=2048, cpu_expert_layers_count=40, offline=True,
        )  # fmt: skip
        answer = speed(SpeedQuestion(fit=fit, speculate=f"mtp:{drafted}"))
        predicted.append(rate(answer, "decode_speculative") / rate(answer, "decode"))
    assert predicted == pytest.approx(published, rel=0.25)
    assert predicted[3] < predicted[1]


def test_the_draft_model_must_fit_too() -> None:
    answer = ask(
        "meta-llama/Llama-3.1-8B-Instruct", "rtx-3060-12gb", "q8_0",
        draft="meta-llama/Llama-3.1-8B-Instruct",
    )  # fmt: skip
    assert answer.exit_code == 1


def test_costs_are_those_of_the_drafted_speed() -> None:
    plain, drafted = ask("Qwen/Qwen3.6-35B-A3B"), ask("Qwen/Qwen3.6-35B-A3B", speculate="mtp:2")
    name = "rent_per_million_generated_tokens"
    costs = [next(c.estimate.value for c in a.costs if c.estimate.quantity == name) for a in (plain, drafted)]
    assert costs[0] / costs[1] == pytest.approx(rate(drafted, "decode_speculative") / rate(plain, "decode"))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"speculate": "mtp"}, "no layers for multi-token prediction"),
        ({"speculate": "magic"}, "no way to speculate"),
        ({"speculate": "mtp:0"}, "no way to speculate"),
        ({"speculate": "mtp:99"}, "no way to speculate"),
        ({"speculate": "draft:3"}, "a draft model is not named"),
        ({"speculate": "mtp", "draft": "Qwen/Qwen3-0.6B"}, "without a draft model"),
        ({"acceptance": (0.5, 0.5)}, "an acceptance of what"),
    ],
)
def test_contradictory_options_are_refused(options: dict[str, str], why: str) -> None:
    with pytest.raises(BadSetting, match=why):
        ask("meta-llama/Llama-3.1-8B", **options)  # type: ignore[arg-type]


def test_many_sequences_share_the_pass_that_verifies() -> None:
    one, eight = (ask("Qwen/Qwen3.6-35B-A3B", speculate="mtp:1", many=n) for n in (1, 8))
    assert rate(one, "decode_speculative") < rate(eight, "decode_speculative")
    assert one.speculation is not None
    assert eight.speculation is not None
    # A busy machine has less to gain.
    assert eight.speculation.points[0].speedup < one.speculation.points[0].speedup


def test_the_command_says_what_is_not_known_and_from_where_on_it_pays() -> None:
    typed = "speed openai/gpt-oss-20b --on rtx-pro-6000 --speculate eagle3:3 --offline"
    printed = CliRunner().invoke(cli, typed.split()).output
    assert "is unknown; what each chance would bring" in printed
    assert "it pays from a chance of" in printed
    told = CliRunner().invoke(cli, [*typed.split(), "--acceptance", "60%..70%"]).output
    assert "60% … 65% … 70%: as given" in told
    bad = CliRunner().invoke(cli, [*typed.split(), "--acceptance", "170%"])
    assert bad.exit_code == 2
    assert "is not a share from 0 to 1" in bad.output


def test_verifying_two_tokens_is_no_prompt_but_a_pass_that_reads_at_most_twice_the_weights() -> None:
    asked = FitQuestion(
        models=("zai-org/GLM-4.5-Air",), on="rtx-pro-6000", runtime="vllm", weights="awq",
        context_tokens=4096, offline=True,
    )  # fmt: skip
    found = speed(SpeedQuestion(fit=asked, speculate="mtp:1", acceptance=(0.7, 0.7))).speculation
    assert found
    assert found.plain_seconds < found.verify_seconds < 2 * found.plain_seconds
