"""TensorRT-LLM: the paged cache by hand, ranks, the pool's estimate, refusals."""

from __future__ import annotations

import pytest

from plimsoll.core.replay import replay
from plimsoll.runtimes.tensorrt_llm.memory import decoder_bytes, estimates, paged_bytes, problems
from tests.runtimes.deployments import deployment, lines, size


def test_logged_pools_are_reproduced() -> None:
    # NVIDIA/TensorRT-LLM#1188: 24 layers x 2 KV heads x 64, 395,776 tokens, "4.53 GiB".
    assert round(paged_bytes(395_776, 64, [[24, 2 * 2 * 64]], 16) / 2**30, 2) == 4.53
    # NVIDIA/TensorRT-LLM#1400.
    assert paged_bytes(132_608, 64, [[32, 2 * 32 * 128]], 16) == 69_524_783_104


def test_the_older_runtimes_decoder_lies_within_the_bounds() -> None:
    # NVIDIA/TensorRT-LLM#1188: decoder buffers of 5.76 GB for a vocabulary of 151,936.
    assert decoder_bytes(2048, 151_936).high > 5.76e9 > decoder_bytes(2048, 151_936).value


def test_whole_blocks_are_taken_per_sequence() -> None:
    wanted = deployment("tensorrt_llm", "qwen3-30b-a3b", "h100-sxm", context_tokens=1000, sequences=3)
    assert size(wanted, "kv") == 3 * 1024 * 98_304


def test_kv_heads_are_divided_by_the_ranks_but_never_below_one() -> None:
    for cards, share in ((2, 2), (4, 4), (8, 4)):
        wanted = deployment("tensorrt_llm", "qwen3-30b-a3b", f"{cards}x h100-sxm", split="tensor")
        one = deployment("tensorrt_llm", "qwen3-30b-a3b", "h100-sxm")
        assert size(wanted, "kv", "gpu0") * share == size(one, "kv")
        assert size(wanted, "weights", "gpu0") < size(one, "weights") / cards * 1.1


def test_the_pool_is_a_fraction_of_what_is_free() -> None:
    half, most = (
        {
            e.quantity: e
            for e in estimates(
                deployment("tensorrt_llm", "qwen3-30b-a3b", "h100-sxm", free_gpu_memory_fraction=f)
            )
        }
        for f in (0.45, 0.9)
    )
    assert most["kv_pool_bytes"].value == pytest.approx(2 * half["kv_pool_bytes"].value, rel=1e-6)
    tokens = most["kv_cache_tokens"]
    assert tokens.low < tokens.value < tokens.high
    assert tokens.value * 98_304 <= most["kv_pool_bytes"].value


def test_a_pool_of_told_size_is_the_pool() -> None:
    told = {
        e.quantity: e
        for e in estimates(deployment("tensorrt_llm", "qwen3-30b-a3b", "h100-sxm", max_gpu_total_bytes=10**9))
    }
    assert told["kv_pool_bytes"].value == told["kv_pool_bytes"].high == 10**9
    assert told["kv_cache_tokens"].value == 10**9 // (32 * 98_304) * 32


@pytest.mark.parametrize(
    ("on", "split", "told"),
    [
        ("mac-studio-m3-ultra-512gb", "none", "NVIDIA"), ("rtx-2080-ti", "none", "8.0"),
        ("3x h100-sxm", "tensor", "do not divide by tensor parallel size 3"),
    ],
)  # fmt: skip
def test_what_tensorrt_cannot_run_is_refused(on: str, split: str, told: str) -> None:
    wanted = deployment("tensorrt_llm", "qwen3-30b-a3b", on, split=split)  # type: ignore[arg-type]
    assert any(told in problem for problem in problems(wanted))


def test_every_line_can_be_computed_again() -> None:
    for line in lines(deployment("tensorrt_llm", "qwen3-30b-a3b", "2x h100-sxm", split="tensor", kv="fp8")):
        assert replay(line) == (line.size_bytes, line.low_bytes, line.high_bytes)
