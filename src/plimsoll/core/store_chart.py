"""Disk and memory of every vector type of a store, part on part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from plimsoll.core.store_parts import Wanted, components_of
from plimsoll.core.store_plan import setups_of
from plimsoll.core.store_text import Corpora
from plimsoll.domain.chart import Chart, Panel, Series
from plimsoll.domain.store_plan import Place, StoreComponent, StorePlanAnswer, StoreRecord, StoreSetup
from plimsoll.units import GIB

_TITLES: dict[Place, str] = {"disk": "on disk", "ram": "in memory"}


def chart_of(
    answer: StorePlanAnswer,
    corpora: Corpora,
    wanted: Wanted,
    learnt: Mapping[str, Mapping[str, float]],
    records: Sequence[StoreRecord],
) -> Chart:
    """Two panels of stacked bars, one bar per vector type of the store that was chosen."""
    record = next(r for r in records if r.id == answer.way.setup.store)
    setups = [s for s in setups_of(record) if s.index == answer.way.setup.index and _is_drawn(s, record)]
    if len(setups) == 1:
        setups = [s for s in setups_of(record) if _is_drawn(s, record)]
    found = [(s, components_of(s, corpora, wanted, learnt[s.store])) for s in setups]
    names = list(dict.fromkeys(_group(c) for _, parts in found for c in parts))
    pages = f"{corpora.value.pages_count:,} pages, {corpora.value.chunks:,} chunks"
    return Chart(
        title=f"{record.name}: {pages}, {answer.embedder.id}",
        panels=tuple(_panel(place, found, names) for place in ("disk", "ram")),
    )


def _is_drawn(setup: StoreSetup, record: StoreRecord) -> bool:
    """One bar per vector type: where codes are searched, the vectors that only rescore stay on disk."""
    if not record.can_stay_on_disk or record.id != "qdrant" or setup.index != "hnsw":
        return True
    return setup.is_on_disk == (setup.vector in ("int8", "binary", "pq"))


def _group(component: StoreComponent) -> str:
    """The part's name, or 'other' for the small ones."""
    return "other" if component.name in ("ids", "log of changes", "program") else component.name


def _panel(
    place: Place, found: Sequence[tuple[StoreSetup, Sequence[StoreComponent]]], names: Sequence[str]
) -> Panel:
    indexes = {setup.index for setup, _ in found}
    return Panel(
        title=_TITLES[place],
        x_label="vectors",
        y_label="GiB",
        categories=tuple(f"{s.index} {s.vector}" if len(indexes) > 1 else s.vector for s, _ in found),
        series=tuple(
            Series(
                name=name,
                kind="bars",
                xs=tuple(float(i) for i in range(len(found))),
                ys=tuple(_size(parts, name, place) / GIB for _, parts in found),
            )
            for name in names
        ),
    )


def _size(parts: Sequence[StoreComponent], name: str, place: Place) -> float:
    return sum(c.estimate.value for c in parts if _group(c) == name and c.place == place)
