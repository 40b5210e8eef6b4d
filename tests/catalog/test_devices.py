"""Devices by the names people and drivers use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from plimsoll.catalog import devices
from plimsoll.errors import AmbiguousName, BadSetting, CatalogError, UnknownDevice

GIB, MIB = 1024**3, 1024**2


@pytest.mark.parametrize(
    ("written", "device_id"),
    [
        ("rtx-pro-6000", "rtx-pro-6000"), ("RTX PRO 6000", "rtx-pro-6000"), ("rtx 3090", "rtx-3090"),
        ("5090", "rtx-5090"), ("NVIDIA GeForce RTX 3090", "rtx-3090"), ("rtx 4090 24gb", "rtx-4090"),
        ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", "rtx-pro-6000-max-q"),
        ("NVIDIA H100 80GB HBM3", "h100-sxm"), ("NVIDIA A100-SXM4-80GB", "a100-sxm-80gb"),
        ("h100-sxm", "h100-sxm"),
        ("h100 94gb", "h100-nvl"), ("rtx a6000", "rtx-a6000"), ("RTX 6000 Ada", "rtx-6000-ada"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "rtx-4090-laptop"), ("4090 laptop", "rtx-4090-laptop"),
        ("rtx 4060 ti 16gb", "rtx-4060-ti-16gb"), ("7900 XTX", "rx-7900-xtx"), ("Tesla T4", "t4"),
        ("dgx-spark", "dgx-spark"), ("GB10", "dgx-spark"), ("mi300x", "mi300x"), ("MI50 32gb", "mi50-32gb"),
        ("strix-halo", "strix-halo-128gb"), ("ryzen-ai-max-395-128gb", "strix-halo-128gb"),
        ("AMD Ryzen AI Max+ 395 64GB", "strix-halo-64gb"),
        ("mac-studio-m3-ultra-512gb", "m3-ultra-512gb"), ("MacBook Pro M4 Max 36GB", "m4-max-32-36gb"),
        ("macbook-pro-m4-max-128gb", "m4-max-40-128gb"), ("mac mini m4 pro 64gb", "m4-pro-64gb"),
    ],
)  # fmt: skip
def test_a_name_finds_its_device(written: str, device_id: str) -> None:
    assert devices.find(written).id == device_id


@pytest.mark.parametrize(
    ("written", "candidates"),
    [
        ("rtx 6000", {"rtx-6000-ada", "quadro-rtx-6000", "rtx-pro-6000"}),
        ("a6000", {"rtx-a6000", "rtx-6000-ada"}), ("h100", {"h100-sxm", "h100-pcie", "h100-nvl"}),
        ("h100-80gb", {"h100-sxm", "h100-pcie"}), ("a100 80gb", {"a100-sxm-80gb", "a100-pcie-80gb"}),
        ("m3-ultra", {"m3-ultra-96gb", "m3-ultra-256gb", "m3-ultra-512gb"}),
        ("rtx 4060 ti", {"rtx-4060-ti-8gb", "rtx-4060-ti-16gb"}),
    ],
)  # fmt: skip
def test_an_ambiguous_name_asks(written: str, candidates: set[str]) -> None:
    with pytest.raises(AmbiguousName) as caught:
        devices.find(written)
    assert set(caught.value.nearest) == candidates


@pytest.mark.parametrize(
    ("written", "first"),
    [("rtx 5095", "rtx-5090"), ("rtx 9070", "rx-9070"), ("m3 ultra 128gb", "m3-ultra-96gb")],
)
def test_an_unknown_name_suggests(written: str, first: str) -> None:
    with pytest.raises(UnknownDevice) as caught:
        devices.find(written)
    assert first in caught.value.nearest
    assert first in caught.value.hint


def test_nothing_like_it() -> None:
    with pytest.raises(UnknownDevice) as caught:
        devices.find("abacus")
    assert caught.value.nearest == ()


def test_every_suggested_and_every_own_name_resolves() -> None:
    for device_id in devices.find_all():
        record = devices.load(device_id)
        sizes = record.memory_options_bytes
        named = [f"{device_id}-{size // GIB}gb" for size in sizes] if sizes else [device_id]
        assert [devices.find(name).id for name in named] == named


def test_at_least_150_devices_with_sources() -> None:
    records = [devices.load(device_id) for device_id in devices.find_all()]
    assert len([r for r in records if r.sources]) >= 150
    assert {r.vendor for r in records} >= {"nvidia", "amd", "intel", "apple"}
    wanted = {"laptop", "desktop", "workstation", "datacenter", "edge", "server"}
    assert wanted <= {r.segment for r in records}


def test_memory_is_what_the_driver_shows() -> None:
    card = devices.find("rtx-pro-6000")
    assert (card.memory_bytes, card.memory_basis) == (97887 * MIB, "driver")
    assert card.memory_nominal_bytes == 96 * GIB
    assert card.bandwidth_bytes_per_s == 1_792_000_000_000
    assert card.compute_capability == "12.0"
    assert card.sources["memory_bytes"]


def test_max_q_differs_in_power_not_in_memory() -> None:
    full, max_q = devices.find("rtx-pro-6000"), devices.find("rtx-pro-6000-max-q")
    assert full.memory_bytes == max_q.memory_bytes
    assert (full.power_limit_watts, max_q.power_limit_watts) == (600, 300)


def test_a_mac_gives_the_gpu_a_share() -> None:
    old, new = devices.find("m2-max-96gb"), devices.find("m5-max-128gb")
    assert old.is_unified
    assert old.default_gpu_memory_bytes == 72 * GIB
    assert new.default_gpu_memory_bytes == round(107.52 * GIB)
    assert old.raised_gpu_memory_bytes is not None
    assert old.default_gpu_memory_bytes < old.raised_gpu_memory_bytes < 96 * GIB
    assert old.unified is not None
    assert "{mib}" in old.unified.raise_how


def test_an_mi250x_board_is_two_devices() -> None:
    card = devices.find("mi250x")
    assert (card.devices_per_board_count, card.memory_nominal_bytes) == (2, 64 * GIB)


@pytest.mark.parametrize(
    ("written", "bandwidth", "ram"),
    [
        ("epyc-9554-12ch-ddr5-4800", 460_800_000_000, None), ("epyc 9554", 460_800_000_000, None),
        ("epyc-9554-8ch", 307_200_000_000, None),
        ("epyc-9755-12ch-ddr5-6400-768gb", 614_400_000_000, 768 * GIB),
        ("dual epyc 7763", 409_600_000_000, None),
        ("threadripper pro 7995wx 8ch ddr5-5200 512gb", 332_800_000_000, 512 * GIB),
        ("Ryzen 9 9950X 96gb", 89_600_000_000, 96 * GIB), ("i9-13900k", 89_600_000_000, None),
        ("xeon platinum 8480+", 307_200_000_000, None), ("w7-3455", 307_200_000_000, None),
    ],
)  # fmt: skip
def test_cpu_hosts(written: str, bandwidth: int | None, ram: int | None) -> None:
    host = devices.find(written)
    assert (host.kind, host.bandwidth_bytes_per_s, host.memory_bytes) == ("cpu", bandwidth, ram)


def test_more_channels_than_the_socket_has() -> None:
    with pytest.raises(BadSetting, match="12 memory channels per socket, not 16"):
        devices.find("epyc-9554-16ch")


def test_memory_beyond_the_rating_is_noted() -> None:
    host = devices.find("ryzen-9950x-2ch-ddr5-6400")
    assert host.bandwidth_bytes_per_s == 2 * 6400 * 8 * 10**6
    assert any("beyond the rating" in note for note in host.notes)


def test_a_bad_file_is_a_catalog_error(tmp_path: Path) -> None:
    path = tmp_path / "card.toml"
    path.write_text("id = 'card'\ncolour = 'blue'\n")
    with pytest.raises(CatalogError, match="colour"):
        devices.read_file(str(path))


def test_looking_up_loads_nothing_heavy() -> None:
    code = "from plimsoll.catalog import devices; devices.find('rtx-pro-6000')"
    command = [sys.executable, "-c", f"import sys; {code}; print(*sys.modules)"]
    modules = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert not {"difflib", "plimsoll.parse", "plimsoll.edges", "numpy", "importlib.resources"} & set(modules)
