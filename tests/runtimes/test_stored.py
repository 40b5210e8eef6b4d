"""Which weights each of the smaller runtimes reads."""

from __future__ import annotations

import pytest

from plimsoll.runtimes import memory_of
from plimsoll.runtimes.stored import method_of
from tests.runtimes.deployments import deployment

MAC = "mac-studio-m3-ultra-512gb"


@pytest.mark.parametrize(
    ("weights", "method"),
    [
        ("", "bf16"), ("exl3-4.0bpw", "exl3"), ("mlx-4bit-g32", "mlx"), ("bnb_nf4", "bnb"),
        ("fp8_channel", "fp8"), ("awq", "awq"),
    ],
)  # fmt: skip
def test_the_family_of_a_format(weights: str, method: str) -> None:
    assert method_of(deployment("mlx", "qwen3-30b-a3b", MAC, weights=weights)) == method


def test_a_published_quantisation_is_the_family_when_none_is_asked_for() -> None:
    assert method_of(deployment("mlx", "gpt-oss-20b", MAC)) == "mxfp4"


@pytest.mark.parametrize(
    ("runtime", "on", "reads", "refuses"),
    [
        ("mlx", MAC, ("bf16", "mlx-4bit", "awq"), ("exl3-4.0bpw", "bnb_nf4")),
        ("exllama", "rtx-4090", ("bf16", "exl3-4.0bpw"), ("exl2-4.0bpw", "awq", "mlx-4bit")),
        ("transformers", "rtx-4090", ("bf16", "bnb_nf4", "awq"), ("exl3-4.0bpw", "mlx-4bit")),
        ("tensorrt_llm", "rtx-4090", ("bf16", "fp8", "awq"), ("exl3-4.0bpw", "bnb_nf4")),
    ],
)
def test_foreign_weights_are_refused(
    runtime: str, on: str, reads: tuple[str, ...], refuses: tuple[str, ...]
) -> None:
    problems = memory_of(runtime).problems
    assert all(problems(deployment(runtime, "qwen3-30b-a3b", on, weights=w)) == () for w in reads)
    assert all(problems(deployment(runtime, "qwen3-30b-a3b", on, weights=w)) for w in refuses)
