"""Machine files: every key is read or refused by name."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.errors import CatalogError
from plimsoll.parse.machine_file import MachineFile, parse
from plimsoll.units import GIB, MIB

WHOLE = """
name = "workstation"
cpu = "epyc-9554-12ch-ddr5-4800"
os = "linux"
driver = "590.48"
cuda = "13.1"
ram = "384GiB"
ram_reserved = "6GiB"
ram_bandwidth_gb_per_s = 410.5

[[device]]
is = "rtx-3090"
count = 2
reserved = "1GiB"

[[device]]
name = "Card of my own"
vendor = "nobody"
architecture = "none"
backend = "vulkan"
memory = "24576MiB"
memory_limit = "30GiB"
bandwidth_gb_per_s = 500
power_limit_watts = 300
compute_capability = "8.6"
is_unified = false

[[link]]
kind = "NVLink"
bandwidth_gb_per_s = 56.25
ends = ["gpu0", "gpu1"]
"""


def test_every_key_reaches_its_field() -> None:
    machine = parse(WHOLE, where="m.toml")
    assert (machine.ram_bytes, machine.ram_reserved_bytes) == (384 * GIB, 6 * GIB)
    assert machine.ram_bandwidth_bytes_per_s == 410_500_000_000
    first, second = machine.devices
    assert (first.catalog_name, first.count, first.reserved_bytes) == ("rtx-3090", 2, GIB)
    assert (second.backend, second.memory_bytes, second.memory_limit_bytes) == (
        "vulkan",
        24576 * MIB,
        30 * GIB,
    )
    assert (second.bandwidth_bytes_per_s, second.is_unified) == (500 * 10**9, False)
    assert machine.links[0].ends == ("gpu0", "gpu1")


def test_an_empty_file_is_a_machine_of_which_nothing_is_known() -> None:
    assert parse("", where="m.toml") == MachineFile()


_LEAVES = st.one_of(st.integers(), st.floats(), st.booleans(), st.text(max_size=8), st.just("24GiB"))
_NAMES = st.sampled_from(["ram", "name", "is", "count", "memory", "backend", "ends", "kind", "x"])
_TABLES = st.dictionaries(_NAMES, st.one_of(_LEAVES, st.lists(_LEAVES, max_size=3)), max_size=4)


@given(_TABLES, st.lists(_TABLES, max_size=2), st.lists(_TABLES, max_size=2))
def test_whatever_is_written_it_is_a_machine_or_a_typed_error(
    top: dict[str, Any], devices: list[dict[str, Any]], links: list[dict[str, Any]]
) -> None:
    def written(table: dict[str, Any]) -> str:
        return "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())

    text = written(top) + "".join(f"[[device]]\n{written(t)}" for t in devices)
    text += "".join(f"[[link]]\n{written(t)}" for t in links)
    with contextlib.suppress(CatalogError):
        assert isinstance(parse(text, where="m.toml"), MachineFile)


@given(st.text(max_size=60))
def test_text_that_is_no_toml_is_a_typed_error(text: str) -> None:
    with contextlib.suppress(CatalogError):
        parse(text, where="m.toml")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ram_gb = 128", "unknown key 'ram_gb'"),
        ("ram = 128", "m.toml.ram: 128 is not a size in quotes"),
        ('ram = "lots"', "m.toml.ram"),
        ("ram_bandwidth_gb_per_s = true", "is not a number of GB/s"),
        ("ram_bandwidth_gb_per_s = nan", "is not a number of GB/s"),
        ("[[device]]\ncount = 2", "name, memory, backend missing"),
        ('[[device]]\nis = "rtx-3090"\ncount = 0', "count: 0 is not a whole number above 0"),
        ('[[device]]\nis = "rtx-3090"\ncount = 5000', "not between 1 and 1024"),
        ('[[device]]\nis = "x"\nbackend = "cudaa"', "is not one of cuda"),
        ('[device]\nis = "rtx-3090"', "[[device]]"),
        ('[[link]]\nkind = "NVLink"', "bandwidth_gb_per_s, ends missing"),
        ('[[link]]\nkind = "N"\nbandwidth_gb_per_s = 1\nends = ["a"]', "two names"),
        ("ram = ", "m.toml"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_key(text: str, told: str) -> None:
    with pytest.raises(CatalogError) as caught:
        parse(text, where="m.toml")
    assert told in caught.value.message
