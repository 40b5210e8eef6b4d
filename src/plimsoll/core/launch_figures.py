"""What vLLM and SGLang report of their memory, held against the bill and its estimates.

They log figures of a rank instead of buffers: what loading took, the pool that is left for the cache and the
tokens in it, what CUDA graphs took. A rank is a device: pipeline stage x tensor-parallel size + tensor rank.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from plimsoll.domain.bill import Bill
from plimsoll.domain.deployment import Deployment
from plimsoll.domain.engine_log import EngineLog, Figure, FigureKind
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.launch import Compared, ComparedCount, Match
from plimsoll.runtimes.sglang.memory import setup_of as sglang_setup
from plimsoll.runtimes.vllm.setup import setup_of as vllm_setup

# What loading took is what PyTorch holds (vLLM) or the device lost (SGLang) meanwhile: the allocator's blocks
# and small buffers of kernels count. Most starts logged in public lie within this share of the tensors (the
# median is 0.19 % in docs/accuracy.md); a pool may lack as much.
LOADED_SHARE = 0.0025
_PART = re.compile(r"(PP|TP)(\d+)")
_WORDS: Mapping[FigureKind, str] = {
    "weights": "loaded weights", "graphs": "CUDA graphs", "kv_pool": "KV pool", "state_pool": "state pool",
}  # fmt: skip
_COUNTS: tuple[tuple[FigureKind, str, str, str], ...] = (
    ("kv_tokens", "kv_cache_tokens", "KV cache", "tokens"),
    ("window_tokens", "kv_cache_tokens_window_layers", "KV cache of window layers", "tokens"),
    ("concurrency", "max_concurrency", "full contexts at once", "requests"),
)


def compare(
    promise: Bill, estimates: tuple[Estimate, ...], deployment: Deployment, log: EngineLog
) -> tuple[Compared, ...]:
    """Rows of bytes: weights and graphs of each rank that logged them, pools of the rank with least."""
    devices = _devices(deployment)
    rows = []
    kinds: tuple[FigureKind, ...] = ("weights", "graphs")
    for kind in kinds:
        logged = {_device(f, devices, deployment): f for f in log.figures if f.kind == kind}
        for device in devices if not logged else (d for d in devices if d in logged):
            value, low, high = _taken(promise, device, kind)
            rows.append(_row(kind, device, (value, low, high), logged.get(device)))
            if not logged:
                break
    for kind, promised in _pools(promise, estimates).items():
        figure = min((f for f in log.figures if f.kind == kind), key=lambda f: f.value, default=None)
        device = devices[0] if figure is None else _device(figure, devices, deployment)
        rows.append(_row(kind, device, promised, figure, is_room=True))
    return tuple(row for row in rows if row.promised_bytes or row.reported_bytes)


def compare_counts(
    promise: Bill, estimates: tuple[Estimate, ...], log: EngineLog
) -> tuple[ComparedCount, ...]:
    """Rows of tokens and requests: what the log prints beside what `fit` says it will print."""
    by_name = {e.quantity: e for e in estimates}
    pool = by_name.get("kv_pool_bytes")
    room = min(pool.low, pool.high) if pool else 0.0
    share = max(0.0, 1 - _slack(promise) / room) if room > 0 else 0.0
    rows = []
    for kind, quantity, what, unit in _COUNTS:
        found, said = min((f for f in log.figures if f.kind == kind), key=lambda f: f.value,
                          default=None), by_name.get(quantity)  # fmt: skip
        if said is None or (found is None and kind != "kv_tokens") or not said.high:
            continue
        reported, step = (None, 0.0) if found is None else (found.value, found.step)
        low, high = min(said.low, said.high) * share, max(said.low, said.high)
        rows.append(
            ComparedCount(
                what=what, unit=unit, promised=said.value, low=low, high=high, reported=reported, step=step,
                match=_match((said.value, low, high), reported, step),
            )
        )  # fmt: skip
    return tuple(rows)


def _taken(promise: Bill, device: str, kind: FigureKind) -> tuple[float, float, float]:
    """Weights with adapters (both are loaded then), or graphs, of one device on the bill."""
    if kind == "graphs":
        lines = [x for x in promise.lines if x.device == device and x.label == "CUDA graphs"]
        share = 0.0
    else:
        lines = [x for x in promise.lines if x.device == device and x.component in ("weights", "adapters")]
        share = LOADED_SHARE
    value = sum(x.size_bytes for x in lines)
    low, high = sum(x.low_bytes for x in lines), sum(x.high_bytes for x in lines)
    return value, low * (1 - share), high * (1 + share)


def _slack(promise: Bill) -> float:
    """What loading may take beyond the tensors of the fullest device, which its pool lacks then."""
    by_device: dict[str, int] = {}
    for line in promise.lines:
        if line.component == "weights":
            by_device[line.device] = by_device.get(line.device, 0) + line.size_bytes
    return LOADED_SHARE * max(by_device.values(), default=0)


def _pools(promise: Bill, estimates: tuple[Estimate, ...]) -> dict[FigureKind, tuple[float, float, float]]:
    """(value, low, high) of the pools: SGLang's estimate holds the states, which it logs apart."""
    said = {e.quantity: (e.value, min(e.low, e.high), max(e.low, e.high)) for e in estimates}
    pool = said.get("kv_pool_bytes")
    if pool is None:
        return {}
    states, slack = said.get("state_pool_bytes", (0.0, 0.0, 0.0)), _slack(promise)
    rest = (pool[0] - states[0], pool[1] - states[1] - slack, pool[2] - states[2])
    if not states[2]:
        return {"kv_pool": rest}
    return {"kv_pool": rest, "state_pool": (states[0], states[1] - slack, states[2])}


def _row(
    kind: FigureKind, device: str, promised: tuple[float, float, float], figure: Figure | None, *,
    is_room: bool = False,
) -> Compared:  # fmt: skip
    reported, step = (None, 0.0) if figure is None else (figure.value, figure.step)
    value, low, high = promised
    return Compared(
        what=_WORDS[kind], device=device, promised_bytes=round(value), low_bytes=round(low),
        high_bytes=round(high), reported_bytes=None if reported is None else round(reported),
        step_bytes=round(step), match=_match(promised, reported, step), is_room=is_room,
    )  # fmt: skip


def _match(promised: tuple[float, float, float], reported: float | None, step: float) -> Match:
    if reported is None:
        return "not reported"
    value, low, high = promised
    if abs(value - reported) <= step:
        return "equal"
    if low - step <= reported <= high + step:
        return "within"
    return "more" if reported > high else "less"


def _devices(deployment: Deployment) -> tuple[str, ...]:
    """Ids of the ranks' devices, in their order."""
    setup = sglang_setup if deployment.runtime.id == "sglang" else vllm_setup
    return tuple(d.id for d in setup(deployment).devices)


def _device(figure: Figure, devices: tuple[str, ...], deployment: Deployment) -> str:
    """The device of a figure's rank; the first where it names none of ours."""
    setup = sglang_setup if deployment.runtime.id == "sglang" else vllm_setup
    parts = {name: int(number) for name, number in _PART.findall(figure.rank)}
    index = parts.get("PP", 0) * setup(deployment).tensor_parallel + parts.get("TP", 0)
    return devices[index] if index < len(devices) else devices[0]
