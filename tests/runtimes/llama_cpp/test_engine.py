"""The real engine as judge, over a part of the sweep of bench/llama_cpp_memory.py."""

from __future__ import annotations

import pytest

from bench import llama_cpp_memory as sweep

# One of each kind: dense, experts, windows, latent, indexer, hybrids, fused matrices, per-layer embeddings.
JUDGED = (
    "meta-llama/Llama-3.2-1B-Instruct", "Qwen/Qwen3-0.6B", "openai/gpt-oss-20b", "google/gemma-3-1b-it",
    "google/gemma-4-E2B-it", "deepseek-ai/DeepSeek-V2-Lite", "deepseek-ai/DeepSeek-V3.2",
    "LiquidAI/LFM2-1.2B", "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "tiiuae/Falcon-H1-34B-Instruct",
    "microsoft/Phi-3.5-mini-instruct", "Qwen/Qwen3-Next-80B-A3B-Instruct", "CohereLabs/aya-23-8B",
)  # fmt: skip


@pytest.mark.oracle
@pytest.mark.parametrize("model_id", JUDGED)
def test_every_buffer_equals_the_engine(model_id: str) -> None:
    pytest.importorskip("xllamacpp")
    records = list(sweep.compare(model_id, ["q4_k_m"], sweep.runs(quick=True)))
    assert len(records) == 2
    for record in records:
        assert record["ours"] == record["engine"], record["run"]
