"""Ranges as typed, and the picture."""

from __future__ import annotations

import pytest

from plimsoll.core.sweep import chart, read_contexts, read_counts
from plimsoll.domain.whatif import Sweep, SweepPoint
from plimsoll.errors import BadSetting

POINTS = tuple(
    SweepPoint(value=n, verdict="safe", figures={"bytes_per_token": n * 2**30, "kv_bytes": 7})
    for n in (1, 2, 4)
)
SWEEP = Sweep(
    axis="experts", unit="experts", present=2, points=POINTS,
    labels={"bytes_per_token": "bytes & more", "kv_bytes": "KV"}, units={"bytes_per_token": "bytes"},
)  # fmt: skip


def test_ranges() -> None:
    assert read_counts("1..4") == (1, 2, 3, 4)
    assert read_counts("8,1,8") == (8, 1)
    assert read_contexts("4k..32k") == (4096, 8192, 16384, 32768)
    assert read_contexts("4k..10k") == (4096, 8192, 10240)
    assert read_contexts("128k") == (131072,)


@pytest.mark.parametrize("text", ["0..4", "4..1", "1..9999", "a", "1..", "", "-1", "1..1000", "1,,2"])
def test_counts_that_cannot_be(text: str) -> None:
    with pytest.raises(BadSetting):
        read_counts(text)


@pytest.mark.parametrize("text", ["0", "-4k", "1m..4k", "4k..", "..4k", "9999999m"])
def test_contexts_that_cannot_be(text: str) -> None:
    with pytest.raises(BadSetting):
        read_contexts(text)


def test_the_picture_draws_what_changes() -> None:
    drawn = chart(SWEEP, "a <model>")
    (panel,) = drawn.panels  # the KV cache stays as it is
    assert (drawn.title, panel.title, panel.y_unit, panel.x_unit) == (
        "a <model>",
        "bytes & more",
        "bytes",
        "",
    )
    assert [(m.at, m.label) for m in panel.marks] == [(2, "published")]
    assert [(s.xs, s.ys) for s in panel.series] == [((1, 2, 4), (2**30, 2**31, 2**32))]


def test_points_that_do_not_load_are_not_drawn_and_others_are_named() -> None:
    bad = SweepPoint(value=64, verdict="load_error", figures={"bytes_per_token": 1e15})
    other = SweepPoint(value=8, verdict="changes_behaviour", figures={"bytes_per_token": 2.0**33})
    sweep = Sweep(axis="experts", unit="experts", present=None, points=(*POINTS, other, bad))
    (panel,) = chart(sweep, "").panels
    assert panel.series[0].xs == (1, 2, 4, 8)
    assert [(s.name, s.xs) for s in panel.series[1:]] == [("changes behaviour", (8,))]
    assert panel.marks == ()


def test_a_flat_sweep_cannot_be_drawn() -> None:
    flat = Sweep(axis="x", unit="experts", present=None, points=POINTS[:1])
    with pytest.raises(BadSetting, match="nothing changes"):
        chart(flat, "")
