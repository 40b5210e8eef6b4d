"""Training memory as a chart: stacked components by method, by rank, by sequence length."""

from __future__ import annotations

from collections.abc import Sequence

from plimsoll.core.training import component_bytes
from plimsoll.domain.bill import Component
from plimsoll.domain.chart import Chart, Mark, Panel, Series
from plimsoll.domain.training import TrainingMemory

_COMPONENTS: tuple[tuple[Component, str], ...] = (
    ("weights", "weights"), ("adapters", "adapter"), ("gradients", "gradients"), ("optimizer", "optimiser"),
    ("activations", "activations"), ("logits", "logits and loss"), ("overhead", "allocator and context"),
)  # fmt: skip


def panel(
    title: str,
    x_label: str,
    bars: Sequence[tuple[str, TrainingMemory]],
    capacity_bytes: int,
    taken_bytes: int,
    *,
    has_legend: bool,
) -> Panel:
    """One bar per run; a line where the card ends, and one for what inference leaves of it."""
    places = tuple(float(n) for n in range(len(bars)))
    told = [component_bytes(found.lines) for _, found in bars]
    series = tuple(
        Series(name=name, xs=places, ys=tuple(float(t.get(component, 0)) for t in told), kind="bars")
        for component, name in _COMPONENTS
        if any(t.get(component) for t in told)
    )
    marks = [Mark(at=capacity_bytes, label="the card", is_level=True)]
    if taken_bytes:
        marks.append(Mark(at=(capacity_bytes - taken_bytes), label="beside inference", is_level=True))
    return Panel(
        title=title, x_label=x_label, y_label="at the peak of a step", y_unit="bytes", series=series,
        marks=tuple(marks), categories=tuple(name for name, _ in bars), has_legend=has_legend,
    )  # fmt: skip


def chart(title: str, subtitle: str, panels: Sequence[Panel]) -> Chart:
    """The panels side by side."""
    return Chart(title=title, subtitle=subtitle, panels=tuple(panels))
