"""ExLlamaV3: cache layout by hand, embedding in RAM, filling several cards, refusals."""

from __future__ import annotations

import pytest

from plimsoll.core.replay import replay
from plimsoll.runtimes.exllama.memory import problems
from tests.runtimes.deployments import deployment, lines, size


@pytest.mark.parametrize(
    ("kv", "bytes_per_32"), [("f16", 64), ("q8", 34), ("q6", 26), ("q4", 18), ("q2", 10)]
)
def test_cached_values_take_their_bits_and_a_scale_per_32(kv: str, bytes_per_32: int) -> None:
    # Gemma 3 27B keeps all 62 layers in full: 16 heads x (128 + 128) values per token and layer.
    wanted = deployment(
        "exllama", "google/gemma-3-27b-it", "rtx-4090", context_tokens=1000, weights="exl3-4.0bpw", kv=kv
    )
    assert size(wanted, "kv") == 1024 * 62 * 4096 // 32 * bytes_per_32


def test_a_quantised_cache_is_unpacked_one_layer_at_a_time() -> None:
    packed = deployment(
        "exllama", "google/gemma-3-27b-it", "rtx-4090", context_tokens=8192, weights="exl3-4.0bpw", kv="q4"
    )
    (unpacked,) = [line for line in lines(packed, "compute") if "unpacked" in line.label]
    assert unpacked.size_bytes == 8192 * 4096 * 2


def test_the_embedding_stays_in_host_memory_and_a_tied_head_is_stored_again() -> None:
    wanted = deployment("exllama", "google/gemma-3-27b-it", "rtx-4090", weights="exl3-4.0bpw", kv="f16")
    assert size(wanted, "weights", "ram") == 262208 * 5376 * 2
    (weights,) = lines(wanted, "weights", "gpu0")
    head = sum(n for name, n in weights.inputs["groups"].items() if name.startswith("output"))
    assert 262272 * 5376 * 6 // 8 < head < 262272 * 5376 * 6.01 / 8


def test_cards_are_filled_in_order_with_half_a_gib_left_free() -> None:
    wanted = deployment(
        "exllama", "llama 3.3 70b instruct", "3x rtx-3090", weights="exl3-4.0bpw", kv="f16", split="layer"
    )
    taken = [size(wanted, "weights", f"gpu{n}") + size(wanted, "kv", f"gpu{n}") for n in range(3)]
    assert taken[0] > taken[1] > taken[2] >= 0
    for device in wanted.machine.devices:
        assert device.reserved_bytes + size(wanted, "", device.id) <= device.memory_bytes
    assert {line.size_bytes for line in lines(wanted, "reserved")} == {2**29}


def test_tensor_parallel_cards_hold_equal_shares_of_every_layer() -> None:
    one = deployment("exllama", "llama 3.3 70b instruct", "rtx-pro-6000", weights="exl3-4.0bpw", kv="f16")
    two = deployment(
        "exllama", "llama 3.3 70b instruct", "2x rtx-3090", weights="exl3-4.0bpw", kv="f16", split="tensor"
    )
    assert size(two, "kv", "gpu0") == size(two, "kv", "gpu1") == size(one, "kv") // 2
    assert size(two, "weights", "gpu0") == pytest.approx(size(one, "weights", "gpu0") / 2)


@pytest.mark.parametrize(
    ("on", "kv", "told"),
    [("rx-7900-xtx", "f16", "NVIDIA"), ("tesla-p40", "f16", "7.5"), ("rtx-4090", "fp8", "fp8")],
)
def test_what_exllama_cannot_run_is_refused(on: str, kv: str, told: str) -> None:
    wanted = deployment("exllama", "google/gemma-3-27b-it", on, weights="exl3-4.0bpw", kv=kv)
    assert any(told in problem for problem in problems(wanted))


def test_every_line_can_be_computed_again() -> None:
    for line in lines(
        deployment("exllama", "google/gemma-3-27b-it", "rtx-4090", weights="exl3-4.0bpw", kv="q6")
    ):
        assert replay(line) == (line.size_bytes, line.low_bytes, line.high_bytes)
