import math
from dataclasses import replace

import pytest

from plimsoll.ask.measured import work_of
from plimsoll.core.speed import (
    NoCeiling,
    ceiling_seconds,
    generation,
    measure_only,
    prompt_terms,
    seconds,
    shares,
    terms,
)
from plimsoll.domain.speed import SpeedCase

CASE = SpeedCase(
    work=work_of("meta-llama/Llama-3.1-8B", "llama_cpp", "q4_k_m"), runtime="llama_cpp", flavour="", era="",
    backend="cuda", device="rtx-3090", architecture="sm 8.6", bandwidth_bytes_per_s=936_200_000_000,
    flops_per_s={"fp16": 71.2e12, "int8": 284.7e12, "fp32": 35.6e12},
)  # fmt: skip
MIXTURE = replace(CASE, work=work_of("Qwen/Qwen3-30B-A3B", "llama_cpp", "q4_k_m"))


def decode(case: SpeedCase, sequences: int = 1, depth: int = 0) -> float:
    return seconds(terms(case, sequences_count=sequences, new_tokens=1, depth_tokens=depth), {})


def test_weights_take_their_bytes_over_the_bandwidth() -> None:
    found = terms(CASE, sequences_count=1, new_tokens=1, depth_tokens=0)
    weights = next(p for p in found.parts if p.name == "weights")
    read = CASE.work.block_bytes + CASE.work.output_bytes
    assert weights.seconds == pytest.approx(read / 936.2e9)


def test_a_coefficient_multiplies_its_part_and_those_of_the_whole_everything() -> None:
    found = terms(CASE, sequences_count=1, new_tokens=1, depth_tokens=0)
    weights = next(p for p in found.parts if p.name == "weights")
    base = seconds(found, {})
    assert seconds(found, {weights.effects[0]: math.log(2)}) == pytest.approx(base + weights.seconds)
    assert seconds(found, {found.effects[0]: math.log(2)}) == pytest.approx(2 * base)


def test_shares_sum_to_one() -> None:
    found = terms(MIXTURE, sequences_count=4, new_tokens=1, depth_tokens=8192)
    assert sum(shares(found, {}).values()) == pytest.approx(1)


def test_depth_and_company_never_make_a_step_faster() -> None:
    assert decode(CASE) < decode(CASE, depth=8192) < decode(CASE, depth=65536)
    assert decode(MIXTURE) < decode(MIXTURE, sequences=4) < 4 * decode(MIXTURE)


def test_two_cards_by_tensor_halve_the_reading_and_by_layer_do_not() -> None:
    halves = replace(CASE, devices_count=2, split="tensor")
    by_layer = replace(CASE, devices_count=2, split="layer")
    assert decode(halves) < decode(CASE) < decode(by_layer)


def test_few_threads_cannot_ask_for_all_of_the_memory_nor_unpack_fast() -> None:
    host = replace(
        CASE, backend="cpu", architecture="cpu", device="", host="a host", bandwidth_bytes_per_s=200 * 10**9,
        flops_per_s={},
    )  # fmt: skip
    two, many = replace(host, threads_count=2), replace(host, threads_count=64)
    assert decode(two) > 3 * decode(many)
    found = terms(two, sequences_count=1, new_tokens=1, depth_tokens=0)
    read = CASE.work.block_bytes + CASE.work.output_bytes
    assert next(p.seconds for p in found.parts if p.name == "weights") == pytest.approx(read / 60e9)
    assert ceiling_seconds(found) == pytest.approx(read / 200e9)


def test_much_bandwidth_for_few_cores_is_bound_by_arithmetic() -> None:
    narrow = replace(CASE, flops_per_s={"fp32": 5e12})
    assert decode(CASE) < decode(narrow)
    assert ceiling_seconds(terms(narrow, sequences_count=1, new_tokens=1, depth_tokens=0)) == pytest.approx(
        ceiling_seconds(terms(CASE, sequences_count=1, new_tokens=1, depth_tokens=0))
    )


@pytest.mark.parametrize(
    ("architecture", "family"),
    [("sm 8.6", "sm 8"), ("sm 12.0", "sm 12"), ("RDNA3.5", "RDNA"), ("M4", "M"), ("cpu", "cpu")],
)
def test_an_architecture_inherits_from_its_generation(architecture: str, family: str) -> None:
    assert generation(architecture) == family


def test_experts_in_host_memory_cost_more_the_slower_it_is() -> None:
    fast = replace(MIXTURE, host_expert_layers_count=48, host_bytes_per_s=400 * 10**9)
    slow = replace(fast, host_bytes_per_s=80 * 10**9)
    assert decode(MIXTURE) < decode(fast) < decode(slow)


def test_a_prompt_needs_flops_and_a_step_does_not() -> None:
    blind = replace(CASE, flops_per_s={})
    assert decode(blind) <= decode(CASE)  # its arithmetic is left out
    with pytest.raises(NoCeiling, match="rtx-3090"):
        prompt_terms(blind, sequences_count=1, prompt_tokens=512, depth_tokens=0)


def test_two_prompts_do_not_see_each_other() -> None:
    one = prompt_terms(CASE, sequences_count=1, prompt_tokens=4096, depth_tokens=0)
    two = prompt_terms(CASE, sequences_count=2, prompt_tokens=4096, depth_tokens=0)

    def attention(found: object) -> float:
        return next(p.seconds for p in found.parts if p.name == "attention")  # type: ignore[attr-defined]

    assert attention(two) == pytest.approx(2 * attention(one))


def test_nothing_is_faster_than_the_ceiling_it_is_made_of() -> None:
    found = terms(CASE, sequences_count=1, new_tokens=1, depth_tokens=0)
    assert ceiling_seconds(found) <= seconds(found, {})


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"backend": "sycl"}, "Intel"), ({"backend": "vulkan", "architecture": "M2"}, "Mac"),
        ({"backend": "metal", "work": work_of("zai-org/GLM-4.7-Flash", "llama_cpp", "q8_0")}, "latent"),
        ({"runtime": "transformers"}, "Python"),
    ],
)  # fmt: skip
def test_where_no_model_holds_it_is_said(change: dict[str, object], word: str) -> None:
    assert word in measure_only(replace(CASE, **change))  # type: ignore[arg-type]
    assert measure_only(CASE) == ""
