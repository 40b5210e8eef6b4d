"""How much of the catalog each way could hold, by the bytes of the weights alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from plimsoll.ask.check_frontier import CLEAR_SHARE, counted
from plimsoll.domain.scale import CatalogReach, Way

# Four bits and what a recipe keeps in more, as q4_k_m does.
_SMALL_BITS = 4.5


def with_catalog(ways: Sequence[Way]) -> list[Way]:
    """The ways with the number of catalog models whose weights take at most 75 % of their memory: as they are
    in 16 bits, and in 4.5; and the largest of each."""
    sizes = sorted((count, name) for name, count, _, _ in counted())
    return [replace(way, catalog=_reach(sizes, way.memory_bytes)) for way in ways]


def _reach(sizes: Sequence[tuple[int, str]], memory_bytes: int) -> CatalogReach:
    room = CLEAR_SHARE * memory_bytes
    whole = [name for count, name in sizes if 2 * count <= room]
    small = [name for count, name in sizes if _SMALL_BITS * count / 8 <= room]
    return CatalogReach(
        models_count=len(sizes), whole_count=len(whole), format_count=len(small),
        largest_whole=whole[-1] if whole else "", largest=small[-1] if small else "",
    )  # fmt: skip
