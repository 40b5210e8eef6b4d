"""What a power limit leaves of the speed: read off measured sweeps, never faster with less power."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.catalog import measurements
from plimsoll.core.power import factor, sweeps
from plimsoll.domain.measurement import Measurement
from plimsoll.domain.power import Sweep

SWEEP = Sweep(device="a", phase="decode", points=((0.4, 0.6), (0.6, 0.9), (1.0, 1.0)))


def row(watts: int, value: float, **more: object) -> Measurement:
    facts: dict[str, object] = {
        "id": f"{watts}", "source": "s", "runtime": "llama_cpp", "flavour": "", "version": "",
        "backend": "cuda", "device": "a", "devices_count": 1, "split": "none", "host": "",
        "ram_bytes_per_s": 0, "model": "m", "weight_format": "q4_0", "file_bytes": 0, "kv_format": "",
        "gpu_layers_count": None, "cpu_expert_layers_count": 0, "flash_attention": "", "ubatch_tokens": 0,
        "prompt_tokens": 0, "generated_tokens": 0, "depth_tokens": 0, "sequences_count": 1,
        "power_limit_watts": watts, "metric": "decode_tps", "value": value,
    }  # fmt: skip
    return Measurement(**{**facts, **more})  # type: ignore[arg-type]


def test_a_sweep_is_the_median_over_rows_that_differ_only_in_the_limit() -> None:
    rows = [
        row(600, 100),
        row(300, 80),
        row(600, 10, model="n"),
        row(300, 6, model="n"),
        row(300, 7, model="o"),
    ]
    (found,) = sweeps(rows)
    assert found == Sweep(device="a", phase="decode", points=((0.5, 0.7), (1.0, 1.0)))


def test_noise_never_makes_less_power_faster() -> None:
    (found,) = sweeps([row(600, 100), row(400, 103), row(300, 104), row(200, 90)])
    assert found.points == ((0.3333, 0.9), (0.5, 1.0), (0.6667, 1.0), (1.0, 1.0))


def test_the_own_sweep_is_read_between_its_points() -> None:
    found = factor([SWEEP], "a", "decode", 0.5)
    assert found is not None
    assert found.is_own
    assert (found.low, found.value, found.high) == pytest.approx((0.75, 0.75, 0.75))


def test_another_device_may_lose_nothing_or_as_much_as_the_power() -> None:
    found = factor([SWEEP], "b", "decode", 0.5)
    assert found is not None
    assert not found.is_own
    assert (found.low, found.value, found.high) == pytest.approx((0.5, 0.75, 1.0))


def test_below_every_sweep_nothing_is_known() -> None:
    assert factor([SWEEP], "a", "decode", 0.2) is None
    assert factor([SWEEP], "a", "prefill", 0.5) is None
    whole = factor([], "a", "decode", 1.0)
    assert whole is not None
    assert whole.value == 1.0


@given(st.floats(0.35, 1), st.floats(0.35, 1), st.sampled_from(["rtx-pro-6000", "rtx-4090", "strix-halo"]))
def test_more_power_is_never_slower(one: float, other: float, device: str) -> None:
    low, high = sorted((one, other))
    for phase in ("decode", "prefill"):
        less, more = (factor(SHIPPED, device, phase, share) for share in (low, high))
        assert less is not None
        assert more is not None
        assert less.value <= more.value + 0.02  # a second sweep joins the mean where it begins
        assert less.low <= less.value <= less.high <= 1


SHIPPED = sweeps(measurements.load())


def test_the_published_sweep_of_the_rtx_pro_6000_is_in_the_catalog() -> None:
    # https://github.com/AUGMXNT/llm-tracker.info-vault, RTX PRO 6000: 300 of 600 W, Llama-2-7B Q4_0.
    decode, prefill = (factor(SHIPPED, "rtx-pro-6000", phase, 0.5) for phase in ("decode", "prefill"))
    assert decode is not None
    assert prefill is not None
    assert decode.value == pytest.approx(260.42 / 279.04, abs=0.005)
    assert prefill.value == pytest.approx(12802 / 16634, abs=0.005)
