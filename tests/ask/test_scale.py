"""Ways onward at the catalog's prices and the user's."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plimsoll.ask.scale import scale
from plimsoll.ask.scale_question import ScaleQuestion
from plimsoll.domain.answer import plain
from plimsoll.domain.scale import ScaleAnswer, Way
from plimsoll.errors import BadSetting, UnknownDevice, UnknownModel
from plimsoll.units import Money

QUESTION = ScaleQuestion(
    models=("gpt-oss-120b",), on="rtx-pro-6000 + 128GiB ram", offline=True, is_drawn=True, is_frontier=True
)


@pytest.fixture(scope="module")
def answer() -> ScaleAnswer:
    return scale(QUESTION)


def small(**told: Any) -> ScaleAnswer:
    """A question that is answered in a moment: a small model, one way of each kind."""
    known = {"models": ("qwen3-8b",), "on": "rtx-3090 + 64GiB ram", "each_kind_count": 1, "offline": True}
    return scale(ScaleQuestion(**{**known, **told}))


def way(answer: ScaleAnswer, kind: str) -> Way:
    return next(w for w in answer.ways if w.kind == kind)


def test_every_kind_of_way_is_looked_at(answer: ScaleAnswer) -> None:
    assert answer.verdict == "answered"
    assert {w.kind for w in answer.ways} == {"own", "same card", "card", "unified", "cpu", "rent"}
    assert {w.device for w in answer.ways if w.kind == "unified"} == {"m2-ultra", "strix-halo", "dgx-spark"}
    more = way(answer, "same card")
    assert more.machine == "2x rtx-pro-6000 + 128GiB ram"
    assert more.watts == 1200
    own, wider = way(answer, "own").first.part, more.first.part
    assert own is not None
    assert wider is not None
    assert (wider.most_sequences_count or 0) > 2 * (own.most_sequences_count or 0)


def test_one_more_card_is_compared_with_renting_one_for_the_tokens_that_it_adds(answer: ScaleAnswer) -> None:
    more, own = way(answer, "same card"), way(answer, "own")
    copies = more.first.as_copies
    assert copies is not None
    assert copies.copies_count == 2
    assert copies.tokens_per_s is not None
    assert own.first.tokens_per_s is not None
    assert copies.tokens_per_s.value == pytest.approx(2 * own.first.tokens_per_s.value)
    even = copies.break_even
    assert even is not None
    assert even.hours is not None
    rent = next(w for w in answer.ways if w.id == even.rented)
    assert rent.id == "rent-rtx-pro-6000"
    # At the break-even: depreciation and the second card's electricity, or the rent of one like it.
    assert more.purchase is not None
    bought = more.purchase.value / 36 + even.hours.value * 0.6 * 0.1872
    assert even.hours.value * rent.offers[0].rent_per_hour == pytest.approx(bought)
    # Over both cards one model for one reader is hardly faster: that alone pays late, if ever.
    over_both = more.first.break_even
    assert over_both is not None
    assert over_both.hours is None or over_both.hours.value > even.hours.value


def test_the_machine_as_it_is_costs_electricity_only(answer: ScaleAnswer) -> None:
    own = way(answer, "own")
    assert own.purchase is None
    assert own.cost_per_month is not None
    assert own.cost_per_month.formula == "formulas.ownership:electricity"
    assert own.cost_per_month.inputs == {
        "watts": 600.0, "hours": answer.hours_per_month, "price_per_kwh": 0.1872
    }  # fmt: skip


def estimates(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if str(value.get("formula", "")).startswith("formulas."):
            yield value
        for item in value.values():
            yield from estimates(item)
    elif isinstance(value, list):
        for item in value:
            yield from estimates(item)


def test_every_amount_is_what_its_formula_gives_for_its_inputs_also_from_json(answer: ScaleAnswer) -> None:
    week = small(rent_for_hours=168.0, devices=("rtx-3090",), on=None)
    found = [
        *estimates(json.loads(json.dumps(plain(answer)))),
        *estimates(json.loads(json.dumps(plain(week)))),
    ]
    names = {e["formula"].partition(":")[2] for e in found}
    assert {"owned_month", "rented_month", "per_million", "break_even_hours", "period_rent", "total"} <= names
    for e in found:
        module, _, name = e["formula"].partition(":")
        formula = getattr(importlib.import_module(f"plimsoll.{module}"), name)
        assert formula(**e["inputs"]) == pytest.approx(e["value"]), e["quantity"]
        assert e["low"] <= e["value"] <= e["high"]


def test_what_is_announced_has_source_and_date_and_is_never_ranked(answer: ScaleAnswer) -> None:
    assert len(answer.announced) >= 5
    assert all(x.source.startswith("https://") and x.dated.startswith("20") for x in answer.announced)
    devices = {x.device for x in answer.announced if x.device}
    assert not devices & {w.device for w in answer.ways}
    known = next(x for x in answer.announced if x.device == "rtx-spark-n1x")
    assert known.ceiling is not None
    assert known.ceiling.low == 0.0
    assert known.ceiling.value == pytest.approx(
        known.bandwidth_bytes_per_s / known.ceiling.inputs["bytes_per_token"]
    )


def test_every_assumption_names_its_option_and_its_source_or_that_it_is_assumed(answer: ScaleAnswer) -> None:
    assert {a.name for a in answer.assumptions} >= {"work", "lifetime", "resale", "electricity", "power"}
    for a in answer.assumptions:
        assert a.flag.startswith("--")
        assert a.source.startswith("http") if a.basis == "catalog" else a.basis in ("assumed", "given")


def test_the_catalog_grows_with_the_memory(answer: ScaleAnswer) -> None:
    found = sorted((w.memory_bytes, w.catalog.whole_count) for w in answer.ways if w.catalog)
    assert len(found) == len(answer.ways)
    assert [n for _, n in found] == sorted(n for _, n in found)


def test_the_chart_shows_ways_and_their_break_even(answer: ScaleAnswer) -> None:
    assert answer.chart is not None
    points, lines = answer.chart.panels
    drawn = sum(len(s.xs) for s in points.series if s.kind == "points")
    assert drawn == sum(1 for w in answer.ways if w.cost_per_month and w.first.is_measured)
    assert [s.name for s in lines.series] == ["bought", "rented, same tokens (Akash, marketplace)"]


def test_more_hours_never_make_a_bought_token_dearer() -> None:
    few, many = small(hours_per_day=2.0), small(hours_per_day=20.0)
    for a, b in zip(few.ways, many.ways, strict=True):
        if a.purchase and a.first.cost_per_million and b.first.cost_per_million:
            assert b.first.cost_per_million.value < a.first.cost_per_million.value


def test_the_users_prices_go_before_those_of_the_catalog(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(
        'electricity = "0.30USD/kWh"\n[[price]]\ndevice = "rtx-3090"\nbuy = "500USD"\n'
        '[[price]]\ndevice = "rtx-3090"\nrent = "0.10USD/h"\ndate = "2020-01-01"\n'
    )
    answer = small(prices_file=str(file))
    more = way(answer, "same card")
    assert more.purchase is not None
    assert more.purchase.value == 500
    rent = next(w for w in answer.ways if w.id == "rent-rtx-3090")
    assert [o.rent_per_hour for o in rent.offers] == [0.10]
    assert next(a for a in answer.assumptions if a.name == "electricity").says == "0.3 USD per kWh"
    assert any("older than 90 days" in n and "rtx-3090 (2020-01-01)" in n for n in answer.notes)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[price]]\ndevice = "rtx-3090"\nbuy = "0USD"', "a price is above 0"),
        ('[[price]]\ndevice = "rtx-3090"\nbuy = "-5USD"', "a price is above 0"),
        ('[[price]]\ndevice = "rtx-3090"\nbuy = "500EUR"', "your price of rtx-3090 is in EUR"),
        ('electricity = "0.30EUR/kWh"', "electricity is in EUR"),
    ],
)
def test_prices_that_are_none_or_in_another_currency(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text)
    with pytest.raises(BadSetting) as refused:
        small(prices_file=str(file))
    assert says in refused.value.message
    assert refused.value.hint


def test_an_answer_in_euros_at_a_rate() -> None:
    dollars, euros = small(), small(currency="EUR", rates={"EUR": 1.25})
    a, b = way(dollars, "same card").purchase, way(euros, "same card").purchase
    assert a is not None
    assert b is not None
    assert b.value == pytest.approx(a.value / 1.25)
    assert b.unit == "EUR"


def test_an_answer_in_euros_without_a_rate_has_no_price_but_says_so() -> None:
    answer = small(currency="EUR", electricity=Money(amount=0.3, currency="EUR", per="kWh"))
    assert way(answer, "same card").purchase is None
    assert any("what it costs is not known" in x for x in answer.unknowns)
    assert any("--rate USD" in x or "prices in USD" in x for x in answer.left_out)


def test_four_cards_for_a_week() -> None:
    week = small(rent_for_hours=168.0, devices_count=4, devices=("rtx-3090", "h100-sxm"), on=None)
    assert {r.machine for r in week.rented} == {"4x rtx-3090", "4x h100-sxm"}
    for r in week.rented:
        assert r.transfer is not None
        assert [o.cost.value for o in r.offers] == sorted(o.cost.value for o in r.offers)
        assert all(
            o.cost.value == pytest.approx(o.rent_per_hour * (168 + r.transfer.value)) for o in r.offers
        )
        assert len({(o.price.provider, o.price.tier) for o in r.offers}) == len(r.offers)
    known = next(r for r in week.rented if r.machine == "4x rtx-3090")
    assert all(o.break_even and o.break_even.value > 168 for o in known.offers)
    other = next(r for r in week.rented if r.machine == "4x h100-sxm")
    assert {o.break_even_says for o in other.offers} == {"no dated price to buy it is known"}


def test_one_memory_has_no_second_card_and_a_server_no_card_to_double() -> None:
    for on in ("dgx-spark", "epyc-9554-12ch-ddr5-4800-384gb"):
        assert "same card" not in {w.kind for w in small(on=on).ways}
    assert way(small(on="epyc-9554-12ch-ddr5-4800-384gb"), "own").watts == 360


def test_a_model_that_nothing_holds_is_a_no() -> None:
    answer = small(models=("deepseek-v3",), users_count=5000, context_tokens=131072)
    assert (answer.verdict, answer.exit_code) == ("does_not_fit", 1)
    assert answer.reason


def test_what_is_asked_wrongly() -> None:
    question = replace(QUESTION, is_frontier=False)
    with pytest.raises(BadSetting, match="no model"):
        scale(replace(question, models=()))
    with pytest.raises(BadSetting, match="say the same"):
        scale(replace(question, hours_per_day=8.0, utilisation=0.3))
    for told in (
        {"hours_per_day": 0.0},
        {"hours_per_day": 25.0},
        {"hours_per_day": float("nan")},
        {"utilisation": 0.0},
    ):
        with pytest.raises(BadSetting, match="above 0"):
            scale(replace(question, **told))  # type: ignore[arg-type]
    with pytest.raises(BadSetting, match="--count"):
        scale(replace(question, devices_count=4))
    with pytest.raises(UnknownModel):
        scale(replace(question, models=("no-such-model",)))
    with pytest.raises(UnknownDevice):
        scale(replace(question, rent_for_hours=8.0, devices=("rtx-9999",)))
    with pytest.raises(BadSetting, match="no dated rent"):
        scale(replace(question, rent_for_hours=8.0, devices=("rtx-4060",)))


def test_a_whole_machine_is_what_the_user_has_a_price_for(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(
        '[[price]]\ndevice = "epyc-9554-12ch-ddr5-4800-768gb"\nbuy = "9000USD"\n'
        '[[price]]\ndevice = "mac-studio-m3-ultra-256gb"\nbuy = "7000USD"\n'
        '[[price]]\ndevice = "epyc-9554-12ch-ddr5-4800-384gb"\nrent = "1.10USD/h"\n'
    )
    answer = small(prices_file=str(file), each_kind_count=9)
    bought = {w.machine: w.purchase.value for w in answer.ways if w.purchase}
    assert bought["m3-ultra-256gb"] == 7000
    rent = next(w for w in answer.ways if w.id == "rent-epyc-9554-12ch-ddr5-4800-384gb")
    assert rent.offers[0].rent_per_hour == 1.10
    large = small(prices_file=str(file), models=("qwen3-235b-a22b",))
    server = next(w for w in large.ways if w.machine == "epyc-9554-12ch-ddr5-4800-768gb")
    assert server.purchase is not None
    assert (server.purchase.value, server.not_counted, server.watts) == (9000, "", 360)


def test_a_machine_that_is_named_stands_beside_with_its_price() -> None:
    answer = small(others=("epyc-9554-12ch-ddr5-4800-384gb", "2x rtx-4090 + 64GiB ram"))
    server, cards = (w for w in answer.ways if w.kind == "named")
    assert server.purchase is not None
    assert server.purchase.value == pytest.approx(11_500 + 384 * 32)
    assert server.is_least
    assert cards.purchase is not None
    assert cards.watts == 900
    assert [(p.device, p.kind) for p in cards.prices] == [("rtx-4090", "buy")]
    assert sum(w.id == server.id for w in answer.ways) == 1
    with pytest.raises(BadSetting, match="--with"):
        small(others=("rtx-4090",), rent_for_hours=3.0)


def test_a_machine_with_more_memory_is_not_the_one_on_sale_with_less() -> None:
    (large,) = (w for w in small(others=("mac-studio-m3-ultra-512gb",)).ways if w.kind == "named")
    assert large.memory_bytes == 507 * 2**30
    assert large.purchase is None
