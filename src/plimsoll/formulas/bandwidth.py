"""Peak bandwidths that follow from a clock and a width."""

from __future__ import annotations

from collections.abc import Iterable

# Transfers per second of one lane and the share its line code leaves for data
# (PCI Express Base Specification: 8b/10b for 1.x and 2.x, 128b/130b for 3.0 to 5.0, 242B/256B flits for 6.0).
PCIE_LANE: dict[int, tuple[float, float]] = {
    1: (2.5e9, 8 / 10), 2: (5e9, 8 / 10),
    3: (8e9, 128 / 130), 4: (16e9, 128 / 130), 5: (32e9, 128 / 130), 6: (64e9, 242 / 256),
}  # fmt: skip


def pcie_bytes_per_s(generation: int, lanes_count: int) -> int:
    """One direction of a PCIe link: transfers/s x line code / 8 x lanes (KeyError: unknown generation)."""
    transfers_per_s, coded = PCIE_LANE[generation]
    return round(transfers_per_s * coded / 8 * lanes_count)


def memory_bus_bytes_per_s(clock_mhz: int, bus_bits: int) -> int:
    """Graphics memory as NVML describes it: clock x 2 (both edges) x bus width / 8.

    NVML prints half of the transfer rate for every memory kind; the product gives the rated bandwidth
    of GDDR6X (9,751 MHz x 384 bit: 936 GB/s, RTX 3090), GDDR7 (14,001 x 512: 1,792, RTX 5090) and
    HBM (2,619 x 5,120: 3,352, H100 SXM).
    """
    return clock_mhz * 1_000_000 * 2 * bus_bits // 8


def ram_bytes_per_s(channels: Iterable[tuple[int, int]]) -> int:
    """Host memory, theoretical peak: the sum over channels of MT/s x 10^6 x width in bits / 8."""
    return sum(rate_mt_per_s * 1_000_000 * width_bits // 8 for rate_mt_per_s, width_bits in channels)


def tokens_at_bandwidth(bandwidth_bytes_per_s: float, bytes_per_token: float) -> float:
    """The most tokens per second that memory allows = bandwidth / bytes of weights read for one token."""
    return bandwidth_bytes_per_s / bytes_per_token
