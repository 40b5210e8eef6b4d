"""What a running engine reports, held against what was promised, line by line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from plimsoll.domain.bill import HOST, Bill, Line
from plimsoll.domain.deployment import Deployment
from plimsoll.domain.engine_log import Buffer, BufferKind, EngineLog
from plimsoll.domain.launch import Compared, Match
from plimsoll.runtimes.layer_split import devices_of
from plimsoll.runtimes.llama_cpp.launch import buffer_of
from plimsoll.runtimes.llama_cpp.settings import flag

_WORDS: dict[BufferKind, str] = {
    "weights": "weights", "kv": "KV cache", "state": "recurrent state", "compute": "compute buffer",
    "output": "output buffer", "adapters": "adapters",
}  # fmt: skip


def compare(promise: Bill, deployment: Deployment, log: EngineLog) -> tuple[Compared, ...]:
    """One row per kind of buffer and device that was promised or reported, a draft model's with its target's.

    llama.cpp prints hundredths of a MiB: what differs by less than the printed digit says is equal.
    """
    is_cut = foreign_splits_count(deployment, log) > 0
    promised = _grouped_lines(promise.lines)
    reported = _grouped_buffers((*log.target_buffers, *log.buffers), _devices(deployment))
    rows = []
    for kind in _WORDS:
        for device in (*(d.id for d in deployment.machine.devices), HOST):
            lines, buffers = promised.get((kind, device), []), reported.get((kind, device), [])
            if lines or buffers:
                rows.append(_row(kind, device, lines, buffers, is_cut))
    return tuple(row for row in rows if row.promised_bytes or row.reported_bytes)


def foreign_splits_count(deployment: Deployment, log: EngineLog) -> int:
    """Parts of the graph beyond one for the host and each device: operations that a device has not got and
    the host computes. 0 where weights or caches in host memory cut the graph anyway."""
    offload, used = deployment.offload, devices_of(deployment)
    count = offload.gpu_layers_count
    is_whole = count is None or count > len(deployment.model.layers)
    is_placed = offload.cpu_expert_layers_count or offload.overrides or not flag(deployment, "offload_kqv")
    if not used or not is_whole or is_placed or log.splits_count is None:
        return 0
    return max(log.splits_count - len(used) - 1, 0)


def _row(
    kind: BufferKind, device: str, lines: list[Line], buffers: list[Buffer], is_cut: bool
) -> Compared:  # fmt: skip
    promised = sum(x.size_bytes for x in lines)
    low, high = sum(x.low_bytes for x in lines), sum(x.high_bytes for x in lines)
    reported = sum(b.size_bytes for b in buffers) if buffers else None
    step = sum(b.step_bytes for b in buffers)
    match = _match(promised, low, high, reported, step)
    return Compared(
        what=_WORDS[kind], device=device, promised_bytes=promised, low_bytes=low, high_bytes=high,
        reported_bytes=reported, step_bytes=step, match=match,
        reason=_reason(kind, buffers, is_cut) if match == "more" else "",
    )  # fmt: skip


def _match(promised: int, low: int, high: int, reported: int | None, step: int) -> Match:
    if reported is None:
        return "not reported"
    if abs(promised - reported) <= step:
        return "equal"
    if low - step <= reported <= high + step:
        return "within"
    return "more" if reported > high else "less"


def _reason(kind: BufferKind, buffers: list[Buffer], is_cut: bool) -> str:
    """Why more may be reported although the promise is right."""
    if kind == "compute" and is_cut:
        return "a device lacks an operation of this model, which the host computes: data goes to and fro"
    if kind == "weights" and any("REPACK" in b.name or b.name == "AMX" for b in buffers):
        return "the processor keeps a second copy of weights in the order it likes; --no-repack forbids it"
    if kind == "weights" and any(b.name.endswith("_Mapped") for b in buffers):
        return "a mapped file counts from its first to its last tensor of the device, with what lies between"
    return ""


def _grouped_lines(lines: Iterable[Line]) -> Mapping[tuple[BufferKind, str], list[Line]]:
    groups: dict[tuple[BufferKind, str], list[Line]] = {}
    for line in lines:
        kind = _kind(line)
        if kind is not None:
            groups.setdefault((kind, line.device), []).append(line)
    return groups


def _kind(line: Line) -> BufferKind | None:
    """The kind of buffer a line of the bill is logged as; None for what llama.cpp does not count."""
    if line.component == "compute":
        return "output" if line.label == "output buffer" else "compute"
    kinds: dict[str, BufferKind] = {
        "weights": "weights",
        "kv": "kv",
        "state": "state",
        "adapters": "adapters",
    }
    return kinds.get(line.component)


def _devices(deployment: Deployment) -> Mapping[str, str]:
    """llama.cpp's buffer names of the machine's devices -> their ids."""
    devices = deployment.machine.devices
    names = {buffer_of(d, devices): d.id for d in devices}
    metal = [d.id for d in devices if d.backend == "metal"]
    return {**names, **({"Metal": metal[0]} if metal else {})}


def _grouped_buffers(
    buffers: Iterable[Buffer], devices: Mapping[str, str]
) -> Mapping[tuple[BufferKind, str], list[Buffer]]:
    groups: dict[tuple[BufferKind, str], list[Buffer]] = {}
    for buffer in buffers:
        name = buffer.name.removesuffix("_Mapped").removesuffix("_Split").removesuffix("_Private")
        groups.setdefault((buffer.kind, devices.get(name, HOST)), []).append(buffer)
    return groups
