"""Graphics cards as Linux lists them under /sys/class/drm."""

from __future__ import annotations

import re

from plimsoll.edges.detect.probe import Probe

_DRM = "/sys/class/drm"
_CARD = re.compile(r"card[0-9]+")


def cards(probe: Probe, *, vendor: str) -> tuple[str, ...]:
    """The device folders of a PCI vendor's cards ('0x1002'), by card number."""
    names = sorted(
        (name for name in probe.list_dir(_DRM) if _CARD.fullmatch(name)), key=lambda name: int(name[4:])
    )
    folders = (f"{_DRM}/{name}/device" for name in names)
    return tuple(f for f in folders if (probe.read_text(f"{f}/vendor") or "").strip().lower() == vendor)


def whole_number(probe: Probe, path: str) -> int | None:
    """The decimal number a file holds, or None."""
    text = (probe.read_text(path) or "").strip()
    return int(text) if text.isdecimal() else None
