"""What a version means, and that each era's rules hold from its month on."""

from __future__ import annotations

import pytest

from plimsoll.errors import BadSetting
from plimsoll.runtimes.llama_cpp.eras import (
    BUILD_MONTHS,
    CHANGES,
    RELEASES,
    Rules,
    month_of,
    rules_of,
)


@pytest.mark.parametrize(
    ("version", "month"),
    [
        ("", ""),
        ("b5781", "2025-06-01"),
        ("5781-ba3ef86c5", "2025-06-01"),
        ("2025-03 (before the window cache)", "2025-03"),
        ("9010-d05fe1d7d", "2026-05-01"),
        ("b11549", "2026-10-10"),
        ("v0.2.0", "2026-08-21"),
        ("v0.7.1", "2026-10-17"),
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


# Builds of the merges, counted in upstream's history: the one before must not have the change yet.
@pytest.mark.parametrize(
    ("build", "name", "before", "after"),
    [
        (2413, "has_pipeline", False, True),
        (2454, "borrows_weights", False, True),
        (5137, "latent_cache", "none", "keys_and_values"),
        (5429, "has_window_cache", False, True),
        (5554, "window_extra", "batch", "ubatch"),
        (6071, "has_streams", False, True),
        (6071, "writes_by_rows", False, True),
        (6325, "has_automatic_flash_attention", False, True),
        (6975, "context_padding_tokens", 32, 256),
        (7467, "offloads_output_first", False, True),
        (7819, "embedding_buffers_count", 1, 2),
        (7832, "latent_cache", "keys_and_values", "keys"),
        (8619, "rotates_quantised_cache", False, True),
        (9410, "mask_value_bytes", 4, 2),
        (9460, "reserves_logits_for_slots", False, True),
        (9489, "attention_unpacks_cache", False, True),
        (11549, "embedding_buffers_count", 2, 5),
    ],
)
def test_a_change_begins_with_its_own_build(build: int, name: str, before: object, after: object) -> None:
    assert getattr(rules_of(f"b{build - 1}"), name) == before
    assert getattr(rules_of(f"b{build}"), name) == after


def test_a_month_alone_is_its_middle() -> None:
    assert rules_of("2025-08").has_streams
    assert not rules_of("2025-08").has_automatic_flash_attention


def test_anchors_are_in_order_and_sourced() -> None:
    for rows in (BUILD_MONTHS, RELEASES):
        assert list(rows) == sorted(rows)
        assert [day for _, day, _ in rows] == sorted(day for _, day, _ in rows)
        assert all(source for _, _, source in rows)


def test_changes_are_in_order_and_sourced() -> None:
    months = [month for month, _, _ in CHANGES]
    assert months == sorted(months)
    assert all(source for _, _, source in CHANGES)
