"""Bandwidths against the rated figures of known parts."""

from __future__ import annotations

import pytest

from plimsoll.formulas.bandwidth import memory_bus_bytes_per_s, pcie_bytes_per_s, ram_bytes_per_s


@pytest.mark.parametrize(
    ("generation", "lanes", "rated_gb_per_s"),
    [(3, 16, 15.8), (4, 16, 31.5), (5, 8, 31.5), (5, 16, 63.0), (1, 1, 0.25)],
)
def test_pcie_links_have_their_published_rate(generation: int, lanes: int, rated_gb_per_s: float) -> None:
    assert pcie_bytes_per_s(generation, lanes) == pytest.approx(rated_gb_per_s * 1e9, rel=0.004)


def test_an_unknown_generation_is_refused() -> None:
    with pytest.raises(KeyError):
        pcie_bytes_per_s(9, 16)


@pytest.mark.parametrize(
    ("clock_mhz", "bus_bits", "rated_gb_per_s"),
    [(9751, 384, 936.2), (14001, 512, 1792), (5001, 256, 320), (1593, 5120, 2039), (2619, 5120, 3352)],
)
def test_nvml_clock_and_width_give_the_rated_bandwidth(
    clock_mhz: int, bus_bits: int, rated_gb_per_s: float
) -> None:
    assert memory_bus_bytes_per_s(clock_mhz, bus_bits) == pytest.approx(rated_gb_per_s * 1e9, rel=0.001)


def test_twelve_channels_of_ddr5_4800_are_460_gb_per_s() -> None:
    assert ram_bytes_per_s([(4800, 64)] * 12) == 460_800_000_000
