"""MLX: caches by hand, refusals, replay."""

from __future__ import annotations

import pytest

from plimsoll.core.replay import replay
from plimsoll.runtimes.mlx.memory import problems
from tests.runtimes.deployments import deployment, lines, size

MAC = "mac-studio-m3-ultra-512gb"


def test_the_plain_cache_grows_in_steps_of_256_tokens() -> None:
    # Qwen3-30B-A3B: 48 layers x 4 KV heads x (128 + 128) x 2 bytes = 98,304 bytes per token.
    for context, kept in ((1, 256), (256, 256), (257, 512), (40960, 40960)):
        wanted = deployment("mlx", "qwen3-30b-a3b", MAC, context_tokens=context)
        assert size(wanted, "kv") == kept * 98_304


def test_sliding_layers_keep_a_window_and_the_piece_being_read() -> None:
    # gpt-oss-20b: 12 full and 12 sliding layers (128 tokens), 8 KV heads x 64 x 2 = 1,024 values per token.
    wanted = deployment("mlx", "gpt-oss-20b", MAC, context_tokens=32768)
    assert size(wanted, "kv") == (12 * 32768 + 12 * (127 + 2048)) * 1024 * 2


def test_a_quantised_cache_has_a_scale_and_a_bias_per_64_values() -> None:
    whole = deployment("mlx", "qwen3-30b-a3b", MAC, context_tokens=32768)
    packed = deployment("mlx", "qwen3-30b-a3b", MAC, context_tokens=32768, kv="q8")
    short = deployment("mlx", "qwen3-30b-a3b", MAC, context_tokens=4096, kv="q8")
    assert size(packed, "kv") == size(whole, "kv") * 8.5 / 16
    assert size(short, "kv") == 4096 * 98_304  # --kv-bits begins at quantized_kv_start = 5000 tokens


def test_the_prompt_is_read_2048_tokens_at_a_time() -> None:
    short, at_step, longer = (
        size(deployment("mlx", "qwen3-30b-a3b", MAC, context_tokens=n), "compute") for n in (512, 2048, 65536)
    )
    smaller = size(
        deployment("mlx", "qwen3-30b-a3b", MAC, context_tokens=65536, prefill_step_size=512), "compute"
    )
    assert short == smaller < at_step == longer


def test_hybrids_keep_a_state_whatever_the_context() -> None:
    short, long = (
        size(deployment("mlx", "Qwen/Qwen3-Next-80B-A3B-Instruct", MAC, context_tokens=n), "state")
        for n in (1024, 65536)
    )
    assert short == long > 0


@pytest.mark.parametrize(
    ("model", "on", "kv", "told"),
    [
        ("qwen3-30b-a3b", "rtx-4090", "auto", "needs an Apple GPU"),
        ("gpt-oss-20b", MAC, "q8", "cannot quantise the rotating cache"),
    ],
)
def test_what_mlx_cannot_run_is_refused(model: str, on: str, kv: str, told: str) -> None:
    assert any(
        told in problem for problem in problems(deployment("mlx", model, on, context_tokens=32768, kv=kv))
    )


def test_fp8_checkpoints_are_unpacked_to_16_bits() -> None:
    packed = deployment("mlx", "qwen3-30b-a3b", MAC, weights="fp8")
    plain = deployment("mlx", "qwen3-30b-a3b", MAC, weights="bf16")
    assert size(packed, "weights") == size(plain, "weights")


def test_every_line_can_be_computed_again() -> None:
    for line in lines(deployment("mlx", "gpt-oss-20b", MAC, weights="")):
        assert replay(line) == (line.size_bytes, line.low_bytes, line.high_bytes)
