"""Declared, described, adjusted and detected machines."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from plimsoll.ask.machine import resolve
from plimsoll.errors import AmbiguousName, BadSetting, CatalogError, NotFound, UnknownDevice, UsageError
from plimsoll.units import GIB, MIB
from tests.edges.recorded import RecordedNvml, RecordedProbe
from tests.edges.test_detect import CUDA_HOST, HOST, RTX_3090


class TestDeclared:
    def test_one_card_has_the_memory_its_driver_reports(self) -> None:
        machine = resolve("rtx-pro-6000")
        (card,) = machine.devices
        assert (card.id, card.catalog_id, card.backend) == ("gpu0", "rtx-pro-6000", "cuda")
        assert card.memory_bytes == 97887 * MIB
        assert 0 < card.driver_reserved_bytes == card.reserved_bytes < GIB
        assert card.origins["memory_bytes"].kind == "catalog"

    def test_host_memory_nobody_named_is_unknown_and_said_to_be(self) -> None:
        machine = resolve("rtx-pro-6000")
        assert machine.ram_bytes is None
        assert any("host memory is unknown" in note for note in machine.notes)

    @pytest.mark.parametrize(
        "text", ["2x rtx-3090", "2 x RTX 3090", "rtx 3090 x2", "2×3090", "rtx-3090 + rtx-3090"]
    )
    def test_several_cards_can_be_counted_or_listed(self, text: str) -> None:
        machine = resolve(text)
        assert [card.id for card in machine.devices] == ["gpu0", "gpu1"]
        assert {card.catalog_id for card in machine.devices} == {"rtx-3090"}
        assert machine.name == "2x GeForce RTX 3090"
        assert [link.kind for link in machine.links] == ["PCIe 4.0 x16"] * 2

    def test_a_processor_beside_the_card_brings_its_bandwidth(self) -> None:
        machine = resolve("rtx-pro-6000 + epyc-9554-12ch-ddr5-4800")
        assert len(machine.devices) == 1
        assert machine.ram_bandwidth_bytes_per_s == 460_800_000_000

    @pytest.mark.parametrize(
        "text", ["2x rtx-3090 + 128GiB ram", "2x rtx-3090+128GiB ram", "128 GiB of RAM, 2x rtx-3090"]
    )
    def test_host_memory_beside_the_cards(self, text: str) -> None:
        machine = resolve(text)
        assert (machine.ram_bytes, len(machine.devices)) == (128 * GIB, 2)
        assert machine.notes == ()

    def test_a_processor_alone_is_a_machine(self) -> None:
        machine = resolve("epyc-9554-12ch-ddr5-4800")
        assert (machine.devices, machine.ram_bandwidth_bytes_per_s) == ((), 460_800_000_000)

    def test_a_mac_may_use_part_of_its_memory_and_says_how_to_raise_it(self) -> None:
        machine = resolve("mac-studio-m3-ultra-512gb")
        (card,) = machine.devices
        assert (card.is_unified, card.backend, machine.ram_bytes) == (True, "metal", 512 * GIB)
        assert (card.memory_bytes, card.memory_limit_bytes) == (464 * GIB, 507 * GIB)
        assert any("sudo sysctl iogpu.wired_limit_mb=519168" in note for note in machine.notes)

    def test_dgx_spark_offers_what_its_system_shows(self) -> None:
        (card,) = resolve("dgx-spark").devices
        assert card.is_unified
        assert card.memory_bytes == pytest.approx(121.7 * GIB)

    def test_strix_halo_starts_with_half_as_gtt(self) -> None:
        (card,) = resolve("strix-halo").devices
        assert (card.memory_bytes, card.memory_limit_bytes) == (64 * GIB, 120 * GIB)
        assert (card.backend, card.is_unified) == ("rocm", True)

    def test_sxm_boards_are_linked_and_cards_are_not_assumed_to_be(self) -> None:
        boards, cards = resolve("2x h100-sxm"), resolve("2x rtx-3090")
        linked = [link for link in boards.links if link.kind == "nvlink"]
        assert [(link.ends, link.bandwidth_bytes_per_s) for link in linked] == [
            (("gpu0", "nvlink"), 450 * 10**9),
            (("gpu1", "nvlink"), 450 * 10**9),
        ]
        assert all(link.kind.startswith("PCIe") for link in cards.links)

    def test_a_plus_in_a_name_is_no_separator(self) -> None:
        assert resolve("ryzen ai max+ 395").devices[0].catalog_id.startswith("strix-halo")

    @pytest.mark.parametrize(
        ("text", "error"),
        [
            ("rtx-9999", UnknownDevice), ("mac-studio-m3-ultra", AmbiguousName), ("0x rtx-3090", BadSetting),
            ("128GiB ram", BadSetting), ("rtx-3090 + 1GiB ram + 2GiB ram", BadSetting),
            ("strix-halo + 64GiB ram", BadSetting), ("3x epyc-9554-12ch-ddr5-4800", BadSetting),
        ],
    )  # fmt: skip
    def test_what_cannot_be_is_refused(self, text: str, error: type[Exception]) -> None:
        with pytest.raises(error) as caught:
            resolve(text)
        assert caught.value.hint  # type: ignore[attr-defined]


class TestFile:
    def test_the_example_in_the_reference_resolves(self, tmp_path: Path) -> None:
        page = (Path(__file__).parents[2] / "docs/reference/machine.md").read_text("utf-8")
        example = page.split("```toml\n")[1].split("```")[0]
        path = tmp_path / "machine.toml"
        path.write_text(example, "utf-8")
        machine = resolve(str(path))
        assert [card.catalog_id for card in machine.devices] == ["rtx-3090", "rtx-3090", ""]
        assert machine.devices[0].reserved_bytes == machine.devices[0].driver_reserved_bytes + GIB
        assert machine.devices[2].memory_bytes == 32 * GIB
        assert machine.ram_bytes == 256 * GIB
        assert machine.links[0].ends == ("gpu0", "gpu1")
        assert machine.origins["ram_bytes"].where == f"{path}#ram_bytes"

    def test_a_link_to_nowhere_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "m.toml"
        path.write_text(
            '[[link]]\nkind = "NVLink"\nbandwidth_gb_per_s = 1\nends = ["gpu0", "gpu7"]\n', "utf-8"
        )
        with pytest.raises(BadSetting):
            resolve(file=str(path))

    def test_files_that_are_not_there_or_wrong_are_typed_errors(self, tmp_path: Path) -> None:
        with pytest.raises(NotFound):
            resolve(str(tmp_path / "none.toml"))
        path = tmp_path / "m.toml"
        path.write_text("rams = 3\n", "utf-8")
        with pytest.raises(CatalogError, match="unknown key 'rams'"):
            resolve(file=str(path))


class TestAdjusted:
    def test_free_memory_is_the_users_figure_on_every_card(self) -> None:
        machine = resolve("2x rtx-3090", vram_free_bytes=20 * GIB)
        assert [card.memory_bytes - card.reserved_bytes for card in machine.devices] == [20 * GIB] * 2
        assert machine.devices[0].origins["reserved_bytes"].kind == "user"

    def test_ram_replaces_what_was_unknown(self) -> None:
        machine = resolve("rtx-3090", ram_bytes=128 * GIB)
        assert (machine.ram_bytes, machine.origins["ram_bytes"].kind) == (128 * GIB, "user")
        assert machine.notes == ()

    def test_a_desktop_takes_its_share_of_the_first_card_only(self) -> None:
        plain, desktop = resolve("2x rtx-3090"), resolve("2x rtx-3090", desktop_bytes=GIB)
        taken = [
            b.reserved_bytes - a.reserved_bytes for a, b in zip(plain.devices, desktop.devices, strict=True)
        ]
        assert taken == [GIB, 0]

    def test_more_than_a_card_has_cannot_be_free(self) -> None:
        with pytest.raises(BadSetting, match="cannot be free"):
            resolve("rtx-3090", vram_free_bytes=80 * GIB)

    def test_a_raised_limit_may_be_told_as_free_memory(self) -> None:
        (card,) = resolve("strix-halo", vram_free_bytes=120 * GIB).devices
        assert (card.memory_bytes, card.reserved_bytes) == (120 * GIB, 0)
        with pytest.raises(BadSetting, match="cannot be free"):
            resolve("strix-halo", vram_free_bytes=121 * GIB)

    def test_one_memory_for_everything_takes_no_other_ram(self) -> None:
        with pytest.raises(BadSetting):
            resolve("mac-studio-m3-ultra-512gb", ram_bytes=64 * GIB)

    def test_a_machine_is_given_once(self) -> None:
        with pytest.raises(BadSetting):
            resolve("rtx-3090", file="m.toml")


class TestDetected:
    def test_a_card_gets_the_catalogs_facts_and_keeps_what_was_read(self) -> None:
        probe = RecordedProbe(files=CUDA_HOST, nvml=RecordedNvml([RTX_3090], driver="590", cuda=13000))
        (card,) = resolve(probe=probe).devices
        assert card.catalog_id == "rtx-3090"
        assert card.flops_per_s["bf16"] > 0
        assert card.memory_bytes == 24576 * MIB
        assert card.origins["memory_bytes"].kind == "detected"
        assert card.origins["flops_per_s"].kind == "catalog"

    def test_a_card_with_other_memory_is_not_the_catalogs(self) -> None:
        modified = {**RTX_3090, "memory_mib": (49140, 480, 0)}
        probe = RecordedProbe(files=CUDA_HOST, nvml=RecordedNvml([modified], driver="590", cuda=13000))
        (card,) = resolve(probe=probe).devices
        assert (card.catalog_id, dict(card.flops_per_s)) == ("", {})

    def test_a_name_that_fits_several_is_settled_by_the_memory_read(self) -> None:
        card = {**RTX_3090, "Name": "NVIDIA GeForce RTX 5060 Ti", "memory_mib": (16311, 461, 0)}
        probe = RecordedProbe(files=CUDA_HOST, nvml=RecordedNvml([card], driver="590", cuda=13000))
        assert resolve(probe=probe).devices[0].catalog_id == "rtx-5060-ti-16gb"

    def test_a_host_without_cards_says_that_its_speed_is_unknown(self) -> None:
        machine = resolve(probe=RecordedProbe(files=HOST))
        assert machine.devices == ()
        assert any("speed of the host memory" in note for note in machine.notes)


@pytest.mark.parametrize(
    ("text", "bytes_per_s"),
    [
        ("rtx-3090 + 192GiB ddr5-6000 x2", 96e9),
        ("rtx-3090 + 64 GiB DDR4-3200 2ch", 51.2e9),
        ("rtx-3090 + 512GiB of ddr5-4800 12 channels", 460.8e9),
        ("rtx-3090, 96GiB lpddr5x-8533 x4 ram", 8533e6 * 8 * 4),
    ],
)
def test_the_speed_of_host_memory_is_channels_times_transfers_times_8(text: str, bytes_per_s: float) -> None:
    machine = resolve(text)
    assert machine.ram_bandwidth_bytes_per_s == bytes_per_s
    assert machine.ram_bytes
    assert machine.origins["ram_bandwidth_bytes_per_s"].kind == "user"


def test_told_memory_goes_before_the_processors() -> None:
    machine = resolve("rtx-3090 + epyc-9554-12ch-ddr5-4800 + 192GiB ddr5-6000 x2")
    assert machine.ram_bandwidth_bytes_per_s == 96e9


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("rtx-3090 + 192GiB ddr5-6000", "is not told"),
        ("rtx-3090 + 192GiB ddr5-6000 x64", "more than any board"),
        ("rtx-3090 + 192GiB ddr5-99999 x2", "no speed of memory"),
    ],
)
def test_host_memory_that_cannot_be_is_refused(text: str, why: str) -> None:
    with pytest.raises(BadSetting, match=why):
        resolve(text)


@pytest.mark.parametrize(
    ("typed", "count", "catalog_id", "ram_bytes"),
    [
        ("dual 3090", 2, "rtx-3090", None), ("two rtx 3090", 2, "rtx-3090", None),
        ("2xRTX3090+128GB", 2, "rtx-3090", 128 * 10**9),
        ("rtx-pro-6000 192GiB ram", 1, "rtx-pro-6000", 192 * GIB),
        ("quad 3090 128GiB ddr4-3200 x4", 4, "rtx-3090", 128 * GIB),
        ("pro 6000", 1, "rtx-pro-6000", None), ("strix halo", 1, "strix-halo-128gb", 128 * GIB),
        ("mac studio m3 ultra 512gb ram", 1, "m3-ultra-512gb", 512 * GIB),
        ("m3 ultra 512gb", 1, "m3-ultra-512gb", 512 * GIB),
        ("2x epyc 9654 + 768GiB", 0, "", 768 * GIB), ("epyc 9554 384GiB ram", 0, "", 384 * GIB),
    ],
)  # fmt: skip
def test_machines_as_people_type_them(typed: str, count: int, catalog_id: str, ram_bytes: int | None) -> None:
    machine = resolve(typed)
    assert [d.catalog_id for d in machine.devices] == [catalog_id] * count
    assert machine.ram_bytes == ram_bytes


def test_two_processors_have_twice_the_bandwidth() -> None:
    one, two = (resolve(f"{n}epyc 9654 + 768GiB").ram_bandwidth_bytes_per_s for n in ("", "2x "))
    assert one
    assert two == 2 * one


@pytest.mark.parametrize(
    "typed", ["mac studio", "12-channel epyc", "epyc genoa", "m4 max", "8x h100", "a6000"]
)
def test_the_names_in_a_hint_work_when_pasted(typed: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(typed)
    named = re.findall(r"[a-z0-9]+(?:-[a-z0-9]+)+", caught.value.hint)
    assert named
    for name in named:
        resolve(name)
