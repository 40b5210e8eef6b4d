"""What day it is."""

from __future__ import annotations

from datetime import date


def today() -> str:
    """'2026-11-26'."""
    return date.today().isoformat()
