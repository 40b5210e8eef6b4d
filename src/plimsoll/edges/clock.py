"""What day it is."""

from __future__ import annotations

from datetime import date


def today() -> str:
    """'2026-11-26'."""
    return date.today().isoformat()


def days_since(dated: str) -> int:
    """Days from a day to today; a month or a year alone counts as its first day."""
    year, month, day = (*(int(part) for part in dated.split("-")), 1, 1)[:3]
    return (date.fromisoformat(today()) - date(year, month, day)).days
