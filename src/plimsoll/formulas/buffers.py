"""Bytes that are told, not computed."""

from __future__ import annotations


def reserved_by_others(reserved_bytes: int) -> int:
    """What other programs hold on the device, as detected or as the user declared it."""
    return reserved_bytes


def adapter_bytes(size_bytes: int, slots_count: int) -> int:
    """Resident adapter weights: size of one adapter x slots that are allocated for it."""
    return size_bytes * slots_count
