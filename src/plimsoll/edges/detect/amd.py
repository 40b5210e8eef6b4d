"""AMD cards and APUs: amdgpu's sysfs files, names from libdrm's table, gfx target from KFD."""

from __future__ import annotations

from dataclasses import dataclass

from plimsoll.domain.machine import Device, Link
from plimsoll.edges.detect.nvidia import is_visible, pcie_link
from plimsoll.edges.detect.probe import Found, Probe, detected
from plimsoll.edges.detect.sysfs import cards, whole_number
from plimsoll.formulas.bandwidth import PCIE_LANE
from plimsoll.formulas.unified import raised_gtt_bytes
from plimsoll.units import format_bytes

_IDS_FILES = ("/usr/share/libdrm/amdgpu.ids", "/opt/amdgpu/share/libdrm/amdgpu.ids")
_KFD_NODES = "/sys/class/kfd/kfd/topology/nodes"
# Graphics parts inside a processor (ROCm documentation, GPU hardware specifications; LLVM AMDGPU usage,
# targets listed as APU).
_APU_TARGETS = frozenset({
    "gfx902", "gfx909", "gfx90c", "gfx1013", "gfx1033", "gfx1035", "gfx1036", "gfx1103",
    "gfx1150", "gfx1151", "gfx1152", "gfx1153",
})  # fmt: skip
_STRIX_HALO = "gfx1151"
_PCIE_GENERATION = {"2.5": 1, "5.0": 2, "8.0": 3, "16.0": 4, "32.0": 5, "64.0": 6}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pools:
    """The two pools of memory amdgpu keeps, in bytes."""

    vram_total: int
    vram_used: int
    gtt_total: int
    gtt_used: int


def find(probe: Probe, *, host_ram_bytes: int | None, first_index: int) -> Found:
    """Every AMD card, numbered from `first_index`.

    Graphics inside a processor count when no card is there (`first_index` 0 and no discrete Radeon), and
    always on Strix Halo, whose graphics part is what such a machine is bought for.
    """
    if probe.system != "linux":
        return Found()
    devices: list[Device] = []
    links: list[Link] = []
    notes: list[str] = []
    wanted = probe.environment("ROCR_VISIBLE_DEVICES") or probe.environment("HIP_VISIBLE_DEVICES")
    by_minor = _gfx_targets(probe)
    folders = cards(probe, vendor="0x1002")
    targets = [by_minor.get(_render_minor(probe, folder), "") for folder in folders]
    has_card = first_index > 0 or any(target not in _APU_TARGETS for target in targets)
    for index, (folder, target) in enumerate(zip(folders, targets, strict=True)):
        pools = _pools(probe, folder)
        name = _name(probe, folder)
        if pools is None:
            notes.append(f"{name}: amdgpu gives no memory size")
            continue
        if wanted is not None and not is_visible(wanted, index, ""):
            notes.append(f"{name} is hidden by ROCR_VISIBLE_DEVICES or HIP_VISIBLE_DEVICES")
            continue
        if target in _APU_TARGETS and has_card and target != _STRIX_HALO:
            notes.append(f"{name} (integrated graphics) is left out")
            continue
        device_id = f"gpu{first_index + len(devices)}"
        if target in _APU_TARGETS:
            device, told = _apu(folder, device_id, name, target, pools, host_ram_bytes)
            notes += told
        else:
            device = _card(folder, device_id, name, target, pools)
            links += _links(probe, folder, device_id)
        devices.append(device)
    driver = (probe.read_text("/sys/module/amdgpu/version") or "").strip()
    return Found(devices=tuple(devices), links=tuple(links), driver=driver, notes=tuple(notes))


def _pools(probe: Probe, folder: str) -> _Pools | None:
    vram_total = whole_number(probe, f"{folder}/mem_info_vram_total")
    if vram_total is None:
        return None
    return _Pools(
        vram_total=vram_total,
        vram_used=whole_number(probe, f"{folder}/mem_info_vram_used") or 0,
        gtt_total=whole_number(probe, f"{folder}/mem_info_gtt_total") or 0,
        gtt_used=whole_number(probe, f"{folder}/mem_info_gtt_used") or 0,
    )


def _card(folder: str, device_id: str, name: str, target: str, pools: _Pools) -> Device:
    return Device(
        id=device_id,
        name=name,
        vendor="amd",
        architecture=target,
        backend="rocm",
        memory_bytes=pools.vram_total,
        reserved_bytes=pools.vram_used,
        compute_capability=target,
        origins={
            "memory_bytes": detected(f"{folder}/mem_info_vram_total"),
            "reserved_bytes": detected(f"{folder}/mem_info_vram_used"),
            "compute_capability": detected(f"{_KFD_NODES}/*/properties#gfx_target_version"),
        },
    )


def _apu(
    folder: str, device_id: str, name: str, target: str, pools: _Pools, host_ram_bytes: int | None
) -> tuple[Device, list[str]]:
    """An APU allocates from the larger of its two pools: the carve-out (VRAM) or host pages (GTT).

    The kernel redirects compute allocations to GTT when VRAM is the smaller one (amdgpu's
    `apu_prefer_gtt`, Linux 6.10 and later).
    """
    uses_gtt = pools.gtt_total > pools.vram_total
    pool, used = (pools.gtt_total, pools.gtt_used) if uses_gtt else (pools.vram_total, pools.vram_used)
    file = "mem_info_gtt_total" if uses_gtt else "mem_info_vram_total"
    notes = [
        f"{device_id} shares the host's memory: {format_bytes(pools.vram_total)} carved out (VRAM), "
        f"{format_bytes(pools.gtt_total)} reachable as GTT; the larger pool counts"
    ]
    limit: int | None = None
    if host_ram_bytes is not None and raised_gtt_bytes(host_ram_bytes) > pool:
        limit = raised_gtt_bytes(host_ram_bytes)
        notes.append(gtt_note(device_id, limit))
    device = Device(
        id=device_id,
        name=name,
        vendor="amd",
        architecture=target,
        backend="rocm",
        memory_bytes=pool,
        reserved_bytes=used,
        memory_limit_bytes=limit,
        compute_capability=target,
        is_unified=True,
        origins={
            "memory_bytes": detected(f"{folder}/{file}"),
            "reserved_bytes": detected(f"{folder}/{file.replace('total', 'used')}"),
            "compute_capability": detected(f"{_KFD_NODES}/*/properties#gfx_target_version"),
        },
    )
    return device, notes


def gtt_note(device_id: str, limit_bytes: int) -> str:
    """How the GTT of an APU is raised; pages are 4 KiB."""
    return (
        f"{device_id} can be given {format_bytes(limit_bytes)}: kernel parameter "
        f"ttm.pages_limit={limit_bytes // 4096} and a small carve-out in the firmware"
    )


def _name(probe: Probe, folder: str) -> str:
    """The board's own name, else libdrm's for its PCI id and revision, else the PCI id."""
    own = (probe.read_text(f"{folder}/product_name") or "").strip()
    if own:
        return own
    device = (probe.read_text(f"{folder}/device") or "").strip().removeprefix("0x").upper()
    revision = (probe.read_text(f"{folder}/revision") or "").strip().removeprefix("0x").upper()
    for path in _IDS_FILES:
        for line in (probe.read_text(path) or "").splitlines():
            cells = [cell.strip() for cell in line.split(",")]
            if len(cells) == 3 and cells[0].upper() == device and cells[1].upper() == revision:
                return cells[2]
    return f"AMD graphics 1002:{device.lower()}"


def _render_minor(probe: Probe, folder: str) -> int:
    for name in probe.list_dir(f"{folder}/drm"):
        if name.startswith("renderD"):
            return int(name.removeprefix("renderD"))
    return -1


def _gfx_targets(probe: Probe) -> dict[int, str]:
    """gfx name by render minor: KFD writes 110501 for gfx1151 (minor and step in hexadecimal)."""
    targets: dict[int, str] = {}
    for node in probe.list_dir(_KFD_NODES):
        text = probe.read_text(f"{_KFD_NODES}/{node}/properties") or ""
        values = dict(line.split()[:2] for line in text.splitlines() if len(line.split()) >= 2)
        try:
            version, minor = int(values["gfx_target_version"]), int(values["drm_render_minor"])
        except (KeyError, ValueError):
            continue
        if version:
            targets[minor] = f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}"
    return targets


def _links(probe: Probe, folder: str, device_id: str) -> list[Link]:
    """The link to the slot: two bridges up where the board carries a switch of its own (Navi 2 and later)."""
    above = f"{folder}/../.."
    has_switch = (probe.read_text(f"{above}/vendor") or "").strip() == "0x1002"
    port = above if has_switch else folder
    speed = (probe.read_text(f"{port}/max_link_speed") or "").split()
    width = whole_number(probe, f"{port}/current_link_width")
    generation = _PCIE_GENERATION.get(speed[0]) if speed else None
    if generation not in PCIE_LANE or not width:
        return []
    return [pcie_link(generation, width, device_id)]
