"""Drafting against what was published, and the pass that verifies."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plimsoll.ask import models
from plimsoll.ask.measured import work_of
from plimsoll.catalog import acceptance
from plimsoll.core.speculation import acceptance_of, mtp_bytes, mtp_work, speedups_of, verify_terms
from plimsoll.core.speed import seconds, terms
from plimsoll.domain.speed import SpeedCase

DENSE = SpeedCase(
    work=work_of("meta-llama/Llama-3.1-8B", "llama_cpp", "q4_k_m"), runtime="llama_cpp", flavour="", era="",
    backend="cuda", device="rtx-3090", architecture="sm 8.6", bandwidth_bytes_per_s=936_200_000_000,
    flops_per_s={"fp16": 71.2e12, "int8": 284.7e12, "fp32": 35.6e12},
)  # fmt: skip
MIXTURE = replace(DENSE, work=work_of("Qwen/Qwen3-30B-A3B", "llama_cpp", "q4_k_m"))


def part(case: SpeedCase, name: str, drafted: int) -> float:
    found = verify_terms(case, drafted=drafted, sequences_count=1, depth_tokens=8192)
    return next(p.seconds for p in found.parts if p.name == name)


def test_verifying_reads_the_weights_and_the_cache_of_a_sequence_once() -> None:
    plain = terms(DENSE, sequences_count=1, new_tokens=1, depth_tokens=8192)
    for name in ("weights", "cache"):
        once = next(p.seconds for p in plain.parts if p.name == name)
        assert part(DENSE, name, 4) == pytest.approx(once)


def test_verifying_touches_more_experts() -> None:
    one, five = part(MIXTURE, "experts", 0), part(MIXTURE, "experts", 4)
    # 128 experts, 8 active: 1 - (1 - 8/128)^5 over 8/128.
    assert five / one == pytest.approx((1 - (1 - 8 / 128) ** 5) / (8 / 128))


def test_verifying_more_tokens_is_never_faster() -> None:
    for case in (DENSE, MIXTURE):
        times = [
            seconds(verify_terms(case, drafted=n, sequences_count=1, depth_tokens=8192), {}) for n in range(8)
        ]
        assert times == sorted(times)


def test_the_layer_that_drafts_reads_its_active_experts_only() -> None:
    model = models.from_catalog("deepseek-ai/DeepSeek-V3")
    work = work_of("deepseek-ai/DeepSeek-V3", "vllm", "")
    one = mtp_work(model, work)
    assert one is not None
    # The published report: 14 B parameters of the MTP module, of which a token touches a small part.
    assert 10e9 < mtp_bytes(model, work) < 16e9
    assert 0.2e9 < one.block_bytes < 2e9
    assert one.experts == ()
    assert mtp_work(models.from_catalog("meta-llama/Llama-3.1-8B"), work) is None


def test_published_acceptance_is_the_median_with_its_range() -> None:
    rows = acceptance.load()
    found = acceptance_of(rows, "deepseek-ai/DeepSeek-V3", "mtp", "")
    assert found is not None
    assert (found.low, found.value, found.high) == pytest.approx((0.85, 0.875, 0.90))
    assert found.sources == ("https://arxiv.org/abs/2412.19437",)


def test_a_share_of_all_drafted_tokens_becomes_the_chance_of_each() -> None:
    # llama.cpp's pull request 22673: 81.5 % of 2 drafted tokens a step are 1 + 2 x 0.815 tokens a step.
    rows = [r for r in acceptance.load() if r.target == "Qwen/Qwen3.6-35B-A3B" and r.drafted_tokens == 2]
    found = acceptance_of(rows, "Qwen/Qwen3.6-35B-A3B", "mtp", "")
    assert found is not None
    assert 1 + found.value + found.value**2 == pytest.approx(2.63)


def test_another_draft_model_has_no_published_acceptance() -> None:
    rows = acceptance.load()
    pair = ("meta-llama/Llama-3.1-8B", "draft", "meta-llama/Llama-3.2-1B")
    assert acceptance_of(rows, *pair) is not None  # type: ignore[arg-type]
    assert acceptance_of(rows, "meta-llama/Llama-3.1-8B", "draft", "Qwen/Qwen3-0.6B") is None
    assert acceptance_of(rows, "openai/gpt-oss-120b", "eagle3", "") is None


def test_published_speed_ups_name_where_they_were_seen() -> None:
    rows = acceptance.load()
    said = speedups_of(rows, "Qwen/Qwen3.6-35B-A3B", "mtp", "")
    assert said.startswith("x 1.14 … 1.28 with 1, 2, 3, 4 drafted on RTX 3060 Laptop")
    assert speedups_of(rows, "deepseek-ai/DeepSeek-V3", "mtp", "") == ""
