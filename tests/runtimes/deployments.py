"""Small deployments for tests: real catalog models on declared machines."""

from __future__ import annotations

from plimsoll.ask.machine import resolve
from plimsoll.ask.models import from_catalog
from plimsoll.domain.bill import Line
from plimsoll.domain.deployment import Deployment, Runtime, Setting, Split, SplitKind, Workload
from plimsoll.runtimes import memory_of


def deployment(
    runtime: str,
    model: str,
    on: str,
    *,
    context_tokens: int = 4096,
    sequences: int = 1,
    weights: str = "",
    kv: str = "auto",
    split: SplitKind = "none",
    **settings: Setting,
) -> Deployment:
    """What `plimsoll fit` would build from these words."""
    return Deployment(
        model=from_catalog(model), machine=resolve(on), runtime=Runtime(id=runtime),
        workload=Workload(context_tokens=context_tokens, parallel_sequences_count=sequences),
        weight_format=weights, kv_format_k=kv, kv_format_v=kv, split=Split(kind=split), settings=settings,
    )  # fmt: skip


def lines(wanted: Deployment, component: str = "", device: str = "") -> list[Line]:
    """The bill's lines of one component on one device ('' for any)."""
    return [
        line
        for line in memory_of(wanted.runtime.id).lines(wanted)
        if component in ("", line.component) and device in ("", line.device)
    ]


def size(wanted: Deployment, component: str = "", device: str = "") -> int:
    """Bytes of those lines."""
    return sum(line.size_bytes for line in lines(wanted, component, device))
