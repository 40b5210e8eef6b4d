"""Detection, fed with values and output formats recorded on real machines (public logs)."""

from __future__ import annotations

import re
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from plimsoll.edges.detect import detect, nvidia
from plimsoll.units import GIB, MIB
from tests.edges.recorded import RecordedNvml, RecordedProbe

MEMINFO = "MemTotal:       24682416 kB\nMemFree:        24253824 kB\nMemAvailable:   24291888 kB\n"
HOST = {
    "/proc/meminfo": MEMINFO,
    "/proc/cpuinfo": "processor\t: 0\nmodel name\t: AMD EPYC 9554 64-Core  Processor\n",
}
CUDA_HOST = {**HOST, "/dev/nvidiactl": ""}

# Two cards as nvidia-smi and NVML describe them; the width of the second is what a x4 slot gives.
RTX_3090 = {
    "Name": "NVIDIA GeForce RTX 3090", "UUID": "GPU-11111111-aaaa", "memory_mib": (24576, 452, 600),
    "CudaComputeCapability": [8, 6], "PowerManagementLimit": 350000, "MemoryBusWidth": 384,
    "memory_clock_mhz": 9751, "MaxPcieLinkGeneration": 4, "CurrPcieLinkGeneration": 1,
    "CurrPcieLinkWidth": 16, "MaxPcieLinkWidth": 16, "MigMode": [0, 0], "DisplayActive": 1,
    "ComputeRunningProcesses": [SimpleNamespace(pid=10, usedGpuMemory=400 * MIB)],
    "GraphicsRunningProcesses": [SimpleNamespace(pid=11, usedGpuMemory=100 * MIB)],
}  # fmt: skip
NARROW_3090 = {**RTX_3090, "UUID": "GPU-22222222-bbbb", "CurrPcieLinkWidth": 4, "DisplayActive": 0}


def test_a_machine_without_cards_is_its_host_and_nothing_else() -> None:
    machine = detect(RecordedProbe(files=HOST))
    assert machine.devices == ()
    assert machine.ram_bytes == 24682416 * 1024
    assert machine.ram_reserved_bytes == (24682416 - 24291888) * 1024
    assert machine.ram_bandwidth_bytes_per_s is None
    assert machine.name == "AMD EPYC 9554 64-Core Processor"
    assert machine.origins["ram_bytes"].where == "/proc/meminfo#MemTotal"


def test_nothing_readable_gives_unknowns_not_guesses() -> None:
    machine = detect(RecordedProbe())
    assert (machine.devices, machine.ram_bytes, machine.ram_bandwidth_bytes_per_s) == ((), None, None)
    assert machine.origins == {}


def test_the_real_probe_is_quick_where_there_is_no_card() -> None:
    started = time.process_time()
    machine = detect()
    took = time.process_time() - started
    assert machine.devices or took < 0.05


class TestNvml:
    def test_every_value_of_a_card_is_read_and_says_where(self) -> None:
        nvml = RecordedNvml([RTX_3090, NARROW_3090], driver="590.48.01", cuda=13010)
        machine = detect(RecordedProbe(files=CUDA_HOST, nvml=nvml))
        card = machine.devices[0]
        assert (card.id, card.name, card.vendor, card.architecture, card.backend) == (
            "gpu0", "NVIDIA GeForce RTX 3090", "nvidia", "Ampere", "cuda",
        )  # fmt: skip
        assert card.memory_bytes == 24576 * MIB
        assert card.reserved_bytes == (452 + 600) * MIB
        assert card.driver_reserved_bytes == 452 * MIB
        assert (card.power_limit_watts, card.compute_capability) == (350, "8.6")
        assert card.bandwidth_bytes_per_s == pytest.approx(936.2e9, rel=0.001)
        assert (machine.driver, machine.cuda) == ("590.48.01", "13.1")
        stated = {"name", "memory_bytes", "reserved_bytes", "compute_capability", "power_limit_watts"}
        assert stated <= card.origins.keys()
        assert all(origin.kind == "detected" for origin in card.origins.values())
        assert not nvml.is_open

    def test_an_idle_link_counts_at_its_best_generation_and_real_width(self) -> None:
        nvml = RecordedNvml([RTX_3090, NARROW_3090], driver="590", cuda=13000)
        machine = detect(RecordedProbe(files=CUDA_HOST, nvml=nvml))
        assert [(link.kind, link.ends) for link in machine.links] == [
            ("PCIe 4.0 x16", ("gpu0", "ram")), ("PCIe 4.0 x4", ("gpu1", "ram")),
        ]  # fmt: skip
        assert machine.links[0].bandwidth_bytes_per_s == pytest.approx(31.5e9, rel=0.001)
        assert "gpu1 runs on 4 of 16 PCIe lanes" in machine.notes

    def test_other_processes_and_the_display_are_named(self) -> None:
        machine = detect(
            RecordedProbe(files=CUDA_HOST, nvml=RecordedNvml([RTX_3090], driver="590", cuda=13000))
        )
        assert "gpu0: 2 other processes hold 500.0 MiB" in machine.notes
        assert any("gpu0 drives a display" in note for note in machine.notes)

    def test_under_wsl_processes_do_not_tell_their_memory(self) -> None:
        silent = {**RTX_3090, "ComputeRunningProcesses": [SimpleNamespace(pid=1, usedGpuMemory=None)]}
        silent.pop("GraphicsRunningProcesses")
        files = {
            **HOST,
            "/dev/dxg": "",
            "/proc/version": "Linux version 6.6.87.2-microsoft-standard-WSL2 (gcc)",
        }
        machine = detect(RecordedProbe(files=files, nvml=RecordedNvml([silent], driver="590", cuda=13000)))
        assert machine.os == "linux (WSL)"
        assert any(".wslconfig" in note for note in machine.notes)
        assert "gpu0: 1 other process holds an amount the driver does not tell" in machine.notes

    @pytest.mark.parametrize(
        ("visible", "names"),
        [
            ("1", ["GPU-22222222-bbbb"]),
            ("GPU-1111", ["GPU-11111111-aaaa"]),
            ("", []),
            ("0,-1,1", ["GPU-11111111-aaaa"]),
        ],
    )
    def test_cuda_visible_devices_hides_cards(self, visible: str, names: list[str]) -> None:
        cards = [RTX_3090, NARROW_3090]
        probe = RecordedProbe(
            files=CUDA_HOST, nvml=RecordedNvml(cards, driver="590", cuda=13000),
            variables={"CUDA_VISIBLE_DEVICES": visible},
        )  # fmt: skip
        widths = {"GPU-11111111-aaaa": "x16", "GPU-22222222-bbbb": "x4"}
        machine = detect(probe)
        assert [link.kind[-len(widths[n]) :] for link, n in zip(machine.links, names, strict=True)] == [
            widths[n] for n in names
        ]
        assert len(machine.devices) == len(names)

    def test_mig_slices_replace_their_card(self) -> None:
        # A 1g.96gb slice of a RTX PRO 6000 shows 94,895 MiB (teo-ma/rtxpro6000-benchmark@11a6963).
        whole = {
            "Name": "NVIDIA RTX PRO 6000 Blackwell Server Edition", "UUID": "GPU-6",
            "memory_mib": (97887, 640, 0), "CudaComputeCapability": [12, 0], "MigMode": [1, 1],
            "slices": [{"Name": "MIG 1g.96gb", "UUID": "MIG-1", "memory_mib": (94895, 0, 0)}],
        }  # fmt: skip
        machine = detect(RecordedProbe(files=CUDA_HOST, nvml=RecordedNvml([whole], driver="580", cuda=13000)))
        assert [card.memory_bytes for card in machine.devices] == [94895 * MIB]
        assert "NVIDIA RTX PRO 6000 Blackwell Server Edition is cut into 1 MIG slices" in machine.notes

    def test_a_chip_without_memory_of_its_own_shares_the_hosts(self) -> None:
        spark = {"Name": "NVIDIA GB10", "UUID": "GPU-10", "CudaComputeCapability": [12, 1]}
        machine = detect(
            RecordedProbe(files=CUDA_HOST, nvml=RecordedNvml([spark], driver="580.126.09", cuda=13000))
        )
        card = machine.devices[0]
        assert card.is_unified
        assert card.memory_bytes == machine.ram_bytes
        assert card.reserved_bytes == machine.ram_reserved_bytes

    def test_nvlink_adds_up_its_lanes(self) -> None:
        h100 = {**RTX_3090, "Name": "NVIDIA H100 80GB HBM3", "nvlinks": 18, "nvlink_mbps": 26562}
        machine = detect(RecordedProbe(files=CUDA_HOST, nvml=RecordedNvml([h100], driver="580", cuda=13000)))
        link = next(link for link in machine.links if link.kind.startswith("NVLink"))
        assert (link.kind, link.bandwidth_bytes_per_s) == ("NVLink x18", 18 * 26_562_000_000)

    def test_a_driver_that_does_not_answer_is_said_and_no_card_invented(self) -> None:
        nvml = RecordedNvml([], driver="", cuda=0, is_broken=True)
        machine = detect(RecordedProbe(files=CUDA_HOST, nvml=nvml))
        assert machine.devices == ()
        assert any("NVML cannot be used" in note for note in machine.notes)


def test_every_nvml_name_in_use_exists_in_the_real_module() -> None:
    """A function NVML does not have would read as 'unknown' for ever."""
    pynvml = pytest.importorskip("pynvml")
    text = Path(nvidia.__file__).read_text("utf-8")
    names = set(re.findall(r'"(nvml\w+)"', text)) | set(re.findall(r"nvml\.((?:nvml|NVML)\w+)", text))
    assert len(names) > 20
    assert [name for name in sorted(names) if not hasattr(pynvml, name)] == []


class TestNvidiaSmi:
    def test_cards_come_from_the_csv_when_nvml_is_missing(self) -> None:
        # Rows in the form logged in public issues; the second host had its cards in x4 slots.
        row = (
            "0, NVIDIA GeForce RTX 5060 Ti, GPU-1, 16311, 15850, 461, 12.0, 595.71.05, 180.00, "
            "3, 4, 16, Disabled, [N/A]\n"
        )
        machine = detect(RecordedProbe(files=CUDA_HOST, commands={"nvidia-smi --query-gpu=*": row}))
        card = machine.devices[0]
        assert (card.name, card.memory_bytes) == ("NVIDIA GeForce RTX 5060 Ti", 16311 * MIB)
        assert (card.reserved_bytes, card.driver_reserved_bytes) == (461 * MIB, 461 * MIB)
        assert (card.compute_capability, card.power_limit_watts) == ("12.0", 180)
        assert machine.driver == "595.71.05"
        assert [link.kind for link in machine.links] == ["PCIe 3.0 x4"]
        assert "gpu0 runs on 4 of 16 PCIe lanes" in machine.notes

    def test_gb10_prints_na_for_memory_and_gets_the_hosts(self) -> None:
        row = (
            "0, NVIDIA GB10, GPU-1, [N/A], [N/A], [N/A], 12.1, 580.126.09, [N/A], 1, 1, 1, Disabled, [N/A]\n"
        )
        machine = detect(RecordedProbe(files=CUDA_HOST, commands={"nvidia-smi --query-gpu=*": row}))
        assert machine.devices[0].is_unified
        assert machine.devices[0].memory_bytes == 24682416 * 1024
        assert machine.devices[0].power_limit_watts is None

    def test_an_old_driver_answers_the_short_query(self) -> None:
        commands = {
            "*--query-gpu=index,name,uuid,memory.total,memory.free,driver_version,power.limit *":
                "0, Tesla P40, GPU-1, 22919, 22900, 470.256.02, 250.00\n",
        }  # fmt: skip
        probe = RecordedProbe(files=CUDA_HOST, commands=commands)
        machine = detect(probe)
        assert machine.devices[0].memory_bytes == 22919 * MIB

    def test_without_any_tool_the_card_is_mentioned(self) -> None:
        machine = detect(RecordedProbe(files=CUDA_HOST))
        assert machine.devices == ()
        assert any("neither NVML nor nvidia-smi" in note for note in machine.notes)


def _amd(
    card: str, *, vram: int, gtt: int, minor: int, extra: dict[str, str] | None = None
) -> dict[str, str]:
    folder = f"/sys/class/drm/{card}/device"
    return {
        f"{folder}/vendor": "0x1002\n", f"{folder}/mem_info_vram_total": f"{vram}\n",
        f"{folder}/mem_info_vram_used": f"{92 * MIB}\n", f"{folder}/mem_info_gtt_total": f"{gtt}\n",
        f"{folder}/mem_info_gtt_used": f"{33 * MIB}\n", f"{folder}/drm/renderD{minor}/dev": "",
        **{f"{folder}/{name}": text for name, text in (extra or {}).items()},
    }  # fmt: skip


def _kfd(node: int, *, version: int, minor: int) -> dict[str, str]:
    path = f"/sys/class/kfd/kfd/topology/nodes/{node}/properties"
    return {
        path: f"cpu_cores_count 0\nsimd_count 80\ngfx_target_version {version}\ndrm_render_minor {minor}\n"
    }


class TestAmd:
    def test_a_card_is_named_by_libdrm_and_linked_through_its_own_switch(self) -> None:
        extra = {
            "device": "0x744c\n", "revision": "0xc8\n", "max_link_speed": "16.0 GT/s PCIe\n",
            "current_link_width": "16\n", "../../vendor": "0x1002\n",
            "../../max_link_speed": "16.0 GT/s PCIe\n", "../../current_link_width": "8\n",
        }  # fmt: skip
        files = {
            **HOST, **_amd("card1", vram=25753026560, gtt=12636909568, minor=128, extra=extra),
            **_kfd(1, version=110000, minor=128),
            "/usr/share/libdrm/amdgpu.ids": "# comment\n1.0.0\n744C,\tC8,\tAMD Radeon RX 7900 XTX\n",
        }  # fmt: skip
        machine = detect(RecordedProbe(files=files))
        card = machine.devices[0]
        assert (card.name, card.compute_capability) == ("AMD Radeon RX 7900 XTX", "gfx1100")
        assert (card.memory_bytes, card.reserved_bytes) == (25753026560, 92 * MIB)
        assert not card.is_unified
        assert [link.kind for link in machine.links] == ["PCIe 4.0 x8"]

    def test_strix_halo_counts_its_larger_pool_and_says_how_to_raise_it(self) -> None:
        # 512 MiB carved out, half of 128 GB as GTT: the kernel's default.
        files = {
            "/proc/meminfo": "MemTotal:       131334144 kB\nMemAvailable:   128000000 kB\n",
            **_amd("card0", vram=512 * MIB, gtt=67243081728, minor=128),
            **_kfd(1, version=110501, minor=128),
        }  # fmt: skip
        machine = detect(RecordedProbe(files=files))
        card = machine.devices[0]
        assert (card.compute_capability, card.is_unified) == ("gfx1151", True)
        assert card.memory_bytes == 67243081728
        assert card.origins["memory_bytes"].where.endswith("mem_info_gtt_total")
        assert card.memory_limit_bytes is not None
        assert 67243081728 < card.memory_limit_bytes < 131334144 * 1024
        assert any(f"ttm.pages_limit={card.memory_limit_bytes // 4096}" in note for note in machine.notes)

    def test_a_large_carve_out_is_the_pool(self) -> None:
        # 96 GiB carved out (values as logged by a Strix Halo owner's monitor).
        files = {
            **HOST,
            **_amd("card0", vram=103079215104, gtt=16363954176, minor=128),
            **_kfd(1, version=110501, minor=128),
        }
        card = detect(RecordedProbe(files=files)).devices[0]
        assert card.memory_bytes == 96 * GIB
        assert card.memory_limit_bytes is None

    def test_graphics_in_the_processor_step_back_behind_a_card(self) -> None:
        igpu = {
            **_amd("card0", vram=512 * MIB, gtt=16 * GIB, minor=128),
            **_kfd(1, version=100306, minor=128),
        }
        card = {**_amd("card1", vram=24 * GIB, gtt=16 * GIB, minor=129), **_kfd(2, version=110000, minor=129)}
        alone = detect(RecordedProbe(files={**HOST, **igpu}))
        both = detect(RecordedProbe(files={**HOST, **igpu, **card}))
        assert [device.is_unified for device in alone.devices] == [True]
        assert [device.is_unified for device in both.devices] == [False]
        assert any("left out" in note for note in both.notes)


class TestIntel:
    def test_xe_tells_the_memory_of_its_tiles(self) -> None:
        folder = "/sys/class/drm/card0/device"
        files = {
            **HOST, f"{folder}/vendor": "0x8086\n", f"{folder}/device": "0xe20b\n",
            f"{folder}/uevent": "DRIVER=xe\nPCI_SLOT_NAME=0000:03:00.0\n",
            f"{folder}/tile0/physical_vram_size_bytes": f"{12 * GIB}\n",
        }  # fmt: skip
        card = detect(RecordedProbe(files=files)).devices[0]
        assert (card.name, card.memory_bytes, card.backend) == ("Intel graphics 8086:e20b", 12 * GIB, "sycl")

    def test_a_silent_driver_gives_a_note_instead_of_a_card(self) -> None:
        folder = "/sys/class/drm/card0/device"
        files = {**HOST, f"{folder}/vendor": "0x8086\n", f"{folder}/uevent": "PCI_SLOT_NAME=0000:03:00.0\n"}
        machine = detect(RecordedProbe(files=files))
        assert machine.devices == ()
        assert any("no memory size" in note for note in machine.notes)

    def test_integrated_graphics_are_no_card(self) -> None:
        folder = "/sys/class/drm/card0/device"
        files = {**HOST, f"{folder}/vendor": "0x8086\n", f"{folder}/uevent": "PCI_SLOT_NAME=0000:00:02.0\n"}
        machine = detect(RecordedProbe(files=files))
        assert (machine.devices, machine.notes) == ((), ())


class TestApple:
    DISPLAYS = (
        '{"SPDisplaysDataType":[{"_name":"Apple M4 Max","spdisplays_vendor":"sppci_vendor_Apple",'
        '"sppci_bus":"spdisplays_builtin","sppci_cores":"40","sppci_model":"Apple M4 Max"}]}'
    )

    def _probe(self, *, limit: str = "0", told: int | None = None) -> RecordedProbe:
        commands = {
            "sysctl -n hw.memsize": f"{128 * GIB}\n", "sysctl -n machdep.cpu.brand_string": "Apple M4 Max\n",
            "sysctl -n iogpu.wired_limit_mb": f"{limit}\n",
            "system_profiler SPDisplaysDataType -json": self.DISPLAYS,
        }  # fmt: skip
        return RecordedProbe(system="darwin", commands=commands, working_set_bytes=told)

    def test_metals_own_figure_wins_over_the_observed_share(self) -> None:
        told = detect(self._probe(told=115448725504)).devices[0]
        assumed = detect(self._probe()).devices[0]
        assert told.memory_bytes == 115448725504
        assert told.origins["memory_bytes"].kind == "detected"
        assert assumed.memory_bytes == 10752 * GIB // 100
        assert assumed.origins["memory_bytes"].kind == "default"

    def test_a_raised_limit_is_what_counts(self) -> None:
        # 112 GiB with iogpu.wired_limit_mb=114688 was logged on an M5 Max with 128 GB.
        machine = detect(self._probe(limit="114688"))
        assert machine.devices[0].memory_bytes == 112 * GIB

    def test_the_way_to_raise_it_is_the_exact_command(self) -> None:
        machine = detect(self._probe())
        card = machine.devices[0]
        assert (card.name, card.is_unified, machine.ram_bytes) == (
            "Apple M4 Max (40-core GPU)",
            True,
            128 * GIB,
        )
        assert card.memory_limit_bytes == 123 * GIB
        assert any("sudo sysctl iogpu.wired_limit_mb=125952" in note for note in machine.notes)


class TestContainers:
    def test_the_tightest_group_above_us_limits_host_memory(self) -> None:
        files = {
            **HOST, "/proc/self/cgroup": "0::/system.slice/docker-1.scope\n",
            "/sys/fs/cgroup/system.slice/docker-1.scope/memory.max": "max\n",
            "/sys/fs/cgroup/system.slice/memory.max": f"{8 * GIB}\n",
            "/sys/fs/cgroup/system.slice/memory.current": f"{3 * GIB}\n",
            "/sys/fs/cgroup/system.slice/memory.stat": f"anon 5\ninactive_file {GIB}\n",
        }  # fmt: skip
        machine = detect(RecordedProbe(files=files))
        assert (machine.ram_bytes, machine.ram_reserved_bytes) == (8 * GIB, 2 * GIB)
        assert machine.origins["ram_bytes"].where == "/sys/fs/cgroup/system.slice/memory.max"

    def test_version_1_writes_a_huge_number_for_no_limit(self) -> None:
        path = "/sys/fs/cgroup/memory/memory.limit_in_bytes"
        free = detect(RecordedProbe(files={**HOST, path: "9223372036854771712\n"}))
        bound = detect(RecordedProbe(files={**HOST, path: f"{4 * GIB}\n"}))
        assert free.ram_bytes == 24682416 * 1024
        assert bound.ram_bytes == 4 * GIB


class TestHostBandwidth:
    UDEV = (
        "".join(
            f"E:MEMORY_DEVICE_{n}_SIZE=17179869184\nE:MEMORY_DEVICE_{n}_DATA_WIDTH=64\n"
            f"E:MEMORY_DEVICE_{n}_LOCATOR=DIMM 1\nE:MEMORY_DEVICE_{n}_BANK_LOCATOR=P0 CHANNEL {channel}\n"
            f"E:MEMORY_DEVICE_{n}_CONFIGURED_SPEED_MTS=5200\n"
            for n, channel in ((1, "A"), (3, "B"))
        )
        + "E:MEMORY_DEVICE_0_PRESENT=0\nE:MEMORY_DEVICE_0_BANK_LOCATOR=P0 CHANNEL A\n"
    )

    def test_udev_tells_it_without_root(self) -> None:
        machine = detect(RecordedProbe(files={**HOST, "/run/udev/data/+dmi:id": self.UDEV}))
        assert machine.ram_bandwidth_bytes_per_s == 2 * 5200 * 1_000_000 * 8
        assert machine.origins["ram_bandwidth_bytes_per_s"].where == "/run/udev/data/+dmi:id"

    def test_an_unnamed_channel_leaves_it_unknown(self) -> None:
        text = self.UDEV.replace("P0 CHANNEL B", "BANK 2")
        machine = detect(RecordedProbe(files={**HOST, "/run/udev/data/+dmi:id": text}))
        assert machine.ram_bandwidth_bytes_per_s is None

    def test_dmidecode_is_asked_where_the_table_is_readable(self) -> None:
        # dmidecode 3.3 of a laptop, as published: channel A at 3200 MT/s, the second module on channel B.
        block = (
            "Handle 0x0023, DMI type 17, 84 bytes\nMemory Device\n\tData Width: 64 bits\n"
            "\tSize: {size}\n\tForm Factor: SODIMM\n\tLocator: DIMM 0\n\tBank Locator: P0 CHANNEL {channel}\n"
            "\tType: DDR4\n\tSpeed: 3200 MT/s\n\tConfigured Memory Speed: 3200 MT/s\n\n"
        )
        text = (
            "# dmidecode 3.3\n"
            + block.format(size="8 GB", channel="A")
            + block.format(size="16 GB", channel="B")
        )
        text += block.format(size="No Module Installed", channel="C")
        probe = RecordedProbe(
            files={**HOST, "/sys/firmware/dmi/tables/DMI": ""}, commands={"dmidecode -t 17": text}
        )
        assert detect(probe).ram_bandwidth_bytes_per_s == 2 * 3200 * 1_000_000 * 8

    def test_two_modules_on_one_channel_share_it(self) -> None:
        text = self.UDEV.replace("P0 CHANNEL B", "P0 CHANNEL A")
        machine = detect(RecordedProbe(files={**HOST, "/run/udev/data/+dmi:id": text}))
        assert machine.ram_bandwidth_bytes_per_s == 5200 * 1_000_000 * 8
