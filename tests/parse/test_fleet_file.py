"""Fleet files: what is read, and what is refused with the key and a hint."""

from __future__ import annotations

import pytest

from plimsoll.catalog import fleet_example
from plimsoll.errors import PlimsollError
from plimsoll.parse.fleet_file import parse
from plimsoll.units import Money

MACHINE = '[[machine]]\nname = "box"\nis = "rtx-3090"\n'
ROLE = '[[role]]\nname = "core"\nmodel = "gpt-oss-20b"\n'


def test_the_example_is_read_whole() -> None:
    fleet = parse(fleet_example.text(), where="fleet.toml")
    core = fleet.roles[0]
    assert (core.context_tokens, core.users, core.max_first_token_s) == (65_536, 4, 3.0)
    assert core.is_private
    assert fleet.roles[1].weights == ("published", "q8_0", "q4_k_m")
    assert fleet.electricity == Money(amount=0.2, currency="USD", per="kWh")
    cloud = fleet.machines[3]
    assert (cloud.is_rented, cloud.rent, cloud.hours, cloud.is_in_house) == (True, None, 200, False)
    assert all(m.is_in_house for m in fleet.machines[:3])


def test_prices_are_told_in_the_fleets_currency() -> None:
    text = (
        'currency = "USD"\nelectricity = "0.30EUR/kWh"\nbudget = "500USD/month"\n[rates]\nEUR = 1.1\n'
        + MACHINE + 'rent = "2EUR/h"\nin_house = true\n' + ROLE + 'max_price = "100EUR/month"\n'
    )  # fmt: skip
    fleet = parse(text, where="f")
    assert fleet.electricity is not None
    assert fleet.electricity.amount == pytest.approx(0.33)
    assert fleet.machines[0].rent == Money(amount=2.2, currency="USD", per="hour")
    assert fleet.machines[0].is_in_house
    assert fleet.roles[0].max_price == Money(amount=pytest.approx(110), currency="USD", per="month")


@pytest.mark.parametrize(
    ("text", "says", "hints"),
    [
        ("", "there is no [[machine]]", "--example"),
        (MACHINE, "there is no [[role]]", "--example"),
        ("[machine]\n" + ROLE, "write each machine as a [[machine]] table", "--example"),
        ("[[machine]\n", "line 1, column", "--example"),
        (MACHINE + ROLE + "\n x", "line 8, the end of the file", "--example"),
        ("machines = 1\n" + MACHINE + ROLE, "unknown key 'machines'", "did you mean machine?"),
        (MACHINE + ROLE + 'contex = "4k"', "role[0]: unknown key 'contex'", "did you mean context?"),
        (MACHINE + "ram = 1\n" + ROLE, "machine[0]: unknown key 'ram'", "one of busy"),
        (MACHINE + ROLE + 'needs = ["cor"]', "core.needs: there is no role 'cor'", "did you mean core?"),
        (MACHINE + ROLE + 'on = "bax"', "core.on: there is no machine 'bax'", "did you mean box?"),
        (MACHINE + ROLE + 'needs = ["core"]', "core names itself", "leave it out"),
        (MACHINE + MACHINE + ROLE, "two machines are called 'box'", "its own name"),
        (MACHINE + ROLE + ROLE, "two roles are called 'core'", "its own name"),
        (MACHINE + "count = -1\n" + ROLE, "count: -1 is not a whole number", "--example"),
        (MACHINE + "count = true\n" + ROLE, "count: True is not a whole number", "--example"),
        (MACHINE + "hours = 0\n" + ROLE, "hours: 0 is not hours of a month", "--example"),
        (MACHINE + 'rent = "0USD/h"\n' + ROLE, "rent: '0USD/h': a price is above 0", "2.65USD/h"),
        (MACHINE + 'rent = "2/h"\n' + ROLE, "names no currency", "2.65USD/h"),
        (MACHINE + ROLE + "min_tps = -3", "min_tps: -3 is not a number above 0", "--example"),
        (MACHINE + ROLE + "min_tps = nan", "is not a number above 0", "--example"),
        (MACHINE + ROLE + "users = 0", "users: 0 is not a whole number", "--example"),
        (MACHINE + ROLE + 'busy = "0%"', "is not a share above 0", "--example"),
        (MACHINE + ROLE + 'busy = "130%"', "is not a share", "0.7"),
        (MACHINE + ROLE + "context = 0", "context: 0 is not tokens", "--example"),
        (MACHINE + ROLE + "weights = []", "weights: [] is not a name or a list", "--example"),
        (MACHINE + ROLE + 'memory = "3GiB"', "has both a model and a memory", "model ="),
        (MACHINE + '[[role]]\nname = "core"\n', "has neither a model nor a memory", "memory ="),
        (MACHINE + '[[role]]\nname = "a"\nmemory = "3GiB"\nkv = "q8_0"', "kv says nothing", "a model"),
        (MACHINE + '[[role]]\nname = "a"\nmemory = "0GiB"', "more than nothing", "3GiB"),
        (MACHINE + ROLE + 'max_price = "3USD/h"', "max_price: '3USD/h' is not a price per month", "USD"),
        ('currency = "GOLD"\n' + MACHINE + ROLE, "'GOLD' is no currency", "USD"),
        ("rates = 3\n" + MACHINE + ROLE, "write it as a [rates] table", "EUR = 1.08"),
    ],
)  # fmt: skip
def test_what_is_refused_says_where_and_what_to_write(text: str, says: str, hints: str) -> None:
    with pytest.raises(PlimsollError) as error:
        parse(text, where="fleet.toml")
    assert error.value.message.startswith("fleet.toml")
    assert says in error.value.message
    assert hints in error.value.hint
    assert error.value.exit_code == 2


def test_a_circle_of_needs_is_named() -> None:
    roles = "".join(
        f'[[role]]\nname = "{name}"\nmemory = "1GiB"\nneeds = ["{needed}"]\n'
        for name, needed in (("a", "b"), ("b", "c"), ("c", "a"))
    )
    with pytest.raises(PlimsollError, match="a -> b -> c -> a"):
        parse(MACHINE + roles, where="f")


def test_two_currencies_need_a_rate() -> None:
    text = MACHINE + 'rent = "1USD/h"\n' + MACHINE.replace("box", "b") + 'rent = "1EUR/h"\n' + ROLE
    with pytest.raises(PlimsollError, match="prices in USD and EUR") as error:
        parse(text, where="f")
    assert "[rates] with EUR" in error.value.hint
    with pytest.raises(PlimsollError, match="a price in EUR, and the fleet counts in USD"):
        parse('currency = "USD"\n' + text, where="f")


def test_apart_and_together_contradict() -> None:
    other = ROLE.replace("core", "b") + 'apart_from = ["core"]\ntogether_with = ["core"]\n'
    with pytest.raises(PlimsollError, match="apart from core and together with it"):
        parse(MACHINE + ROLE + other, where="f")


def test_more_than_can_be_placed() -> None:
    with pytest.raises(PlimsollError, match="more than I place at once"):
        parse(MACHINE + "count = 60\n" + MACHINE.replace("box", "b") + "count = 60\n" + ROLE, where="f")
