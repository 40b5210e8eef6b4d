"""What a graphics driver keeps of a card's memory for itself."""

from __future__ import annotations

from plimsoll.domain.bill import Interval
from plimsoll.units import GIB, MIB


def cuda_reserved_bytes(memory_bytes: int) -> Interval:
    """Memory that NVIDIA's Linux driver shows as total but gives to no program: 420 MiB + 2.2 MiB per GiB.

    Fitted to 'memory.total' of nvidia-smi minus the 'VRAM' that llama.cpp prints from cudaMemGetInfo, in MiB:
    GTX 1660 Ti 397, RTX 2060 12 GB 455, T4 448, Quadro RTX 5000 457, RTX 5060 Ti 461, RTX 3090 452,
    RTX 4090 354 and 484, RTX 5090 498, H100 478, A100 769, RTX PRO 6000 640. The bounds hold them all.
    Where the card itself can be asked (NVML nvmlDeviceGetMemoryInfo_v2: reserved), that figure is used.
    """
    value = 420 * MIB + round(memory_bytes / GIB * 2.2 * MIB)
    return Interval(value, value * 7 // 10, value * 13 // 10)
