"""What an SGLang log says: memory taken and offered per rank, tokens, readiness, and why it ended.

Lines as formatted by srt/model_executor/model_runner.py, srt/mem_cache/memory_pool.py, swa_memory_pool.py,
cuda_graph_setup.py, kv_pool_runtime.py and srt/managers/scheduler.py of SGLang 0.5.9, 0.5.16 and 0.5.23. It
prints GiB as "GB". A line of a rank begins with '[2026-08-28 21:34:15 PP0 TP1]'.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from plimsoll.domain.engine_log import EngineLog, FailureKind, Figure, FigureKind
from plimsoll.parse.engine_log import LONGEST_LINE, read_with, with_failure

_GIB = 1024**3
_STAMP = re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})?((?: [A-Z_]{2,12}\d{1,4}){0,8})\]")
_PARTS = re.compile(r"(?<![A-Z_])(?:PP|TP)\d{1,4}")
_GIGABYTES = r"(-?\d{1,6}(?:\.\d{1,4})?) ?GB"
_WEIGHTS = re.compile(rf"Load weight end\..{{0,600}}?\bmem usage={_GIGABYTES}")
# A mixture of windows has two pools and logs each; the lines of a draft's cache begin with its name.
_POOL = re.compile(
    rf"KV Cache is allocated\..{{0,80}}?#tokens: (\d{{1,13}}), (?:K size: {_GIGABYTES}, V size: {_GIGABYTES}"
    rf"|KV size: {_GIGABYTES})"
)
_POOL_AT_LAST = re.compile(
    rf"Post-capture KV sizing: KV cache allocated\..{{0,80}}?#tokens: (\d{{1,13}}), KV size: {_GIGABYTES}"
)
_WINDOWS = re.compile(rf"SWAKVPool mem usage: {_GIGABYTES}, swa size: (\d{{1,13}}), full size: (\d{{1,13}})")
_STATES = re.compile(
    rf"Mamba Cache is allocated\..{{0,120}}?conv_state size: {_GIGABYTES}, ssm_state size: {_GIGABYTES}"
)
_GRAPHS = re.compile(rf"Capture .{{0,60}}?graph end\..{{0,3000}}?\bmem usage={_GIGABYTES}", re.IGNORECASE)
_TOKENS = re.compile(r"\bmax_total_num_tokens=(\d{1,13}), chunked_prefill_size=")
_CONTEXT = re.compile(r"\bcontext_len=(\d{1,10})\b")
_READY = "The server is fired up and ready to roll"
# What stands in a log when it ends there; the first that is found names the cause.
_FAILURES: tuple[tuple[FailureKind, str], ...] = (
    ("memory", r"CUDA out of memory|HIP out of memory|OutOfMemoryError|Not enough memory\. Please try to"
               r"|Capture cuda graph failed: .{0,80}memory"),
    ("port", r"address already in use|[Pp]ort \d+ is (?:already )?in use"),
    ("architecture", r"Model architectures \[.{0,200}\] are not supported"
                     r"|does not recognize this architecture"),
    ("file", r"is not a local folder and is not a valid model identifier|Cannot find any model weights"),
    ("flag", r"launch_server\.py: error: |unrecognized arguments"),
    ("other", r"Scheduler hit an exception|Initialization failed"),
)  # fmt: skip
_FAILURE = tuple((kind, re.compile(pattern)) for kind, pattern in _FAILURES)


def read(lines: Iterable[str]) -> EngineLog:
    """The whole log, line by line."""
    return read_with(after, lines)


def after(log: EngineLog, line: str) -> EngineLog:
    """The log with one more line. Weights, pools and graphs of one rank add up: a draft model, window layers
    and prefill graphs are logged on lines of their own; what a line sums up replaces them."""
    line = line[:LONGEST_LINE]
    rank = rank_of(line)
    if found := _WEIGHTS.search(line):
        return _plus(log, _bytes("weights", rank, found[1]))
    if found := _POOL.search(line):
        return _plus(log, _bytes("kv_pool", rank, *(x for x in found.groups()[1:] if x)))
    if found := _POOL_AT_LAST.search(line):
        return _with(log, _bytes("kv_pool", rank, found[2]))
    if found := _WINDOWS.search(line):
        log = _with(log, _bytes("kv_pool", rank, found[1]))
        return _with(log, Figure(kind="window_tokens", rank=rank, value=int(found[2]), step=0))
    if found := _STATES.search(line):
        return _plus(log, _bytes("state_pool", rank, found[1], found[2]))
    if found := _GRAPHS.search(line):
        return _plus(log, _bytes("graphs", rank, found[1]))
    if found := _TOKENS.search(line):
        context = _CONTEXT.search(line)
        log = replace(log, sequence_tokens=int(context[1]) if context else None)
        return _with(log, Figure(kind="kv_tokens", rank=rank, value=int(found[1]), step=0))
    if _READY in line:
        return replace(log, is_ready=True)
    return with_failure(log, line, _FAILURE)


def rank_of(line: str) -> str:
    """The rank that a line's stamp names: 'PP0 TP1', 'TP1'; '' for a single process."""
    found = _STAMP.search(line)
    return " ".join(_PARTS.findall(found[1])) if found else ""


def _bytes(kind: FigureKind, rank: str, *texts: str) -> Figure:
    """The sum of printed gibibytes as bytes, and what their last digits are worth together."""
    decimals = min(len(text.partition(".")[2]) for text in texts)
    return Figure(
        kind=kind, rank=rank, value=round(sum(float(text) for text in texts) * _GIB),
        step=len(texts) * _GIB / 10**decimals,
    )  # fmt: skip


def _plus(log: EngineLog, new: Figure) -> EngineLog:
    before = [f for f in log.figures if (f.kind, f.rank) == (new.kind, new.rank)]
    value, step = new.value + sum(f.value for f in before), new.step + sum(f.step for f in before)
    return _with(log, replace(new, value=value, step=step))


def _with(log: EngineLog, new: Figure) -> EngineLog:
    kept = tuple(f for f in log.figures if (f.kind, f.rank) != (new.kind, new.rank))
    return replace(log, figures=(*kept, new)[:4096])
