"""The one object through which a machine is read, so that tests feed recorded outputs instead."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from plimsoll.domain.machine import Device, Link
from plimsoll.domain.origin import Origin

_SLOWEST_COMMAND_S = 10


class Probe(Protocol):
    """What a detector may ask of the system; whatever is unreadable is None or empty, never an error."""

    @property
    def system(self) -> str:
        """'linux', 'darwin' or 'windows'."""

    def read_text(self, path: str) -> str | None:
        """The text of a file, or None."""

    def list_dir(self, path: str) -> tuple[str, ...]:
        """The sorted names in a folder, or ()."""

    def exists(self, path: str) -> bool:
        """Whether the path is there and may be read."""

    def run(self, argv: Sequence[str]) -> str | None:
        """The standard output of a command that succeeded, or None."""

    def environment(self, name: str) -> str | None:
        """An environment variable, or None."""

    def nvml(self) -> Any | None:
        """The module `pynvml`, or None when it is not installed."""

    def metal_working_set_bytes(self) -> int | None:
        """`recommendedMaxWorkingSetSize` of the default Metal device, or None."""

    def installed_ram_bytes(self) -> int | None:
        """Memory where no file tells it (Windows), or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one vendor's detector found."""

    devices: tuple[Device, ...] = ()
    links: tuple[Link, ...] = ()
    driver: str = ""
    cuda: str = ""
    notes: tuple[str, ...] = ()


def detected(where: str) -> Origin:
    """An origin of kind 'detected'."""
    return Origin(kind="detected", where=where)


class SystemProbe:
    """The real one."""

    @property
    def system(self) -> str:
        return {"win32": "windows"}.get(sys.platform, sys.platform)

    def read_text(self, path: str) -> str | None:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return None

    def list_dir(self, path: str) -> tuple[str, ...]:
        try:
            return tuple(sorted(os.listdir(path)))
        except OSError:
            return ()

    def exists(self, path: str) -> bool:
        return os.access(path, os.R_OK)

    def run(self, argv: Sequence[str]) -> str | None:
        import subprocess  # a machine without cards starts none

        program = shutil.which(argv[0])
        if program is None:
            return None
        try:
            done = subprocess.run(
                [program, *argv[1:]],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_SLOWEST_COMMAND_S,
                env={**os.environ, "LC_ALL": "C"},
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None

    def environment(self, name: str) -> str | None:
        return os.environ.get(name)

    def nvml(self) -> Any | None:
        try:
            import pynvml
        except ImportError:
            return None
        return pynvml

    def metal_working_set_bytes(self) -> int | None:
        if sys.platform != "darwin":
            return None
        return _metal_working_set_bytes()

    def installed_ram_bytes(self) -> int | None:
        if sys.platform != "win32":
            return None
        return _windows_ram_bytes()


def _metal_working_set_bytes() -> int | None:
    """Ask the default Metal device through the Objective-C runtime."""
    import ctypes

    try:
        metal = ctypes.CDLL("/System/Library/Frameworks/Metal.framework/Metal")
        objc = ctypes.CDLL("/usr/lib/libobjc.dylib")
        metal.MTLCreateSystemDefaultDevice.restype = ctypes.c_void_p
        objc.sel_registerName.restype = ctypes.c_void_p
        objc.sel_registerName.argtypes = [ctypes.c_char_p]
        objc.objc_msgSend.restype = ctypes.c_uint64
        objc.objc_msgSend.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        device = metal.MTLCreateSystemDefaultDevice()
        if not device:
            return None
        size = objc.objc_msgSend(device, objc.sel_registerName(b"recommendedMaxWorkingSetSize"))
    except (OSError, AttributeError):
        return None
    return int(size) or None


def _windows_ram_bytes() -> int | None:
    """GetPhysicallyInstalledSystemMemory gives KiB of installed memory."""
    import ctypes

    size_kib = ctypes.c_ulonglong(0)
    kernel = getattr(ctypes, "windll", None)
    if kernel is None or not kernel.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(size_kib)):
        return None
    return size_kib.value * 1024
