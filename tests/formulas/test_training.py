"""Formulas of training against figures that their sources give."""

from __future__ import annotations

import pytest

from plimsoll.formulas import training as formulas


def test_nf4_costs_what_the_qlora_paper_says() -> None:
    """0.5 + 0.127 bits' worth of scales: 4.127 bits a value with doubly quantised scales (section 3)."""
    values = 64 * 256 * 1000
    assert 8 * formulas.nf4_bytes(values) / values == pytest.approx(4.127, abs=0.001)


def test_adam_in_8_bits_keeps_a_float_per_256_values() -> None:
    assert formulas.adam8_bytes(1024) == 2 * (1024 + 4 * 4)


def test_full_training_costs_six_operations_a_parameter_and_eight_with_recomputation() -> None:
    assert formulas.token_flops(1000, 1000, 0, False) == 6000
    assert formulas.token_flops(1000, 1000, 0, True) == 8000


def test_a_lora_pays_for_the_frozen_weights_but_not_for_their_gradients() -> None:
    assert formulas.token_flops(1000, 10, 0, False) == 4020


def test_time_falls_with_the_share_of_the_card_that_is_reached() -> None:
    value, low, high = formulas.training_seconds(10**6, 10**9, 10**14, 2, 0.1, 0.2, 0.4)
    assert (low, value, high) == pytest.approx((12.5, 25.0, 50.0))
