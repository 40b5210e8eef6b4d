"""How much of a shared memory the graphics part may use."""

from __future__ import annotations

from plimsoll.units import GIB, MIB

# recommendedMaxWorkingSetSize as recent macOS reports it (bytes, by memory of the machine): printed by
# ggml_metal_device_init in llama.cpp logs of M4/M5 machines, 2025 and 2026 (12713.12, 19069.67, 26800.60,
# 28991.03, 40200.90, 55662.79 and 498216.21 decimal MB; 107.52 GiB on an M5 Max with macOS 26).
_OBSERVED: dict[int, int] = {
    16 * GIB: 12_713_115_648, 24 * GIB: 19_069_670_000, 32 * GIB: 26_800_600_000, 36 * GIB: 27 * GIB,
    48 * GIB: 40_200_900_000, 64 * GIB: 55_662_790_000, 128 * GIB: 10752 * GIB // 100,
    512 * GIB: 464 * GIB,
}  # fmt: skip


def metal_working_set_bytes(ram_bytes: int) -> int:
    """What Metal lets the GPU wire by default: the figure observed for this memory size, else the older rule.

    Older macOS: 2/3 of the memory up to 32 GiB, 3/4 above (21845.33 MiB of 32 GiB and 72 GiB of 96 GiB
    logged on M2 Max). A Mac with newer macOS shows more; `recommendedMaxWorkingSetSize` read on the
    machine itself always wins over this.
    """
    observed = _OBSERVED.get(ram_bytes)
    if observed is not None:
        return observed
    return ram_bytes * 2 // 3 if ram_bytes <= 32 * GIB else ram_bytes * 3 // 4


def raised_wired_limit_bytes(ram_bytes: int) -> int:
    """How far `iogpu.wired_limit_mb` may be raised: the larger of 80 % and all but 5 GiB, in whole MiB.

    Source: exo-explore/exo@191553a, configure_mlx.sh. (112 GiB of 128 were seen working, which is less.)
    """
    ram_mib = ram_bytes // MIB
    return max(ram_mib * 80 // 100, ram_mib - 5 * 1024) * MIB


def raised_gtt_bytes(ram_bytes: int) -> int:
    """How far the GTT of an AMD APU may be raised on Linux: 15/16 of the memory.

    `ttm.pages_limit` accepts any number of pages; 120 of 128 GiB is what Strix Halo owners report
    running with (hogeheer499-commits/strix-halo-guide).
    """
    return ram_bytes * 15 // 16 // MIB * MIB
