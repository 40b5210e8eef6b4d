"""The machine this process runs on, each value with where it was read.

What cannot be read stays unknown: no card, no size and no speed is ever assumed.
"""

from __future__ import annotations

from plimsoll.domain.machine import Machine
from plimsoll.edges.detect import amd, apple, host, intel, nvidia
from plimsoll.edges.detect.probe import Probe, SystemProbe


def detect(probe: Probe | None = None) -> Machine:
    """Read the machine through `probe` (the real system when None)."""
    probe = probe or SystemProbe()
    here = host.read(probe)
    cards = nvidia.find(probe, host_ram_bytes=here.ram_bytes, host_used_bytes=here.ram_reserved_bytes)
    radeon = amd.find(probe, host_ram_bytes=here.ram_bytes, first_index=len(cards.devices))
    arc = intel.find(probe, first_index=len(cards.devices) + len(radeon.devices))
    mac = apple.find(probe, host_ram_bytes=here.ram_bytes)
    found = (cards, radeon, arc, mac)
    devices = tuple(device for part in found for device in part.devices)
    names = " + ".join([*(device.name for device in devices), *([here.cpu] if here.cpu else [])])
    return Machine(
        name=names or "this machine",
        devices=devices,
        links=tuple(link for part in found for link in part.links),
        ram_bytes=here.ram_bytes,
        ram_reserved_bytes=here.ram_reserved_bytes,
        ram_bandwidth_bytes_per_s=here.ram_bandwidth_bytes_per_s,
        os=here.os,
        driver=next((part.driver for part in found if part.driver), ""),
        cuda=cards.cuda,
        origins=here.origins,
        notes=(*here.notes, *(note for part in found for note in part.notes)),
    )
