"""What people and programs do with models, in figures of published traces.

Where a figure is nobody's, it is our assumption and says so; every one may be set otherwise.

Read on 2026-11-26:
Azure     data/AzureLLMInferenceTrace_conv.csv of github.com/Azure/AzurePublicDataset@b469a11: 19,366
          requests, prompt mean 1,155, p50 1,020, p95 4,083; output mean 211, p50 129, p95 451; waits between
          arrivals deviate by 1.09 of their mean
Mooncake  FAST25-release/README.md of github.com/kvcache-ai/Mooncake@3b5a594: tool and agent trace, prompt
          mean 8,596, output mean 182; the prompts it shows share 12 blocks of 512 tokens.
          traces/conversation_trace.jsonl there: 12,031 requests, prompt p50 6,909, p95 39,551
ServeGen  data/reason/deepseek-r1 of github.com/alibaba/ServeGen@f891d11, weighted by rate: output mean 1,527,
          p50 792, p95 5,701
Copilot   GitHubCopilotCodingAgentDataset2026.md of github.com/Azure/AzurePublicDataset: 7.83 calls a turn
ShareGPT  Tail-Optimized Caching for LLM Inference (Zhang, Li, Moallemi, Peng): 3.5 turns of about 100 tokens
          a conversation
"""

from __future__ import annotations

import math

from plimsoll.core.chance import Z95, lognormal_mean
from plimsoll.domain.traffic import Habit, Lengths

_AZURE_P50, _AZURE_P95 = 129, 451


def through_mean(mean: float, ratio: float = _AZURE_P95 / _AZURE_P50) -> Lengths:
    """Lengths with a mean and a p95 of `ratio` times p50 = mean / exp((ln ratio / 1.645)^2 / 2)."""
    p50 = mean / math.exp((math.log(ratio) / Z95) ** 2 / 2)
    return Lengths(p50_tokens=max(round(p50), 1), p95_tokens=max(round(p50 * ratio), 1))


def new_mean(prompt_mean: float, output_mean: float, turns_mean: float, shared_tokens: int) -> float:
    """The mean new text of sessions whose prompts have a mean of `prompt_mean`.

    With a geometric number of turns a request has turns_mean - 1 turns before it on average, each of a new
    text and an answer: prompt = shared + new + (turns - 1) (new + output), solved for new.
    """
    return (prompt_mean - shared_tokens - (turns_mean - 1) * output_mean) / turns_mean


def _agents() -> Habit:
    turns, shared = 7.83, 12 * 512
    output = through_mean(182)
    mean = lognormal_mean(output.p50_tokens, output.p95_tokens)
    return Habit(
        name="agents", new=through_mean(new_mean(8596, mean, turns, shared)), output=output,
        shared_tokens=shared, turns_mean=turns, wait_s=2.0, together_count=8,
        sources=(
            "prompt mean 8,596, output mean 182, 6,144 tokens in common: Mooncake tool and agent trace",
            "7.83 calls a task: GitHub Copilot coding agents 2026",
            "p95 is 3.5 times p50, as in Azure conversations 2023",
            "8 agents begin at once, a tool takes 2 s: our assumptions",
        ),
    )  # fmt: skip


def _chat() -> Habit:
    output = Lengths(p50_tokens=_AZURE_P50, p95_tokens=_AZURE_P95)
    turns, new = 3.5, 100
    shared = 1155 - new - round((turns - 1) * (new + lognormal_mean(_AZURE_P50, _AZURE_P95)))
    return Habit(
        name="chat", new=through_mean(new), output=output, shared_tokens=shared, turns_mean=turns,
        wait_s=60.0,
        sources=(
            "prompt mean 1,155, output p50 129, p95 451: Azure conversations 2023",
            "3.5 turns of 100 tokens: ShareGPT, as Tail-Optimized Caching for LLM Inference counts",
            f"the other {shared} tokens are a common beginning; a user reads 60 s: our assumptions",
        ),
    )  # fmt: skip


def _thinking() -> Habit:
    return Habit(
        name="thinking", new=Lengths(p50_tokens=6909, p95_tokens=39551),
        output=Lengths(p50_tokens=792, p95_tokens=5701),
        sources=(
            "prompt p50 6,909, p95 39,551: Mooncake conversations",
            "output p50 792, p95 5,701: DeepSeek-R1 in ServeGen",
            "that the two come together, and each question alone: our assumption",
        ),
    )  # fmt: skip


HABITS = {habit.name: habit for habit in (_chat(), _thinking(), _agents())}
