"""vLLM's bill: lines replay, refusals, ranks, and laws that hold for every deployment."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from plimsoll.core.replay import replay
from plimsoll.domain.deployment import Adapter, Deployment, Offload, Runtime, Workload
from plimsoll.runtimes.vllm import memory
from plimsoll.runtimes.vllm.setup import setup_of
from plimsoll.runtimes.vllm.versions import NEWEST, era_of, release
from tests.runtimes.deployments import deployment, lines, size


def estimates(wanted: Deployment) -> dict[str, float]:
    return {e.quantity: e.value for e in memory.estimates(wanted)}


MODELS = [
    ("meta-llama/Llama-3.1-8B", "rtx-3090", "none"),
    ("Qwen/Qwen3-30B-A3B", "2x rtx-3090", "tensor"),
    ("openai/gpt-oss-120b", "rtx-pro-6000", "none"),
    ("Qwen/Qwen3.6-27B", "2x rtx-5090", "tensor"),
    ("zai-org/GLM-5.1", "8x rtx-pro-6000", "pipeline"),
    ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "dgx-spark", "none"),
]


@pytest.mark.parametrize(("model", "on", "split"), MODELS)
def test_every_line_replays_after_json(model: str, on: str, split: str) -> None:
    wanted = deployment("vllm", model, on, split=split, sequences=4)  # type: ignore[arg-type]
    for line in memory.lines(wanted):
        again = replace(line, inputs=json.loads(json.dumps(line.inputs)))
        assert replay(again) == (line.size_bytes, line.low_bytes, line.high_bytes)


@pytest.mark.parametrize(("model", "on", "split"), MODELS)
def test_more_context_or_sequences_never_need_less(model: str, on: str, split: str) -> None:
    wanted = deployment("vllm", model, on, split=split)  # type: ignore[arg-type]
    sizes = []
    for context, sequences in ((512, 1), (4096, 1), (32768, 1), (32768, 3), (131072, 3)):
        workload = Workload(context_tokens=context, parallel_sequences_count=sequences)
        asked = replace(wanted, workload=workload)
        sizes.append(size(asked, "kv") + size(asked, "state"))
    assert sizes == sorted(sizes)


def test_all_ranks_together_hold_at_least_the_model() -> None:
    one = size(deployment("vllm", "Qwen/Qwen3-30B-A3B", "rtx-3090"), "weights")
    two = size(deployment("vllm", "Qwen/Qwen3-30B-A3B", "2x rtx-3090", split="tensor"), "weights")
    stages = size(deployment("vllm", "Qwen/Qwen3-30B-A3B", "2x rtx-3090", split="pipeline"), "weights")
    experts = size(deployment("vllm", "Qwen/Qwen3-30B-A3B", "2x rtx-3090", split="expert"), "weights")
    assert one < two < one * 1.02
    assert one <= stages < one * 1.02
    assert abs(experts - two) < one * 0.001


def test_kv_heads_are_copied_once_there_are_more_ranks_than_heads() -> None:
    four = deployment("vllm", "Qwen/Qwen3-30B-A3B", "4x rtx-3090", split="tensor")
    eight = deployment("vllm", "Qwen/Qwen3-30B-A3B", "8x rtx-3090", split="tensor")
    assert size(four, "kv", "gpu0") == size(eight, "kv", "gpu0")


def test_the_share_left_free_is_named_and_what_others_hold_lives_in_it() -> None:
    wanted = deployment("vllm", "meta-llama/Llama-3.1-8B", "rtx-3090")
    (line,) = lines(wanted, "reserved")
    assert line.label == "left free by gpu_memory_utilization 0.92"
    crowded = replace(
        wanted.machine.devices[0], reserved_bytes=wanted.machine.devices[0].reserved_bytes + 2**29
    )
    less = replace(wanted, machine=replace(wanted.machine, devices=(crowded,)))
    assert size(less, "reserved") == line.size_bytes - 2**29
    assert size(replace(wanted, settings={"gpu_memory_utilization": 1.0}), "reserved") == 0


def test_before_021_the_graphs_live_in_the_free_share() -> None:
    new = deployment(
        "vllm", "meta-llama/Llama-3.1-8B", "rtx-3090", gpu_memory_utilization=0.9, max_num_seqs=16
    )
    old = replace(new, runtime=Runtime(id="vllm", version="0.20.2"))
    assert size(old, "reserved") < size(new, "reserved")
    assert estimates(old)["kv_pool_bytes"] > estimates(new)["kv_pool_bytes"]


def test_both_meanings_of_the_printed_size_are_named() -> None:
    new = deployment("vllm", "google/gemma-4-26B-A4B-it", "dgx-spark", context_tokens=8192)
    old = replace(new, runtime=Runtime(id="vllm", version="0.20"))
    said = estimates(replace(new, settings={"kv_cache_memory_bytes": 40 * 2**30}))
    before = estimates(replace(old, settings={"kv_cache_memory_bytes": 40 * 2**30}))
    assert said["kv_cache_tokens_other_meaning"] == before["kv_cache_tokens"]
    assert said["kv_cache_tokens"] == int(said["max_concurrency"] * 8192)


def test_the_longest_context_is_the_last_that_the_pool_holds() -> None:
    wanted = deployment("vllm", "openai/gpt-oss-20b", "rtx-3090", kv_cache_memory_bytes=2**31)
    longest = int(estimates(wanted)["max_len_tokens"])

    def needed(context: int) -> float:
        return estimates(replace(wanted, workload=Workload(context_tokens=context)))["kv_needed_bytes"]

    assert needed(longest) <= 2**31 < needed(longest + 1)


def test_pool_for_tokens_turns_the_log_back_into_bytes() -> None:
    wanted = deployment("vllm", "Qwen/Qwen3-30B-A3B", "rtx-3090", kv_cache_memory_bytes=8 * 2**30)
    tokens = int(estimates(wanted)["kv_cache_tokens"])
    assert memory.pool_for_tokens(wanted, tokens) == pytest.approx(8 * 2**30, rel=1e-3)


@pytest.mark.parametrize(
    ("model", "on", "split", "word"),
    [
        (
            "Qwen/Qwen3-30B-A3B",
            "3x rtx-3090",
            "tensor",
            "32 attention heads do not divide by tensor parallel size 3",
        ),
        ("Qwen/Qwen3-0.6B", "30x rtx-3090", "pipeline", "28 layers cannot be cut into 30 pipeline stages"),
        ("Qwen/Qwen3.6-27B", "8x rtx-3090", "tensor", ""),
        ("Qwen/Qwen3-0.6B", "mac-studio-m3-ultra-512gb", "none", "vLLM does not run on metal devices"),
    ],
)
def test_refusals_carry_their_reason(model: str, on: str, split: str, word: str) -> None:
    said = memory.problems(deployment("vllm", model, on, split=split))  # type: ignore[arg-type]
    assert (word in said) if word else said == ()


def test_a_scale_group_does_not_straddle_two_ranks() -> None:
    # down_proj has 3,072 inputs: 384 each on 8 ranks are three groups, 192 on 16 are one and a half.
    fits = deployment("vllm", "Qwen/Qwen3-0.6B", "8x rtx-3090", split="tensor", weights="awq")
    narrow = deployment("vllm", "Qwen/Qwen3-0.6B", "16x rtx-3090", split="tensor", weights="awq")
    assert memory.problems(fits) == ()
    assert "3072 inputs cannot be cut into 16 ranks of whole groups of 128 (awq)" in memory.problems(narrow)
    assert memory.problems(replace(narrow, weight_format="fp8")) == ()


def test_a_stage_may_have_no_cache_of_its_own() -> None:
    wanted = deployment("vllm", "google/gemma-4-E4B-it", "8x rtx-3090", split="pipeline")
    assert {line.device for line in lines(wanted, "kv")} < {d.id for d in wanted.machine.devices}


def test_adapters_take_a_slot_for_every_module_on_every_rank() -> None:
    wanted = deployment("vllm", "Qwen/Qwen3-0.6B", "2x rtx-3090", split="tensor")
    adapted = replace(wanted, adapters=(Adapter(id="tone", rank=9, size_bytes=2**20),))
    # On one of two ranks: q, k and v, o, gate and up, down; then embedding and tied head, both whole.
    layer = (1024 + 1024) + 2 * (1024 + 512) + (1024 + 1024) + 2 * (1024 + 1536) + (1536 + 1024)
    slot = 16 * 2 * (28 * layer + 2 * (151_936 + 1024))
    assert size(adapted, "adapters") == 2 * slot
    assert estimates(adapted)["kv_pool_bytes"] == estimates(wanted)["kv_pool_bytes"] - slot
    three = replace(adapted, settings={"max_loras": 3, "max_lora_rank": 64})
    assert size(three, "adapters") == 2 * 3 * 4 * slot


def test_adapters_that_no_slot_holds_are_refused() -> None:
    wanted = deployment("vllm", "Qwen/Qwen3-0.6B", "rtx-3090")
    large = replace(wanted, adapters=(Adapter(id="large", rank=1024, size_bytes=1),))
    assert memory.problems(large) == ("an adapter of rank 1024, more than max_lora_rank 512",)
    other = deployment("vllm", "tiiuae/falcon-40b", "8x a100-sxm-80gb", split="tensor")
    adapted = replace(other, adapters=(Adapter(id="tone", rank=8, size_bytes=1),))
    assert any("does not support LoRA" in p for p in memory.problems(adapted))


def test_a_machine_without_cards_is_refused() -> None:
    wanted = deployment("vllm", "Qwen/Qwen3-0.6B", "rtx-3090")
    bare = replace(wanted, machine=replace(wanted.machine, devices=()), offload=Offload())
    assert "no accelerator" in memory.problems(bare)[0]


@pytest.mark.parametrize(
    ("version", "number"),
    [
        ("", NEWEST), ("0.20.2rc1.dev249+glm", (0, 20)), ("v0.9.1", (0, 9)), ("nightly 2026-05", (0, 21)),
        ("2024-07", (0, 5)), ("0.1.dev1+gda1daf40b", (0, 21)), ("vllm-nightly-01d4d1ad", NEWEST),
    ],
)  # fmt: skip
def test_releases_dates_and_builds_without_a_tag(version: str, number: tuple[int, int]) -> None:
    assert release(version) == number


def test_eras_by_release() -> None:
    assert era_of("0.25").batches_in_flight == 1
    assert era_of("0.26").batches_in_flight == 2
    assert not era_of("0.7").is_v1


def test_batch_sizes_follow_the_card() -> None:
    def batch(on: str) -> tuple[int, int]:
        setup = setup_of(deployment("vllm", "Qwen/Qwen3-0.6B", on, context_tokens=32768))
        return setup.batched_tokens, setup.sequences_count

    assert batch("rtx-3090") == (2048, 256)
    assert batch("h100-sxm") == (8192, 1024)
    assert batch("dgx-spark") == (2048, 256)
    assert batch("b200") == (16384, 1024)
