"""The shipped prices load, and the one to quote is the newest plain one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from plimsoll.catalog import prices
from plimsoll.domain.price import Price
from plimsoll.errors import CatalogError

ROW = Price(
    device="rtx-4090", kind="rent", tier="on demand", provider="A", price=0.5, currency="USD", unit="hour",
    date="2026-05-07", source="https://example.org", is_verified=True,
)  # fmt: skip


def test_the_shipped_prices_have_dates_and_sources() -> None:
    shipped = prices.load()
    assert len(shipped) >= 150
    assert all(p.source.startswith("http") for p in shipped)
    assert sum(p.is_verified for p in shipped) > len(shipped) / 2
    assert prices.rents_of(shipped, "rtx-pro-6000", 1)[0].date


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (ROW, replace(ROW, date="")),
        (ROW, replace(ROW, date="2026-09-01", is_verified=False)),
        (ROW, replace(ROW, date="2026-09-01", tier="spot")),
        (ROW, replace(ROW, date="2026-09-01", tier="serverless")),
        (replace(ROW, date="2026-09"), ROW),
        (ROW, replace(ROW, date="2026")),
        (replace(ROW, price=0.4), ROW),
        (ROW, replace(ROW, price=0.4, price_max=0.9)),
    ],
)
def test_the_price_to_quote_comes_first(better: Price, worse: Price) -> None:
    assert prices.rents_of([worse, better], "rtx-4090", 1)[0] == better
    assert prices.rents_of([better, worse], "rtx-4090", 1)[0] == better


def test_a_node_of_eight_is_no_price_of_two() -> None:
    node = replace(ROW, devices_count=8, price=4.0)
    assert prices.rents_of([node], "rtx-4090", 2) == ()
    assert prices.rents_of([node, ROW], "rtx-4090", 8) == (node, ROW)


def test_own_prices_replace_those_of_the_same_device_and_kind() -> None:
    own, bought, other = replace(ROW, price=9.0), replace(ROW, kind="buy"), replace(ROW, device="rtx-3090")
    assert prices.with_own([own], [ROW, bought, other]) == (own, bought, other)


def test_a_bad_row_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(",".join(prices.COLUMNS) + "\n" + ",".join(["x"] * len(prices.COLUMNS)) + "\n")
    with pytest.raises(CatalogError, match="line 2"):
        prices.load(str(path))
    path.write_text("device,price\nrtx-4090,1\n")
    with pytest.raises(CatalogError, match="columns are"):
        prices.load(str(path))
