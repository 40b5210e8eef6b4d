"""Shared memory: what Metal and amdgpu let the graphics part have."""

from __future__ import annotations

import pytest

from plimsoll.formulas.unified import metal_working_set_bytes, raised_gtt_bytes, raised_wired_limit_bytes
from plimsoll.units import GIB, MIB


@pytest.mark.parametrize(
    ("ram_gib", "printed_mb"),
    [
        (16, 12713.12),
        (24, 19069.67),
        (32, 26800.60),
        (36, 28991.03),
        (48, 40200.90),
        (64, 55662.79),
        (512, 498216.21),
    ],
)
def test_observed_working_sets_are_reproduced_to_the_printed_digit(ram_gib: int, printed_mb: float) -> None:
    assert round(metal_working_set_bytes(ram_gib * GIB) / 1e6, 2) == printed_mb


def test_sizes_nobody_logged_follow_the_older_rule() -> None:
    assert metal_working_set_bytes(18 * GIB) == 12 * GIB
    assert metal_working_set_bytes(96 * GIB) == 72 * GIB


def test_a_raised_limit_leaves_macos_five_gib_on_large_machines_and_a_fifth_on_small_ones() -> None:
    assert raised_wired_limit_bytes(512 * GIB) == 507 * GIB
    assert raised_wired_limit_bytes(16 * GIB) == 16384 * 80 // 100 * MIB


def test_gtt_can_be_raised_to_fifteen_sixteenths() -> None:
    assert raised_gtt_bytes(128 * GIB) == 120 * GIB
