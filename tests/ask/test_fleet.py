"""Fleets end to end: placements agree with `fit`, and what is missing comes with what would place it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from plimsoll.ask import machine as machines
from plimsoll.ask.fleet import FleetQuestion, fleet
from plimsoll.ask.fleet_ways import Ways, needs_of
from plimsoll.core import fit as fits
from plimsoll.domain.bill import HOST
from plimsoll.domain.fleet import FleetAnswer, FleetRole
from plimsoll.errors import PlimsollError


def asked(tmp_path: Path, text: str) -> FleetAnswer:
    file = tmp_path / "fleet.toml"
    file.write_text(text, encoding="utf-8")
    return fleet(FleetQuestion(file=str(file), offline=True))


BOX = '[[machine]]\nname = "box"\nis = "{}"\n'
ROLE = '[[role]]\nname = "{}"\nmodel = "{}"\n{}\n'


def role(name: str, model: str, *more: str) -> str:
    return ROLE.format(name, model, "\n".join(more))


def test_two_models_on_a_card_hold_what_fit_says_of_both(tmp_path: Path) -> None:
    """GGUF on llama.cpp: the sum of the bills to the byte, what the driver holds counted once."""
    formats = 'weights = "q4_k_m"'
    roles = role("a", "qwen3-8b", formats) + role("b", "qwen3-4b", formats)
    found = asked(tmp_path, BOX.format("rtx-3090 + 64GiB ram") + roles)
    assert found.verdict == "placed"
    machine = machines.resolve("rtx-3090 + 64GiB ram")
    together = [replace(p.way.deployments[0], machine=machine) for p in found.placements]
    totals = {t.id: t for t in fits.judge(together).bill.devices}
    for use in found.places:
        assert use.headroom_bytes == totals[use.place].headroom_bytes


def test_vllm_claims_a_share_and_holds_it(tmp_path: Path) -> None:
    found = asked(tmp_path, BOX.format("rtx-3090") + role("a", "qwen3-4b"))
    (placed,) = found.placements
    share = placed.way.claim_share
    assert share is not None
    card = placed.way.deployments[0].machine.devices[0]
    assert placed.way.needs[card.id] == round(share * card.memory_bytes)
    assert f"gpu_memory_utilization={share}" in placed.launch
    lines = fits.bill_of(placed.way.deployments).lines
    need = sum(line.high_bytes for line in lines if line.device == card.id and line.component != "reserved")
    assert share - 0.01 < need / card.memory_bytes <= share


def test_a_way_on_the_second_card_is_the_same_on_the_whole_machine() -> None:
    machine = machines.resolve("2x rtx-3090 + 64GiB ram")
    wanted = FleetRole(name="a", models=("qwen3-8b",), weights=("q4_k_m",))
    ways = Ways(offline=True).of(wanted, machine, "box")
    assert [w.devices for w in ways] == [("gpu0",), ("gpu1",), ("gpu0", "gpu1")]
    second = ways[1].deployments[0]
    assert needs_of(replace(second, machine=machine))[0] == ways[1].needs


def test_unified_memory_is_counted_once_for_device_and_host() -> None:
    machine = machines.resolve("mac-studio-m3-ultra-256gb")
    wanted = FleetRole(name="a", models=("qwen3-8b",), weights=("q4_k_m",))
    (way,) = Ways(offline=True).of(wanted, machine, "mac")
    assert way.needs[HOST] >= way.needs["gpu0"]


def test_private_roles_stay_and_rent_is_paid_for_the_hours_of_use(tmp_path: Path) -> None:
    cloud = '[[machine]]\nname = "cloud"\nis = "h100-sxm"\nrent = "2USD/h"\nhours = 100\n'
    roles = role("a", "qwen3-8b", "private = true") + role("b", "qwen3-32b", 'weights = "q8_0"', "hours = 50")
    found = asked(tmp_path, BOX.format("rtx-3090") + cloud + roles)
    assert {p.way.role: p.way.machine for p in found.placements} == {"a": "box", "b": "cloud"}
    assert found.cost_per_month == pytest.approx(100)
    kept = asked(tmp_path, cloud + role("a", "qwen3-8b", "private = true"))
    assert kept.verdict == "partly"
    assert "must not leave the house" in kept.missing[0].reason


def test_electricity_of_the_cards_at_work(tmp_path: Path) -> None:
    """350 W x 50 % x 730 h x 0.40 USD per kWh = 51.10 USD."""
    text = 'electricity = "0.40USD/kWh"\n' + BOX.format("2x rtx-3090") + 'busy = "50%"\n'
    found = asked(tmp_path, text + role("a", "qwen3-8b"))
    assert found.cost_per_month == pytest.approx(0.35 * 0.5 * 730 * 0.4)


def test_what_would_place_a_role_does(tmp_path: Path) -> None:
    """A context that the machine cannot hold: the halved one that is proposed is placed when asked for."""
    text = BOX.format("rtx-3090") + role("a", "qwen3-8b", 'weights = "q8_0"', "context = {}", "users = 4")
    found = asked(tmp_path, text.format('"256k"'))
    assert (found.verdict, found.exit_code) == ("partly", 1)
    (missing,) = found.missing
    assert "it fits nowhere even alone" in missing.reason
    context = next(c for c in missing.changes if c.startswith("context"))
    tokens = int(context.split()[2].replace(",", ""))
    assert asked(tmp_path, text.format(tokens)).verdict == "placed"
    assert asked(tmp_path, text.format(2 * tokens)).verdict == "partly"
    assert any(c.startswith("a further machine") for c in missing.changes)


def test_an_impossible_load_gets_the_nearest_answer(tmp_path: Path) -> None:
    text = BOX.format("rtx-3090") + role("a", "gpt-oss-20b", "users = {}", "context = {}")
    (missing,) = asked(tmp_path, text.format(100_000, '"1m"')).missing
    context, users = missing.changes[0].split(" and ")
    assert users == "users = 1"
    tokens = int(context.split()[2].replace(",", ""))
    assert asked(tmp_path, text.format(1, tokens)).verdict == "placed"


def test_a_role_without_what_it_needs_is_not_placed(tmp_path: Path) -> None:
    text = BOX.format("rtx-3090") + role("big", "deepseek-v3") + role("a", "qwen3-4b", 'needs = ["big"]')
    found = asked(tmp_path, text)
    assert [m.role for m in found.missing] == ["big", "a"]
    assert found.missing[1].reason == "it needs big, which found no place"


def test_neighbours_slow_a_role_down_and_a_wish_keeps_it_apart(tmp_path: Path) -> None:
    other = '[[role]]\nname = "b"\nmemory = "2GiB"\n'
    alone = asked(tmp_path, BOX.format("rtx-3090") + role("a", "qwen3-4b") + other)
    speed, beside = alone.placements[0].way.speed, alone.placements[0].shared_speed
    assert speed is not None
    assert beside is not None
    assert beside.value == pytest.approx(speed.value / 2)
    wish = f"min_tps = {0.8 * speed.value}"
    apart = asked(tmp_path, BOX.format("2x rtx-3090") + role("a", "qwen3-4b", wish) + other)
    assert apart.placements[0].wish == "met"
    assert apart.placements[0].neighbours == ()
    slow = asked(tmp_path, BOX.format("rtx-3090") + role("a", "qwen3-4b", wish) + other)
    assert (slow.verdict, slow.exit_code) == ("slower", 1)


def test_the_room_left_holds_what_is_said(tmp_path: Path) -> None:
    """The longer context is the longest: asked for it is placed, 256 tokens more are not."""
    text = BOX.format("rtx-3090") + role("a", "qwen3-4b", 'weights = "q8_0"', "context = {}", "users = 4")
    (spare,) = asked(tmp_path, text.format(8192)).spare
    tokens = int(spare.could[0].split()[4].replace(",", ""))
    assert asked(tmp_path, text.format(tokens)).verdict == "placed"
    trained = asked(tmp_path, text.format(8192)).placements[0].way.deployments[0].model.trained_context_tokens
    if tokens != trained:
        assert asked(tmp_path, text.format(tokens + 256)).verdict == "partly"


def test_errors_say_whose_they_are(tmp_path: Path) -> None:
    for text, says in (
        (BOX.format("rtx-3091") + role("a", "qwen3-4b"), "box: no such device"),
        (BOX.format("rtx-3090") + role("a", "qwen4-4b"), "a: no such model"),
        (BOX.format("rtx-3090") + role("a", "bge-m3"), "a: BAAI/bge-m3 turns text into vectors"),
        (BOX.format("rtx-3090") + role("a", "qwen3-4b", 'runtime = "vlm"'), "a: there is no runtime"),
        (BOX.format("rtx-3090") + role("a", "qwen3-4b", 'weights = "q4_k_n"'), "a: 'q4_k_n' is not"),
    ):
        with pytest.raises(PlimsollError) as error:
            asked(tmp_path, text)
        assert error.value.message.startswith(says)


def test_alike_machines_and_copies(tmp_path: Path) -> None:
    text = (
        BOX.format("rtx-3090") + "count = 2\n" + role("a", "qwen3-4b", "replicas = 2", 'apart_from = ["b"]')
    )
    found = asked(tmp_path, text + role("b", "qwen3-8b"))
    assert [p.way.machine for p in found.placements if p.way.role == "b"]
    assert found.missing[0].copies == 1
    assert len({p.way.machine for p in found.placements}) == 2


def test_a_budget_that_is_too_small_says_which_would_do(tmp_path: Path) -> None:
    rented = BOX.format("rtx-3090") + 'rent = "0.50USD/h"\nhours = 100\n' + role("a", "qwen3-4b")
    (missing,) = asked(tmp_path, 'budget = "20USD/month"\n' + rented).missing
    assert "a budget of 50.00 USD a month" in missing.changes
    assert "costs more than the budget leaves" in missing.reason
    assert asked(tmp_path, 'budget = "50USD/month"\n' + rented).verdict == "placed"


def test_weights_go_to_host_memory_only_where_no_format_avoids_it(tmp_path: Path) -> None:
    formats = 'weights = ["q8_0", "q4_k_m"]'
    text = BOX.format("rtx-3090 + 64GiB ram") + role("a", "qwen3-30b-a3b", formats)
    (placed,) = asked(tmp_path, text).placements
    assert (placed.way.weight_format, placed.way.offload) == ("q4_k_m", "")
    (forced,) = asked(tmp_path, text.replace(', "q4_k_m"', "")).placements
    assert "--n-cpu-moe" in forced.way.offload


def test_memory_that_nobody_told_is_said(tmp_path: Path) -> None:
    text = BOX.format("epyc-9554") + BOX.format("rtx-3090").replace("box", "b") + role("a", "qwen3-4b")
    found = asked(tmp_path, text)
    assert found.verdict == "placed"
    assert found.unknowns[0].startswith("box: how much memory it has was not told")
