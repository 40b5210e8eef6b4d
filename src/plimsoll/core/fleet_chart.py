"""What lies where in a fleet, as a chart: a bar per device, a piece per role, the free room on top."""

from __future__ import annotations

from plimsoll.domain.bill import HOST
from plimsoll.domain.chart import Chart, Panel, Series
from plimsoll.domain.fleet import FleetAnswer, PlaceUse
from plimsoll.units import GIB


def chart(answer: FleetAnswer) -> Chart:
    """Stacked bars in GiB: of every device, and of host memory that holds more than buffers."""
    uses = [u for u in answer.places if u.place != HOST or _is_shown(answer, u)]
    xs = tuple(float(i) for i in range(len(uses)))
    roles = list(dict.fromkeys(p.role for u in uses for p in u.parts))
    series = [
        Series(name=role, xs=xs, ys=tuple(_held(u, role) / GIB for u in uses), kind="bars") for role in roles
    ]
    if any(u.reserved_bytes for u in uses):
        held = tuple(u.reserved_bytes / GIB for u in uses)
        series.append(Series(name="driver and others", xs=xs, ys=held, kind="bars"))
    free = tuple(max(u.headroom_bytes, 0) / GIB for u in uses)
    series.append(Series(name="free", xs=xs, ys=free, kind="bars", is_faint=True))
    panel = Panel(
        title="what lies where", x_label="", y_label="GiB", series=tuple(series),
        categories=tuple(f"{u.machine} {u.place}" for u in uses),
    )  # fmt: skip
    return Chart(title=f"fleet: {answer.reason}", panels=(panel,))


def _is_shown(answer: FleetAnswer, use: PlaceUse) -> bool:
    """Host memory of a machine without devices, or with weights in it; unified memory is its device's."""
    here = [p.way for p in answer.placements if p.way.machine == use.machine]
    devices = [u for u in answer.places if u.machine == use.machine and u.place != HOST]
    return not devices or any(w.offload or not w.devices for w in here)


def _held(use: PlaceUse, role: str) -> int:
    return sum(p.size_bytes for p in use.parts if p.role == role)
