"""Machines on sale, announced hardware and assumptions load, and the lint finds what is wrong in them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from plimsoll.ask.machine import resolve
from plimsoll.catalog import candidates, lint_candidates

CATALOG = Path(candidates.FOLDER).parent


def test_every_machine_on_sale_is_one_that_on_takes() -> None:
    found = candidates.load_machines()
    assert {m.kind for m in found} == {"unified", "cpu"}
    for entry in found:
        machine = resolve(entry.machine)
        assert bool(machine.devices) == (entry.kind == "unified")


def test_the_shipped_files_pass() -> None:
    assert lint_candidates.problems(CATALOG) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("machines.toml", 'device = "dgx-spark"', 'device = "dgx-sparkle"', "no price to buy dgx-sparkle"),
        ("machines.toml", 'kind = "cpu"', 'kind = "toaster"', "kind 'toaster'"),
        ("machines.toml", "watts = 295", "watts_max = 295", "unexpected keyword argument"),
        ("machines.toml", 'machine = "dgx-spark"', 'machine = "dgx-sparkle"', "no such device"),
        ("announced.toml", 'dated = "2026-06-01"', 'dated = "soon"', "'soon' is not a day"),
        ("announced.toml", 'device = "rubin"', 'device = "h100-sxm"', "as released"),
        ("announced.toml", 'status = "reported"', 'status = "rumour"', "status 'rumour'"),
        ("assumed.toml", "price = 0.1872", "price = 0.0", "electricity.price 0"),
        ("assumed.toml", "share = 0.0", "share = 1.5", "resale.share 1.5"),
        ("assumed.toml", "hours_per_day = 8\n", "", "hours_per_day"),
    ],
)
def test_what_is_wrong_is_found(tmp_path: Path, name: str, old: str, new: str, says: str) -> None:
    shutil.copytree(CATALOG / "candidates", tmp_path / "candidates")
    shutil.copytree(CATALOG / "prices", tmp_path / "prices")
    file = tmp_path / "candidates" / name
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), "utf-8")
    assert any(says in found for found in lint_candidates.problems(tmp_path))
