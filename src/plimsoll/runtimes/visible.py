"""Environment variables that hide the devices a deployment does not use.

Source: CUDA C++ Programming Guide, "CUDA Environment Variables" (CUDA_VISIBLE_DEVICES, CUDA_DEVICE_ORDER);
ROCm documentation, "GPU isolation techniques" (HIP_VISIBLE_DEVICES).
"""

from __future__ import annotations

from collections.abc import Sequence

from plimsoll.domain.deployment import Deployment
from plimsoll.domain.launch import Flag
from plimsoll.domain.machine import Device

_VARIABLES = {"cuda": "CUDA_VISIBLE_DEVICES", "rocm": "HIP_VISIBLE_DEVICES"}


def visible(deployment: Deployment, used: Sequence[Device]) -> tuple[Flag, ...]:
    """Nothing where every device is used; else the numbers of the used ones, in the order of the split.

    A device's number is its place in the machine: nvidia-smi's order under CUDA_DEVICE_ORDER=PCI_BUS_ID.
    """
    devices = deployment.machine.devices
    variable = _VARIABLES.get(used[0].backend) if used else None
    if variable is None or list(used) == list(devices):
        return ()
    numbers = ",".join(str(devices.index(d)) for d in used)
    names = ", ".join(d.id for d in used)
    found = [Flag(name=variable, value=numbers, reason=f"{names}, of {len(devices)} devices")]
    if variable == "CUDA_VISIBLE_DEVICES":
        reason = "numbers the cards as nvidia-smi does, not fastest first"
        found.insert(0, Flag(name="CUDA_DEVICE_ORDER", value="PCI_BUS_ID", reason=reason))
    return tuple(found)
