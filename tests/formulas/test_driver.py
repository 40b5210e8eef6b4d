"""The driver's own share against what programs saw of real cards."""

from __future__ import annotations

import pytest

from plimsoll.formulas.driver import cuda_reserved_bytes
from plimsoll.units import MIB


# nvidia-smi memory.total and the VRAM llama.cpp prints (cudaMemGetInfo), MiB, Linux.
@pytest.mark.parametrize(
    ("total_mib", "seen_mib"),
    [
        (6144, 5747), (12288, 11833), (15360, 14912), (16384, 15927), (16311, 15850), (24576, 24124),
        (24564, 24210), (32607, 32109), (81559, 81081), (81920, 81151), (97887, 97247),
    ],
)  # fmt: skip
def test_the_bounds_hold_every_card_seen(total_mib: int, seen_mib: int) -> None:
    kept = cuda_reserved_bytes(total_mib * MIB)
    assert kept.low <= (total_mib - seen_mib) * MIB <= kept.high
