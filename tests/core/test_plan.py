"""Ranking, the front, and what one gives up: on made-up parts."""

from __future__ import annotations

import csv
import os
from dataclasses import replace

import pytest

from plimsoll.catalog import calibration
from plimsoll.core.goals import criteria, quality_rank
from plimsoll.core.pareto import compared, dominates, front, merits
from plimsoll.core.plan import explained, missed, nearest, never_better, ranked, reaches
from plimsoll.core.plan_formats import nominal_bits, weight_formats
from plimsoll.core.plan_serving import MEASURED_SEQUENCES
from plimsoll.domain.answer import ModelFacts
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.plan import Choice, Figure, Part
from plimsoll.domain.quality import QualityLoss
from tests.runtimes.deployments import deployment

FACTS = ModelFacts(
    id="org/model", revision="", architecture="llama", parameters_count=8 * 10**9,
    active_parameters_count=8 * 10**9, weight_format="bf16", trained_context_tokens=32768,
    runtime="llama_cpp", runtime_version="", fingerprint="0" * 16,
)  # fmt: skip
AS_PUBLISHED = QualityLoss(
    weight_format="bf16", metric="mean_kld_nats", basis="reference", value=0.0, low=0.0, high=0.0
)


def loss(value: float | None, low: float = 0.0) -> QualityLoss:
    basis = "unknown" if value is None else "measured"
    at = low if value is None else value
    return QualityLoss(
        weight_format="x", metric="mean_kld_nats", basis=basis, value=value, low=at,  # type: ignore[arg-type]
        high=value,
    )  # fmt: skip


def rate(value: float, *, low: float | None = None, unit: str = "tokens/s", measured: bool = True) -> Figure:
    estimate = Estimate(
        quantity="decode", unit=unit, value=value, low=value if low is None else low, high=value,
        basis="calibrated", formula="core.speed:seconds",
    )  # fmt: skip
    return Figure(estimate=estimate, bottleneck="bandwidth", new="", is_measured=measured)


def choice(
    *, lost: QualityLoss = AS_PUBLISHED, bits: float = 16, left: int = 2**33, **figures: Figure
) -> Choice:
    part = Part(
        model=FACTS, asked={"models": ("org/model",)}, flags="org/model", fingerprint="0" * 16,
        weight_format=lost.weight_format, kv_format="f16", split="none", placement="", context_tokens=8192,
        sequences_count=1, weights_bytes=2**34, bits_per_weight=bits, loss=lost, cache_loss=AS_PUBLISHED,
        figures=figures,
    )  # fmt: skip
    return Choice(
        rank=0, arrangement="alone", verdict="fits", parts=(part,), memory_left_bytes=left, is_on_front=False
    )


def test_unknown_quality_ranks_after_measured_neighbours_with_more_bits() -> None:
    known, unknown = choice(lost=loss(0.03)), choice(lost=loss(None, low=0.03), bits=4)
    assert quality_rank(known.parts[0]) < quality_rank(unknown.parts[0])


def test_fewer_bits_are_never_better_by_what_other_models_tell() -> None:
    told = replace(loss(0.005), basis="neighbour", weight_format="iq4_xs")
    small = choice(lost=told, bits=4.25).parts[0]
    larger = choice(lost=replace(loss(0.02), weight_format="q4_k_m"), bits=4.8).parts[0]
    raised = never_better(small, [small, larger]).loss
    assert (raised.value, raised.high) == (0.02, 0.02)
    assert raised.reason.endswith("raised to that of q4_k_m, which has more bits")
    assert never_better(larger, [small, larger]) == larger
    measured = choice(lost=loss(0.005), bits=4.25).parts[0]
    assert never_better(measured, [measured, larger]) == measured


def test_among_unknown_more_bits_go_first() -> None:
    eight, four = choice(lost=loss(None), bits=8), choice(lost=loss(None), bits=4)
    assert quality_rank(eight.parts[0]) < quality_rank(four.parts[0])


def test_chat_takes_quality_before_speed_only_above_the_comfortable_speed() -> None:
    slow, fast = choice(decode=rate(5)), choice(lost=loss(0.03), decode=rate(50))
    assert ranked([slow, fast], "chat", 10)[0].parts[0].loss.value == 0.03
    assert ranked([slow, fast], "chat", 4)[0].parts[0].loss.basis == "reference"


def test_a_little_short_of_the_comfortable_speed_is_no_reason_to_lose_quality() -> None:
    near, fast = choice(decode=rate(9)), choice(lost=loss(0.03), decode=rate(50))
    assert ranked([fast, near], "chat", 10)[0].parts[0].loss.basis == "reference"


def test_speed_counts_with_its_slow_end() -> None:
    sure, hopeful = choice(decode=rate(100, low=90)), choice(decode=rate(120, low=50))
    assert ranked([hopeful, sure], "chat", 10)[0].parts[0].figures["decode"].estimate.value == 100


def test_a_speed_nobody_measured_ranks_after_measured_ones() -> None:
    known, ceiling = choice(decode=rate(50)), choice(decode=rate(500, measured=False))
    order = ranked([ceiling, known], "chat", 10)
    assert order[0].parts[0].figures["decode"].is_measured
    assert any("nobody measured" in c.words for c in criteria(order[1], "chat", 10))


def test_the_front_holds_what_nothing_beats_in_everything() -> None:
    best, worse = choice(decode=rate(100)), choice(decode=rate(90))
    roomy = choice(decode=rate(90), left=2**35)
    assert front([best, worse, roomy]) == (True, False, True)
    assert dominates(merits(best), merits(worse))
    assert not dominates(merits(worse), merits(best))
    assert not dominates(merits(best), merits(best))


def test_an_unknown_speed_never_dominates_a_known_one() -> None:
    assert not dominates(merits(choice(left=2**35)), merits(choice(decode=rate(1))))
    assert dominates(merits(choice(decode=rate(1))), merits(choice()))


def test_what_one_gains_and_gives_up_has_numbers() -> None:
    first = choice(decode=rate(100), ttft=rate(0.5, unit="s"))
    other = choice(lost=loss(0.031), left=2**35, decode=rate(200), ttft=rate(0.8, unit="s"))
    gains, losses = compared(other, first, "chat")
    assert "generates 200 instead of 100 tokens/s" in gains
    assert "24.00 GiB more memory left" in gains
    assert "x instead of bf16 weights: 0.031 nats (slight loss, measured), not as published" in losses
    assert "first token after 0.8 instead of 0.5 s" in losses


def test_why_names_the_steps_that_decided() -> None:
    order = ranked([choice(decode=rate(50)), choice(lost=loss(0.03), decode=rate(80))], "chat", 10)
    told = explained(order, order, "chat", 10)
    beside = "1 other falls behind here; the next: 0.03 nats (slight loss, measured)"
    assert told[0].why == (f"quality: as published ({beside})",)
    assert told[1].gains
    assert told[1].gives_up


def test_reaching_is_unknown_without_a_measured_speed_unless_the_hardware_forbids_it() -> None:
    assert reaches(choice(decode=rate(50)), 20, None) is True
    assert reaches(choice(decode=rate(50)), 80, None) is False
    assert reaches(choice(decode=rate(50, measured=False)), 20, None) is None
    assert reaches(choice(decode=rate(50, measured=False)), 80, None) is False
    assert reaches(choice(), 20, None) is None


def test_the_nearest_miss_is_the_smallest_shortfall() -> None:
    options = [choice(decode=rate(50)), choice(decode=rate(90)), choice(decode=rate(400, measured=False))]
    assert nearest(options, 100, None)[0].parts[0].figures["decode"].estimate.value == 90
    assert missed(options, 100, None) == (
        "no plan reaches 100 tokens/s; the nearest is bf16 on llama.cpp with 90 tokens/s, limited by "
        "bandwidth"
    )


@pytest.mark.parametrize(
    ("name", "bits"), [("q8_0", 8.5), ("q4_k_m", 4.5), ("iq4_xs", 4.25), ("fp8", 8.0), ("bf16", 16.0)]
)
def test_nominal_bits(name: str, bits: float) -> None:
    assert nominal_bits(name) == bits


def test_a_model_published_in_16_bits_is_tried_in_every_smaller_format() -> None:
    assert weight_formats(deployment("llama_cpp", "Qwen/Qwen3-8B", "rtx-3090").model, "llama_cpp")[:2] == (
        "",
        "q8_0",
    )


def test_two_parts_are_compared_one_by_one() -> None:
    first = choice(decode=rate(100))
    both = replace(first, parts=(*first.parts, *first.parts))
    slower = choice(decode=rate(50)).parts[0]
    _, losses = compared(replace(both, parts=(first.parts[0], slower)), both, "chat")
    assert losses == ("model: generates 50 instead of 100 tokens/s",)


def test_where_quality_comes_first_a_little_speed_does_not_buy_twice_the_loss() -> None:
    better = choice(lost=loss(0.012), decode=rate(120))
    faster = choice(lost=loss(0.035), decode=rate(129))
    assert ranked([faster, better], "chat", 10)[0].parts[0].loss.value == 0.012
    alike = choice(lost=loss(0.013), decode=rate(129))
    assert ranked([better, alike], "chat", 10)[0].parts[0].loss.value == 0.013


def test_no_more_sequences_are_tried_than_somebody_measured() -> None:
    with open(os.path.join(os.path.dirname(calibration.PATH), "..", "measurements", "serving.csv")) as file:
        counts: dict[str, int] = {}
        for row in csv.DictReader(file):
            counts[row["runtime"]] = max(counts.get(row["runtime"], 0), int(row["sequences_count"]))
    assert {name: count for name, count in counts.items() if count > 1} == MEASURED_SEQUENCES


def test_a_way_with_room_goes_before_one_that_is_tight_but_quality_alone_does_not_mind() -> None:
    tight, roomy = (
        replace(choice(decode=rate(50)), verdict="tight"),
        choice(lost=loss(0.001), decode=rate(50)),
    )
    assert ranked([tight, roomy], "chat", 10)[0].verdict == "fits"
    assert ranked([tight, roomy], "max-quality", 0)[0].verdict == "tight"


def test_no_model_is_starved_for_another() -> None:
    def pair(first: float, second: float) -> Choice:
        parts = tuple(choice(lost=loss(x), decode=rate(50)).parts[0] for x in (first, second))
        return replace(choice(), arrangement="beside", parts=parts)

    assert ranked([pair(0.001, 0.4), pair(0.008, 0.002)], "chat", 10)[0].parts[0].loss.value == 0.008
