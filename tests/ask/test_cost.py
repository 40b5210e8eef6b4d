"""What tokens cost at the user's prices and at those of the catalog."""

from __future__ import annotations

from pathlib import Path

import pytest

from plimsoll.ask.fit import FitQuestion
from plimsoll.ask.speed import SpeedQuestion, speed
from plimsoll.domain.speed_answer import Cost, SpeedAnswer
from plimsoll.errors import BadSetting, UnknownDevice
from plimsoll.units import parse_money

RENT = ("hour", "day", "month", "year")


def ask(
    on: str = "rtx-4090", rent: str = "", electricity: str = "", file: str = "", many: int = 1
) -> SpeedAnswer:
    fit = FitQuestion(
        models=("meta-llama/Llama-3.1-8B",), on=on, weights="q4_k_m", context_tokens=4096, offline=True,
        parallel_sequences_count=many,
    )  # fmt: skip
    return speed(
        SpeedQuestion(
            fit=fit, rent=parse_money(rent, per=RENT) if rent else None, prices_file=file,
            electricity=parse_money(electricity, per=("kWh",)) if electricity else None,
        )
    )  # fmt: skip


def cost(answer: SpeedAnswer, quantity: str) -> Cost:
    return next(c for c in answer.costs if c.estimate.quantity == quantity)


def test_a_million_tokens_cost_what_the_hours_for_them_cost() -> None:
    answer = ask(rent="3.6EUR/h")
    decode = next(s.estimate for s in answer.speeds if s.estimate.quantity == "decode")
    found = cost(answer, "rent_per_million_generated_tokens")
    assert found.currency == "EUR"
    assert found.estimate.value == pytest.approx(1000 / decode.value)
    assert found.estimate.low == pytest.approx(1000 / decode.high)
    assert found.estimate.high == pytest.approx(1000 / decode.low)
    assert answer.prices == ()


def test_a_rent_by_the_month_is_spread_over_730_hours() -> None:
    by_hour, by_month = ask(rent="1USD/h"), ask(rent="730USD/month")
    name = "rent_per_million_prompt_tokens"
    assert cost(by_month, name).estimate.value == pytest.approx(cost(by_hour, name).estimate.value)


def test_without_a_rent_the_dated_one_of_the_catalog_is_quoted_with_its_source() -> None:
    answer = ask()
    (price,) = answer.prices
    assert price.date
    assert price.source.startswith("http")
    assert any(price.provider in note and price.date in note for note in answer.notes)


def test_two_cards_cost_twice_one_card() -> None:
    one, two = ask("rtx-4090"), ask("2x rtx-4090")
    rents = [cost(a, "rent_per_million_prompt_tokens").estimate.inputs["rent_per_hour"] for a in (one, two)]
    assert rents[1] == pytest.approx(2 * rents[0])


def test_every_cost_is_its_formula_of_its_inputs() -> None:
    from plimsoll.formulas import cost as formulas

    answer = ask(rent="1.5EUR/h", electricity="0.30EUR/kWh")
    assert len(answer.costs) == 5
    for c in answer.costs:
        module, _, name = c.estimate.formula.partition(":")
        assert module == "formulas.cost"
        assert getattr(formulas, name)(**c.estimate.inputs) == pytest.approx(c.estimate.value)


def test_a_device_that_nobody_rents_out_has_no_cost() -> None:
    assert ask("rtx-4070-laptop").costs == ()


def test_electricity_is_never_assumed() -> None:
    assert not any(c.estimate.quantity.startswith("electricity") for c in ask().costs)
    answer = ask(electricity="0.30EUR/kWh")
    decode = next(s.estimate for s in answer.speeds if s.estimate.quantity == "decode")
    expected = 450 / 1000 * 0.30 * 1e6 / decode.value / 3600
    found = cost(answer, "electricity_per_million_generated_tokens")
    assert found.estimate.value == pytest.approx(expected)
    assert any("at most" in note for note in answer.notes)
    # The rent is in dollars, the electricity in euros: each keeps its own.
    assert {c.currency for c in answer.costs} == {"USD", "EUR", ""}


def test_many_sequences_share_the_rent() -> None:
    one, many = ask(rent="1USD/h"), ask(rent="1USD/h", many=8)
    name = "rent_per_million_generated_tokens"
    assert cost(many, name).estimate.value < cost(one, name).estimate.value


def own(tmp_path: Path, text: str) -> str:
    path = tmp_path / "own.toml"
    path.write_text(text)
    return str(path)


def test_an_own_price_goes_before_the_catalogs(tmp_path: Path) -> None:
    file = own(tmp_path, 'electricity = "0.2EUR/kWh"\n[[price]]\ndevice = "4090"\nrent = "9EUR/h"\n')
    answer = ask(file=file)
    assert [(p.price, p.currency, p.device) for p in answer.prices] == [(9.0, "EUR", "rtx-4090")]
    assert cost(answer, "electricity_per_million_prompt_tokens").currency == "EUR"


def test_an_unknown_device_in_the_file_is_an_error_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownDevice):
        ask(file=own(tmp_path, '[[price]]\ndevice = "rtx-4099"\nrent = "9EUR/h"\n'))


def test_currencies_are_never_mixed(tmp_path: Path) -> None:
    from plimsoll.ask.cost import rent_of
    from plimsoll.ask.machine import resolve
    from plimsoll.domain.price import Price

    mine = Price(
        device="rtx-4090", kind="rent", tier="", provider="", price=1.0, currency="EUR", unit="hour", date="",
        source="own.toml",
    )  # fmt: skip
    with pytest.raises(BadSetting, match="EUR and USD"):
        rent_of(resolve("rtx-4090 + rtx-3090").devices, (mine,))


def test_an_old_price_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from plimsoll.ask import cost as module

    monkeypatch.setattr(module, "today", lambda: "2029-01-01")
    assert any("more than 3 months old" in note for note in ask().notes)
    monkeypatch.setattr(module, "today", lambda: "2026-10-01")
    assert not any("months old" in note for note in ask().notes)


def test_requests_pay_for_their_prompts_too() -> None:
    fit = FitQuestion(
        models=("meta-llama/Llama-3.1-8B",), on="rtx-4090", weights="q4_k_m", context_tokens=4096,
        offline=True, parallel_sequences_count=8,
    )  # fmt: skip
    rent = parse_money("1USD/h", per=RENT)
    plain = speed(SpeedQuestion(fit=fit, rent=rent))
    busy = speed(SpeedQuestion(fit=fit, rent=rent, prompt_tokens=1024, output_tokens=256))
    name = "rent_per_million_generated_tokens"
    assert cost(busy, name).estimate.value > cost(plain, name).estimate.value
    through = next(s.estimate.value for s in busy.speeds if s.estimate.quantity == "throughput")
    assert cost(busy, name).estimate.value == pytest.approx(1e6 / 3600 / through)
