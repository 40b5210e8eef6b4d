"""SGLang's bill: the static share, two pools, state slots, refusals."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from plimsoll.core.replay import replay
from plimsoll.domain.deployment import Adapter
from plimsoll.runtimes.sglang import memory
from tests.runtimes.deployments import deployment, lines, size


def estimates(wanted: object) -> dict[str, float]:
    return {e.quantity: e.value for e in memory.estimates(wanted)}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "on", "split"),
    [
        ("Qwen/Qwen3-30B-A3B", "2x rtx-3090", "tensor"),
        ("google/gemma-4-26B-A4B-it", "rtx-pro-6000", "none"),
        ("Qwen/Qwen3.6-27B", "h100-sxm", "none"),
        ("zai-org/GLM-5", "8x rtx-pro-6000", "tensor"),
    ],
)
def test_every_line_replays_after_json(model: str, on: str, split: str) -> None:
    for line in memory.lines(deployment("sglang", model, on, split=split, sequences=2)):  # type: ignore[arg-type]
        again = replace(line, inputs=json.loads(json.dumps(line.inputs)))
        assert replay(again) == (line.size_bytes, line.low_bytes, line.high_bytes)


def test_the_static_share_by_card() -> None:
    # (24,576 MiB - 512 - 1.5 x 2,048 - 2 x 24 - 128) / 24,576; 10 GiB at least above 60 GiB.
    assert memory.static_share(24_576, 2048, 24, 1, False) == 0.847
    assert memory.static_share(81_559, 8192, 256, 1, False) == round((81_559 - 13_440) / 81_559, 3)
    assert memory.static_share(97_887, 2048, 24, 1, False) == round((97_887 - 10_240) / 97_887, 3)


def test_what_the_share_keeps_back_holds_activations_and_graphs() -> None:
    wanted = deployment("sglang", "Qwen/Qwen3-0.6B", "rtx-3090", mem_fraction_static=0.8)
    device = wanted.machine.devices[0]
    working = size(wanted, "compute") + size(wanted, "overhead")
    kept = size(wanted, "reserved")
    assert kept + working == pytest.approx(0.2 * (device.memory_bytes - device.reserved_bytes), abs=2)


def test_the_window_pool_is_a_share_of_the_full_one() -> None:
    narrow = deployment("sglang", "google/gemma-4-26B-A4B-it", "rtx-pro-6000", swa_full_tokens_ratio=0.1)
    wide = deployment("sglang", "google/gemma-4-26B-A4B-it", "rtx-pro-6000")
    assert size(narrow, "kv") < size(wide, "kv")
    assert estimates(narrow)["kv_cache_tokens"] > 3 * estimates(wide)["kv_cache_tokens"]
    assert len(lines(wide, "kv")) == 2


def test_states_take_slots_of_their_own() -> None:
    # 48 layers x (3 x 10,240 x 2 + 48 x 128 x 128 x 4) bytes: 17.58 + 0.34 GB in 125 slots on an H100.
    wanted = deployment("sglang", "Qwen/Qwen3.8-27B", "h100-sxm", disable_radix_cache=True, sequences=124)
    assert size(wanted, "state") == 125 * 48 * (3 * 10_240 * 2 + 48 * 128 * 128 * 4)
    assert size(wanted, "state") / 2**30 == pytest.approx(17.58 + 0.34, abs=0.02)


def test_refusals_carry_their_reason() -> None:
    said = memory.problems(deployment("sglang", "Qwen/Qwen3-30B-A3B", "3x rtx-3090", split="tensor"))
    assert "32 attention heads do not divide by tensor parallel size 3" in said


def test_the_pool_of_adapters_holds_its_targets_in_every_layer() -> None:
    wanted = deployment("sglang", "Qwen/Qwen3-0.6B", "2x rtx-3090", split="tensor")
    one = Adapter(id="tone", rank=16, size_bytes=2**20, targets=("q_proj", "o_proj", "down_proj"))
    adapted = replace(wanted, adapters=(one,))
    # q, k and v share a buffer (A three times), o and down split their inputs: 28 layers, 8 slots, bf16.
    layer = (1024 + 1024) + 2 * (1024 + 512) + (1024 + 1024) + (1536 + 1024)
    assert size(adapted, "adapters") == 2 * 8 * 16 * 2 * 28 * layer
    other = replace(adapted, settings={"max_loras_per_batch": 2, "max_lora_rank": 64})
    assert size(other, "adapters") == 2 * 2 * 64 * 2 * 28 * layer
    assert lines(adapted, "adapters")[0].label == "LoRA pool (8 slots of rank 16)"
