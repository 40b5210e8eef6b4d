"""What a version means, and that each era's rules hold from its month on."""

from __future__ import annotations

import pytest

from plimsoll.errors import BadSetting
from plimsoll.runtimes.llama_cpp.eras import CHANGES, Rules, month_of, rules_of


@pytest.mark.parametrize(
    ("version", "month"),
    [
        ("", ""),
        ("b5781", "2025-05-31"),
        ("5781-ba3ef86c5", "2025-05-31"),
        ("2025-03 (before the window cache)", "2025-03"),
        ("9010-d05fe1d7d", "2026-05"),
        ("b11549", "2026-10-30"),
    ],
)
def test_month_of_a_version(version: str, month: str) -> None:
    assert month_of(version) == month


def test_a_version_that_names_no_time_is_refused() -> None:
    with pytest.raises(BadSetting, match="not a version"):
        month_of("latest and greatest")


def test_the_newest_has_every_change() -> None:
    newest = rules_of("")
    for _, changed, _ in CHANGES:
        for name in changed:
            last = [values[name] for _, values, _ in CHANGES if name in values][-1]
            assert getattr(newest, name) == last


def test_before_the_first_change_the_defaults_hold() -> None:
    assert rules_of("2023-12") == Rules()


def test_window_cache_came_in_may_2025() -> None:
    assert not rules_of("2025-03").has_window_cache
    assert rules_of("2025-05-25").window_extra == "batch"
    assert rules_of("b5781").window_extra == "ubatch"


def test_logits_are_reserved_for_slots_since_june_2026() -> None:
    assert not rules_of("9010-d05fe1d7d").reserves_logits_for_slots
    assert rules_of("2026-08").reserves_logits_for_slots


def test_changes_are_in_order_and_sourced() -> None:
    months = [month for month, _, _ in CHANGES]
    assert months == sorted(months)
    assert all(source for _, _, source in CHANGES)
