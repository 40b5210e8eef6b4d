"""Which ways of keeping the chunks there are, what each takes, and which fits a machine best."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from plimsoll.core.store_fit import Built
from plimsoll.core.store_parts import Wanted, components_of, total
from plimsoll.core.store_query import query_of
from plimsoll.core.store_text import Corpora
from plimsoll.domain.store_plan import StoreRecord, StoreSetup, StoreWay
from plimsoll.units import format_bytes

# From what keeps most of an exact search to what keeps least; a quantised search is rescored with the
# originals
# where the store keeps them.
_KEEPS = (
    ("float32", False), ("float16", False), ("int8", True), ("int8", False), ("pq", True), ("binary", True),
    ("pq", False), ("binary", False),
)  # fmt: skip
# A flat search reads every vector for every query: from so many chunks on, an index goes first.
_FLAT_UP_TO = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Memory and disk that are free, in bytes; None where nobody told. `taken_bytes`: the embedder's
    weights."""

    ram_bytes: int | None
    disk_bytes: int | None
    taken_bytes: int


def setups_of(record: StoreRecord) -> Iterable[StoreSetup]:
    """All setups of a store; with vectors left on disk where it can search without them or through a map."""
    for index, vector in record.kinds:
        yield StoreSetup(store=record.id, index=index, vector=vector)
        if record.id == "qdrant" and record.can_stay_on_disk and index == "hnsw":
            yield StoreSetup(store=record.id, index=index, vector=vector, is_on_disk=True)


def ways_of(
    records: Sequence[StoreRecord], corpora: Corpora, wanted: Wanted, room: Room,
    learnt: Mapping[str, Mapping[str, float]], measured: Sequence[Built],
) -> tuple[StoreWay, ...]:  # fmt: skip
    """Every way, the best first: what fits, then what keeps most of an exact search, then what takes least
    memory."""
    by_id = {record.id: record for record in records}
    found = [
        _way(setup, corpora, wanted, room, learnt, measured)
        for record in records for setup in setups_of(record)
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda way: _rank(way, by_id[way.setup.store], corpora)))


def _way(
    setup: StoreSetup, corpora: Corpora, wanted: Wanted, room: Room,
    learnt: Mapping[str, Mapping[str, float]], measured: Sequence[Built],
) -> StoreWay:  # fmt: skip
    components = components_of(setup, corpora, wanted, learnt[setup.store])
    disk, ram = total(components, "disk"), total(components, "ram")
    fits, reason = _judged(disk.value, ram.value, ram.high, room)
    return StoreWay(
        setup=setup, components=components, disk=disk, ram=ram,
        query=query_of(setup, corpora, wanted, measured), fits=fits, reason=reason,
    )  # fmt: skip


def _judged(disk: float, ram: float, ram_high: float, room: Room) -> tuple[bool | None, str]:
    """Whether it fits, and the sentence that says by how much or what lacks."""
    need = ram + room.taken_bytes
    if room.ram_bytes is not None and need > room.ram_bytes:
        return False, f"{format_bytes(round(need - room.ram_bytes))} of memory are missing"
    if room.disk_bytes is not None and disk > room.disk_bytes:
        return False, f"{format_bytes(round(disk - room.disk_bytes))} of disk are missing"
    if room.ram_bytes is None:
        return None, ""
    if ram_high + room.taken_bytes > room.ram_bytes:
        return True, "fits, but not if pages are as long as they may be"
    return True, f"{format_bytes(round(room.ram_bytes - need))} of memory stay free"


def _rank(way: StoreWay, record: StoreRecord, corpora: Corpora) -> tuple[object, ...]:
    setup = way.setup
    keeps = (setup.vector, record.keeps_originals and setup.vector in ("int8", "pq", "binary"))
    is_slow = setup.index == "flat" and corpora.value.chunks > _FLAT_UP_TO
    needs_reads = setup.is_on_disk and setup.vector in ("float32", "float16")
    return (
        way.fits is False,
        is_slow or needs_reads,
        _KEEPS.index(keeps),
        setup.is_on_disk,
        not record.holds_text,
        way.ram.value,
        setup.label,
    )
