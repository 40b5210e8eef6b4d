"""Unlike cards: each card's layers at its own ceilings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plimsoll.ask.measured import work_of
from plimsoll.core.speed import prompt_terms, seconds, terms
from plimsoll.core.unlike import Stage, as_one, stage_terms
from plimsoll.domain.speed import SpeedCase, Terms

CARD = SpeedCase(
    work=work_of("meta-llama/Llama-3.1-8B", "llama_cpp", "q4_k_m"), runtime="llama_cpp", flavour="", era="",
    backend="cuda", device="rtx-3090", architecture="sm 8.6", bandwidth_bytes_per_s=936_200_000_000,
    flops_per_s={"fp16": 71.2e12, "int8": 284.7e12, "fp32": 35.6e12}, devices_count=2, split="layer",
)  # fmt: skip
FAST = replace(CARD, device="fast", bandwidth_bytes_per_s=2 * CARD.bandwidth_bytes_per_s)


def decode(case: SpeedCase) -> Terms:
    return terms(case, sequences_count=1, new_tokens=1, depth_tokens=1000)


def prompt(case: SpeedCase) -> Terms:
    return prompt_terms(case, sequences_count=1, prompt_tokens=2048, depth_tokens=0)


@pytest.mark.parametrize("each", [decode, prompt])
def test_halves_on_two_like_cards_take_the_time_of_the_pair(each: object) -> None:
    split = stage_terms([Stage(case=CARD, share=0.5), Stage(case=CARD, share=0.5)], each)  # type: ignore[arg-type]
    whole = each(CARD)  # type: ignore[operator]
    assert seconds(split, {}) == pytest.approx(seconds(whole, {}))


def test_the_bytes_on_a_card_of_twice_the_speed_take_half_the_time() -> None:
    split = stage_terms([Stage(case=CARD, share=0.5), Stage(case=FAST, share=0.5)], decode)
    weights = [p.seconds for p in split.parts if p.name.startswith("weights")]
    assert weights[1] == pytest.approx(weights[0] / 2)
    assert len([p for p in split.parts if p.name.startswith("pass")]) == 1
    names = [p.name for p in split.parts]
    assert len(set(names)) == len(names)


def test_unlike_cards_lie_between_two_of_either() -> None:
    slow, fast = (seconds(decode(c), {}) for c in (CARD, FAST))
    mixed = seconds(stage_terms([Stage(case=CARD, share=0.5), Stage(case=FAST, share=0.5)], decode), {})
    assert fast < mixed < slow


def test_the_slowest_card_bounds_the_products_of_a_prompt() -> None:
    weak = replace(CARD, flops_per_s={k: v / 4 for k, v in CARD.flops_per_s.items()})
    split = stage_terms([Stage(case=CARD, share=0.5), Stage(case=weak, share=0.5)], prompt)
    products = sum(p.seconds for p in split.parts if p.bottleneck == "compute")
    of_weak = sum(p.seconds for p in prompt(weak).parts if p.bottleneck == "compute")
    assert products == pytest.approx(of_weak)


def test_effects_of_a_card_stay_with_its_parts() -> None:
    split = stage_terms([Stage(case=CARD, share=0.5), Stage(case=FAST, share=0.5)], decode)
    slower = {"decode device: fast": 1.0}
    assert split.effects == ()
    assert seconds(split, slower) > seconds(split, {})
    assert as_one([Stage(case=CARD), Stage(case=FAST)]).device == f"{CARD.device} + fast"
