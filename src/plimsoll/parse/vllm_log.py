"""What a vLLM log says: memory taken and offered per rank, tokens, readiness, and why it ended.

Lines as formatted by vllm/v1/worker/gpu_model_runner.py, gpu/model_runner.py, gpu_worker.py and
v1/core/kv_cache_utils.py of vLLM 0.11.0, 0.31.0 and 0.33.0, and "Loading model weights took" of the V0 engine
(0.6, in GiB although it prints GB). 0.11 prints tokens and concurrency on two lines, 0.31 on one. A worker's
line begins with its name, '(Worker_TP1 pid=7)' or, in early V1 releases, '(VllmWorker rank=1 pid=7)'.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from plimsoll.domain.engine_log import EngineLog, FailureKind, Figure, FigureKind
from plimsoll.parse.engine_log import LONGEST_LINE, read_with, with_failure

_GIB = 1024**3
_COLOUR = re.compile(r"\x1b\[[0-9;]{0,12}m")
_RANK = re.compile(r"\((?:Vllm)?Worker(?:_|\s+rank=)([A-Z0-9_]{1,40})\s+pid=")
_PARTS = re.compile(r"(PP|TP)(\d{1,4})")
_GIGABYTES = r"(-?\d{1,6}(?:\.\d{1,6})?) ?Gi?B"
_BYTES: tuple[tuple[FigureKind, re.Pattern[str]], ...] = (
    ("weights", re.compile(rf"[Ll]oading (?:model )?(?:weights )?took {_GIGABYTES}")),
    ("kv_pool", re.compile(rf"Available KV cache memory: {_GIGABYTES}")),
    ("graphs", re.compile(rf"Graph capturing finished in \d{{1,6}} secs?, took {_GIGABYTES}")),
)
_TOKENS = re.compile(r"[A-Z]{2,8}(?: \+ host)? KV cache size: ([\d,]{1,16}) tokens")
_CONCURRENCY = re.compile(
    r"Maximum concurrency for ([\d,]{1,14}) tokens per request: (\d{1,9}(?:\.\d{1,4})?)x"
)
_READY = "Application startup complete"
# What stands in a log when it ends there; the first that is found names the cause.
_FAILURES: tuple[tuple[FailureKind, str], ...] = (
    ("memory", r"CUDA out of memory|HIP out of memory|OutOfMemoryError|Free memory on device .{0,80}less than"
               r"|No available memory for the cache blocks|KV cache is needed, which is larger than"
               r"|larger than the maximum number of tokens that can be stored in KV cache"),
    ("port", r"address already in use"),
    ("architecture", r"Model architectures \[.{0,200}\] (?:are not supported|failed to be inspected)"
                     r"|does not recognize this architecture"),
    ("file", r"is not a local folder and is not a valid model identifier|Can't load the configuration of"
             r"|Cannot find any model weights|Invalid repository ID or local directory"),
    ("flag", r"vllm(?: serve)?: error: |unrecognized arguments"),
    ("other", r"Engine core initialization failed|EngineCore failed to start"),
)  # fmt: skip
_FAILURE = tuple((kind, re.compile(pattern)) for kind, pattern in _FAILURES)


def read(lines: Iterable[str]) -> EngineLog:
    """The whole log, line by line."""
    return read_with(after, lines)


def after(log: EngineLog, line: str) -> EngineLog:
    """The log with one more line. A figure logged again replaces the last one of its kind and rank."""
    line = _COLOUR.sub("", line[:LONGEST_LINE])
    for kind, pattern in _BYTES:
        if found := pattern.search(line):
            return _with(log, _bytes(kind, rank_of(line), found[1]))
    tokens, concurrency = _TOKENS.search(line), _CONCURRENCY.search(line)
    if tokens is not None and (count := _whole(tokens[1])) is not None:
        log = _with(log, Figure(kind="kv_tokens", rank=rank_of(line), value=count, step=0))
    if concurrency is not None:
        decimals = len(concurrency[2].partition(".")[2])
        requests = Figure(
            kind="concurrency", rank=rank_of(line), value=float(concurrency[2]), step=10.0**-decimals
        )
        log = replace(_with(log, requests), sequence_tokens=_whole(concurrency[1]))
    if tokens is not None or concurrency is not None:
        return log
    if _READY in line:
        return replace(log, is_ready=True)
    return with_failure(log, line, _FAILURE)


def rank_of(line: str) -> str:
    """The rank that a worker's line names: 'PP0 TP1', 'TP1'; '' for a process without one."""
    found = _RANK.search(line)
    if found is None:
        return ""
    if found[1].isdigit():
        return f"TP{found[1]}"
    return " ".join(f"{name}{number}" for name, number in _PARTS.findall(found[1]))


def _whole(text: str) -> int | None:
    digits = text.replace(",", "")
    return int(digits) if digits.isdigit() else None


def _bytes(kind: FigureKind, rank: str, text: str) -> Figure:
    """Gibibytes as bytes; `format_gib` drops closing zeros, so a step is a hundredth at most."""
    decimals = max(2, len(text.partition(".")[2]))
    return Figure(kind=kind, rank=rank, value=round(float(text) * _GIB), step=_GIB / 10**decimals)


def _with(log: EngineLog, new: Figure) -> EngineLog:
    kept = tuple(f for f in log.figures if (f.kind, f.rank) != (new.kind, new.rank))
    return replace(log, figures=(*kept, new)[:4096])
