"""A probe that answers from recorded files and command outputs, and a NVML with recorded values."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any


class RecordedProbe:
    """`files` maps paths to text, `commands` an argv joined by blanks to its output."""

    def __init__(
        self,
        *,
        system: str = "linux",
        files: Mapping[str, str] | None = None,
        commands: Mapping[str, str] | None = None,
        variables: Mapping[str, str] | None = None,
        nvml: Any | None = None,
        working_set_bytes: int | None = None,
    ) -> None:
        self.system = system
        self.files = dict(files or {})
        self.commands = dict(commands or {})
        self.variables = dict(variables or {})
        self.nvml_module = nvml
        self.working_set_bytes = working_set_bytes
        self.asked: list[str] = []

    def read_text(self, path: str) -> str | None:
        self.asked.append(path)
        return self.files.get(path)

    def list_dir(self, path: str) -> tuple[str, ...]:
        below = (name.removeprefix(f"{path}/") for name in self.files if name.startswith(f"{path}/"))
        return tuple(sorted({name.split("/")[0] for name in below}))

    def exists(self, path: str) -> bool:
        return path in self.files or any(name.startswith(f"{path}/") for name in self.files)

    def run(self, argv: Sequence[str]) -> str | None:
        line = " ".join(argv)
        self.asked.append(line)
        return next((out for known, out in self.commands.items() if fnmatch.fnmatch(line, known)), None)

    def environment(self, name: str) -> str | None:
        return self.variables.get(name)

    def nvml(self) -> Any | None:
        return self.nvml_module

    def metal_working_set_bytes(self) -> int | None:
        return self.working_set_bytes

    def installed_ram_bytes(self) -> int | None:
        return None


class NotSupported(Exception):
    """NVMLError_NotSupported."""

    def __str__(self) -> str:
        return "Not Supported"


class RecordedNvml:
    """The part of `pynvml` in use. A card is a dict of values; a missing value is 'Not Supported'."""

    NVMLError = NotSupported
    NVML_DEVICE_MIG_ENABLE = 1
    NVML_CLOCK_MEM = 2
    NVML_NVLINK_MAX_LINKS = 18
    NVML_FI_DEV_NVLINK_SPEED_MBPS_COMMON = 90
    nvmlMemory_v2 = 33554472

    def __init__(
        self, cards: list[dict[str, Any]], *, driver: str, cuda: int, is_broken: bool = False
    ) -> None:
        self.cards, self.driver, self.cuda, self.is_broken = cards, driver, cuda, is_broken
        self.is_open = False

    def nvmlInit(self) -> None:
        if self.is_broken:
            raise NotSupported
        self.is_open = True

    def nvmlShutdown(self) -> None:
        self.is_open = False

    def nvmlSystemGetDriverVersion(self) -> str:
        return self.driver

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:
        return self.cuda

    def nvmlDeviceGetCount(self) -> int:
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> dict[str, Any]:
        return self.cards[index]

    def nvmlDeviceGetMemoryInfo(self, card: dict[str, Any], version: int | None = None) -> SimpleNamespace:
        total, reserved, used = self._value(card, "memory_mib")
        mib = 1024 * 1024
        free = (total - reserved - used) * mib
        return SimpleNamespace(total=total * mib, free=free, used=used * mib, reserved=reserved * mib)

    def nvmlDeviceGetMaxMigDeviceCount(self, card: dict[str, Any]) -> int:
        return len(self._value(card, "slices"))

    def nvmlDeviceGetMigDeviceHandleByIndex(self, card: dict[str, Any], index: int) -> dict[str, Any]:
        slices: list[dict[str, Any]] = self._value(card, "slices")
        return slices[index]

    def nvmlDeviceGetMaxClockInfo(self, card: dict[str, Any], kind: int) -> int:
        clock: int = self._value(card, "memory_clock_mhz")
        return clock

    def nvmlDeviceGetNvLinkState(self, card: dict[str, Any], link: int) -> int:
        return 1 if link < card.get("nvlinks", 0) else 0

    def nvmlDeviceGetFieldValues(self, card: dict[str, Any], ids: list[int]) -> list[SimpleNamespace]:
        speed = SimpleNamespace(uiVal=self._value(card, "nvlink_mbps"))
        return [SimpleNamespace(nvmlReturn=0, value=speed)]

    def __getattr__(self, name: str) -> Any:
        """nvmlDeviceGetName(card) -> card['Name']."""
        if not name.startswith("nvmlDeviceGet"):
            raise AttributeError(name)
        return lambda card: self._value(card, name.removeprefix("nvmlDeviceGet"))

    @staticmethod
    def _value(card: dict[str, Any], key: str) -> Any:
        if key not in card:
            raise NotSupported
        return card[key]
