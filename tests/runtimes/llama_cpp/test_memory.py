"""llama.cpp's bill: the engine's own figures, logged devices, replay, refusals."""

from __future__ import annotations

import json
from functools import cache

import pytest

from plimsoll.core.replay import replay
from plimsoll.domain.bill import HOST
from plimsoll.domain.deployment import Deployment, Offload, Runtime, Setting, Split, Workload
from plimsoll.domain.machine import Device, Machine
from plimsoll.domain.model import Model
from plimsoll.parse.config import model_from_config
from plimsoll.runtimes.llama_cpp import memory
from tests.ghost.stored import converted

MIB = 2**20
CPU = Machine(name="cpu", devices=())


def machine(count: int = 1, backend: str = "cuda", memory_bytes: int = 96 * 2**30) -> Machine:
    devices = tuple(
        Device(
            id=f"gpu{i}", name="card", vendor="", architecture="", backend=backend,  # type: ignore[arg-type]
            memory_bytes=memory_bytes,
        )
        for i in range(count)
    )  # fmt: skip
    return Machine(name="declared", devices=devices)


@cache
def model_of(model_id: str) -> Model:
    return model_from_config(converted(model_id)["config"], id=model_id)


def deployment(
    model_id: str, *, context: int = 4096, sequences: int = 1, kv: str = "f16", on: Machine = CPU,
    weights: str = "q8_0", version: str = "", split: Split | None = None, offload: Offload | None = None,
    **settings: Setting,
) -> Deployment:  # fmt: skip
    return Deployment(
        model=model_of(model_id), machine=on, runtime=Runtime(id="llama_cpp", version=version),
        workload=Workload(context_tokens=context, parallel_sequences_count=sequences), weight_format=weights,
        kv_format_k=kv, kv_format_v=kv, split=split or Split(devices=tuple(d.id for d in on.devices)),
        offload=offload or Offload(), settings=settings,
    )  # fmt: skip


def size(wanted: Deployment, component: str, device: str = "", label: str = "") -> int:
    return sum(
        line.size_bytes
        for line in memory.lines(wanted)
        if line.component == component and device in ("", line.device) and label in ("", line.label)
    )


# What the CPU engine (xllamacpp 2026.10.11549, llama.cpp b11549) reserves; bench/llama_cpp_memory.py asks it.
@pytest.mark.parametrize(
    ("model_id", "context", "sequences", "kv", "seen_bytes"),
    [
        ("Qwen/Qwen3-0.6B", 4096, 1, "f16", 33572896),
        ("openai/gpt-oss-120b", 4096, 1, "f16", 105277472),
        ("deepseek-ai/DeepSeek-R1", 4096, 1, "f16", 429930528),
        ("google/gemma-2-27b-it", 4096, 1, "f16", 282093600),
        ("Qwen/Qwen3.5-27B", 4096, 1, "f16", 163602496),
        ("meta-llama/Llama-4-Maverick-17B-128E-Instruct", 4096, 1, "f16", 161509408),
        ("Qwen/Qwen3-VL-8B-Instruct", 4096, 1, "f16", 213934112),
        ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", 4096, 1, "f16", 87572544),
        ("microsoft/phi-4", 4096, 1, "q8_0", 166823968),
        ("zai-org/GLM-4.7-Flash", 4096, 1, "f16", 88094752),
    ],
)
def test_cpu_compute_buffer_equals_the_engine(
    model_id: str, context: int, sequences: int, kv: str, seen_bytes: int
) -> None:
    wanted = deployment(model_id, context=context, sequences=sequences, kv=kv)
    assert size(wanted, "compute", label="compute buffer") == seen_bytes


def test_output_buffer_is_logits_of_every_slot() -> None:
    wanted = deployment("Qwen/Qwen3-0.6B", sequences=4)
    assert size(wanted, "compute", label="output buffer") == 4 * 151936 * 4


# Logged by llama.cpp 9010-d05fe1d7d and 5781-ba3ef86c5 on Vulkan (hogeheer499-commits/strix-halo-guide and
# ikawrakow/ik_llama.cpp): device and host compute buffers.
@pytest.mark.parametrize(
    ("model_id", "version", "context", "ubatch", "device_mib", "host_mib"),
    [
        ("Qwen/Qwen3-30B-A3B", "9010-d05fe1d7d", 4096, 512, 300.75, 16.02),
        ("meta-llama/Llama-3.1-8B-Instruct", "5781-ba3ef86c5", 16384, 1024, 613.01, 80.01),
        ("Qwen/Qwen3-Next-80B-A3B-Instruct", "9010-d05fe1d7d", 34048, 512, 308.75, 74.52),
    ],
)
def test_device_and_host_compute_as_logged(
    model_id: str, version: str, context: int, ubatch: int, device_mib: float, host_mib: float
) -> None:
    wanted = deployment(
        model_id,
        version=version,
        context=context,
        on=machine(backend="vulkan"),
        ubatch=ubatch,
        flash_attn="on",
    )
    on_device = [
        line for line in memory.lines(wanted) if line.component == "compute" and line.device == "gpu0"
    ]
    assert sum(line.size_bytes for line in on_device) / MIB == pytest.approx(device_mib, rel=0.015)
    assert on_device[0].low_bytes <= device_mib * MIB <= on_device[0].high_bytes
    assert size(wanted, "compute", HOST, "compute buffer of the host") / MIB == pytest.approx(
        host_mib, abs=0.02
    )


# Logged in May 2024 (XiongjieDai/GPU-Benchmarks-on-LLM-Inference; Llama 3 8B has Llama 3.1's shapes): one
# card, and four under pipeline parallelism, which keeps four copies of every input.
@pytest.mark.parametrize(
    ("count", "version", "seen_mib", "host_mib"),
    [
        (1, "2824-4426e298", [560.0], 24.01),
        (4, "2834-befddd0f", [640.01, 640.01, 640.01, 640.02], 72.02),
    ],
)
def test_pipeline_copies_as_logged(count: int, version: str, seen_mib: list[float], host_mib: float) -> None:
    on = machine(count, memory_bytes=48 * 2**30)
    split = Split(kind="layer", devices=tuple(d.id for d in on.devices))
    wanted = deployment(
        "meta-llama/Llama-3.1-8B-Instruct",
        version=version,
        context=8192,
        on=on,
        split=split,
        weights="q4_k_m",
    )
    ours = [size(wanted, "compute", d.id) / MIB for d in on.devices]
    assert ours == pytest.approx(seen_mib, abs=0.02)
    assert size(wanted, "compute", HOST, "compute buffer of the host") / MIB == pytest.approx(
        host_mib, abs=0.02
    )


@pytest.mark.parametrize(
    "wanted",
    [
        deployment("openai/gpt-oss-20b", context=8192, sequences=4, kv="q8_0"),
        deployment(
            "Qwen/Qwen3.6-35B-A3B", on=machine(2), split=Split(kind="layer", devices=("gpu0", "gpu1"))
        ),
        deployment("google/gemma-4-E2B-it", on=machine(backend="metal")),
        deployment("deepseek-ai/DeepSeek-V3.2", on=machine(), offload=Offload(cpu_expert_layers_count=61)),
    ],
    ids=["cpu", "two cards", "metal", "experts in ram"],
)
def test_lines_replay_after_json(wanted: Deployment) -> None:
    from dataclasses import replace

    found = memory.lines(wanted)
    assert {line.component for line in found} >= {"weights", "kv", "compute"}
    for line in found:
        again = replace(line, inputs=json.loads(json.dumps(line.inputs)))
        assert tuple(replay(again)) == (line.size_bytes, line.low_bytes, line.high_bytes)


def test_more_context_never_needs_less() -> None:
    for model_id in ("openai/gpt-oss-20b", "Qwen/Qwen3.6-35B-A3B", "google/gemma-3-1b-it"):
        sizes = [
            sum(line.size_bytes for line in memory.lines(deployment(model_id, context=context)))
            for context in (256, 1000, 4096, 5000, 32768, 131072)
        ]
        assert sizes == sorted(sizes)


def test_fewer_bits_never_need_more() -> None:
    sizes = [
        size(deployment("Qwen/Qwen3-0.6B", weights=w), "weights") for w in ("q4_k_m", "q6_k", "q8_0", "f16")
    ]
    assert sizes == sorted(sizes)
    cached = [
        size(deployment("Qwen/Qwen3-0.6B", kv=kv), "kv") for kv in ("q4_0", "q5_1", "q8_0", "f16", "f32")
    ]
    assert cached == sorted(cached)


def test_windows_before_may_2025_keep_the_whole_context() -> None:
    new = size(deployment("google/gemma-3-1b-it", context=8192), "kv")
    old = size(deployment("google/gemma-3-1b-it", context=8192, version="2025-03"), "kv")
    assert old == 208 * MIB  # logged by a build of March 2025
    assert new < old
    assert size(deployment("google/gemma-3-1b-it", context=8192, swa_full=True), "kv") == old


def test_ik_keeps_whole_contexts_too() -> None:
    # gpt-oss-120b, 16,768 asked, 16,896 cells: 1188 MiB over all 36 layers (ik_llama.cpp log, November 2025).
    wanted = deployment("openai/gpt-oss-120b", context=16768, fork="ik", flash_attn="on")
    assert size(wanted, "kv") == 1188 * MIB


def test_recurrent_state_counts_slots_not_tokens() -> None:
    one = size(deployment("Qwen/Qwen3.5-27B"), "state")
    assert size(deployment("Qwen/Qwen3.5-27B", context=65536), "state") == one
    assert size(deployment("Qwen/Qwen3.5-27B", sequences=4), "state") == 4 * one
    assert one / MIB == pytest.approx(149.6, abs=0.05)  # logged per slot


def test_refused_combinations() -> None:
    assert memory.problems(deployment("Qwen/Qwen3-0.6B", kv="q8_0", flash_attn="off"))
    assert not memory.problems(deployment("Qwen/Qwen3-0.6B", kv="q8_0"))
    assert memory.problems(deployment("Qwen/Qwen3-0.6B", kv="fp8"))
    # Mixed caches are refused for latent attention; the engine says the same.
    latent = deployment("deepseek-ai/DeepSeek-V2-Lite")
    mixed = Deployment(
        model=latent.model, machine=CPU, runtime=latent.runtime, workload=latent.workload,
        weight_format="q8_0", kv_format_k="q8_0", kv_format_v="f16",
    )  # fmt: skip
    assert memory.problems(mixed)
    assert not memory.problems(latent)


def test_experts_in_ram_leave_the_card() -> None:
    on = machine(memory_bytes=16 * 2**30)
    whole = size(deployment("openai/gpt-oss-120b", on=on), "weights", "gpu0")
    some = size(
        deployment("openai/gpt-oss-120b", on=on, offload=Offload(cpu_expert_layers_count=36)),
        "weights",
        "gpu0",
    )
    assert some < whole / 10


def test_tied_embeddings_lie_on_both_sides() -> None:
    wanted = deployment("google/gemma-3-1b-it", on=machine())
    # 262,144 x 1,152 in q8_0: the copy that the logs of Gemma 3 1B show (306 MiB).
    assert size(wanted, "weights", HOST) == 262144 * 1152 // 32 * 34
    assert size(deployment("google/gemma-3-1b-it"), "weights") < size(wanted, "weights")
