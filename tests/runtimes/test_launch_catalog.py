"""Every model of the catalog on every Python runtime: a command its newest recorded release takes."""

from __future__ import annotations

import pytest

from plimsoll.catalog.models import find_all
from plimsoll.core.fit import problems_of
from plimsoll.core.place import natural_split
from plimsoll.domain.launch import Serving
from tests.runtimes.deployments import deployment
from tests.runtimes.launched import launched, recorded, refused

NEWEST = {
    "vllm": "vllm-0.33.0", "sglang": "sglang-0.5.23", "tensorrt_llm": "tensorrt-llm-00209af149e7",
    "transformers": "transformers-5.24.0", "mlx": "mlx-lm-0.32.2",
}  # fmt: skip
# One of a family each, for every run.
SOME = (
    "openai/gpt-oss-120b", "Qwen/Qwen3-30B-A3B", "Qwen/Qwen3-VL-4B-Instruct", "google/gemma-3-27b-it",
    "deepseek-ai/DeepSeek-V3.2", "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    "meta-llama/Llama-3.3-70B-Instruct", "LiquidAI/LFM2-1.2B", "moonshotai/Kimi-K2-Instruct",
)  # fmt: skip


def not_taken(runtime: str, models: tuple[str, ...]) -> dict[str, list[str]]:
    """What the newest release would refuse, by model; each command is for a deployment without problems."""
    options = recorded(NEWEST[runtime])["options"]
    on = "mac-studio-m2-ultra-192gb" if runtime == "mlx" else "2x rtx-pro-6000"
    found = {}
    for model in models:
        wanted = natural_split(deployment(runtime, model, on, context_tokens=2048))
        assert not problems_of([wanted]), model
        command = launched(wanted, Serving(model_path=model, served_name="x"))
        assert all(flag.reason for flag in command.flags)
        if faults := refused(command, options):
            found[model] = faults
    return found


@pytest.mark.parametrize("runtime", NEWEST)
def test_the_newest_release_takes_the_command_of_a_family(runtime: str) -> None:
    assert not_taken(runtime, SOME) == {}


@pytest.mark.slow
@pytest.mark.parametrize("runtime", NEWEST)
def test_the_newest_release_takes_the_command_of_every_model(runtime: str) -> None:
    assert not_taken(runtime, tuple(find_all())) == {}
