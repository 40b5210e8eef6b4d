"""Whole layers on several devices, for the runtimes that spread a model that way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from plimsoll.domain.deployment import Deployment
from plimsoll.domain.machine import Device
from plimsoll.domain.model import Model, TensorSpec


def devices_of(deployment: Deployment) -> tuple[Device, ...]:
    """The devices of the split in its order; without a split the first device of the machine."""
    by_id = {device.id: device for device in deployment.machine.devices}
    named = tuple(by_id[i] for i in deployment.split.devices if i in by_id)
    if deployment.split.kind == "none":
        return (named or deployment.machine.devices)[:1]
    return named or deployment.machine.devices


def filled(sizes: Sequence[int], capacities: Sequence[int]) -> list[int]:
    """Device number per layer: a device is filled before the next is begun; the last takes the rest."""
    places: list[int] = []
    device, used = 0, 0
    for size in sizes:
        while device < len(capacities) - 1 and used + size > capacities[device]:
            device, used = device + 1, 0
        used += size
        places.append(device)
    return places


def balanced(sizes: Sequence[int], devices_count: int) -> list[int]:
    """Device number per layer so that devices hold about the same bytes, in layer order."""
    total, done = sum(sizes), 0
    places: list[int] = []
    for size in sizes:
        middle = done + size / 2
        places.append(min(devices_count - 1, int(middle * devices_count / total)) if total else 0)
        done += size
    return places


def layer_bytes(model: Model, tensors: Iterable[TensorSpec]) -> list[int]:
    """Weight bytes per layer."""
    sizes = [0] * len(model.layers)
    for tensor in tensors:
        if tensor.layer is not None and tensor.layer < len(sizes):
            sizes[tensor.layer] += tensor.size_bytes
    return sizes


def groups_by_device(
    model: Model, tensors: Iterable[TensorSpec], places: Sequence[int], is_held: Callable[[TensorSpec], bool]
) -> dict[int, dict[str, int]]:
    """Device number -> 'role format' -> bytes. Tensors outside the layers go first (embedding) or last."""
    last = max(places, default=0)
    groups: dict[int, dict[str, int]] = {}
    for tensor in tensors:
        if not is_held(tensor):
            continue
        if tensor.layer is not None and tensor.layer < len(places):
            device = places[tensor.layer]
        else:
            device = 0 if tensor.role in ("embedding", "vision", "audio", "projector") else last
        part = groups.setdefault(device, {})
        key = f"{tensor.role} {tensor.format}"
        part[key] = part.get(key, 0) + tensor.size_bytes
    return groups


def is_text(tensor: TensorSpec) -> bool:
    """Whether a tensor belongs to the language model proper (no vision, audio, draft layers)."""
    return tensor.role not in ("vision", "audio", "projector", "mtp")
