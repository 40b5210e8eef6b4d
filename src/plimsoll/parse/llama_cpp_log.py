"""What a llama.cpp log says: buffers per device, contexts, readiness, and why it ended.

Lines as printed by ggml-org/llama.cpp from 2024 ('llm_load_tensors: CUDA0 buffer size = ...') to b11549
('load_tensors: CUDA0 model buffer size = ...', with a time and a level before it), and by ik_llama.cpp. Since
May 2026 the server prints them with -lv 4 only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from plimsoll.domain.engine_log import Buffer, BufferKind, EngineLog, FailureKind
from plimsoll.parse.engine_log import LONGEST_LINE, read_with, with_failure

_MIB = 1024**2
_BUFFER = re.compile(
    r"(?:^|\s|:)([A-Za-z][\w.]*(?:\(\)|\[[^\]\s]+\])?)\s+(model|KV|RS|compute|output|LoRA|DSV4 \w+ state)?\s*"
    r"buffer size\s*=\s*(\d{1,9}\.\d{1,4}) MiB"
)
_KINDS: dict[str, BufferKind] = {
    "model": "weights", "": "weights", "KV": "kv", "RS": "state", "compute": "compute", "output": "output",
    "LoRA": "adapters",
}  # fmt: skip
_CONTEXT = re.compile(
    r"(?:llama_context|llama_new_context_with_model): (n_ctx|n_ctx_seq|n_ctx_per_seq)\s*= (\d{1,10})\b"
)
_SLOT = re.compile(r"n_slots = (\d{1,6}), n_ctx_slot = (\d{1,10})")
_SPLITS = re.compile(r"graph splits = (\d{1,6})|\bnodes = \d+, splits = (\d{1,6})")
_READY = re.compile(r"\bmodel loaded\b|server is listening on|all slots are idle")
# What stands in a log when it ends there; the first that is found names the cause.
_FAILURES: tuple[tuple[FailureKind, str], ...] = (
    ("memory", r"out of memory|OutOfDeviceMemory|OutOfHostMemory|Device memory allocation of size \d+ failed"
               r"|failed to allocate|unable to allocate|cannot meet free memory target"),
    ("port", r"couldn't bind|bind: Address already in use"),
    ("architecture", r"unknown model architecture|unknown (?:pre-)?tokenizer"),
    ("file", r"failed to open GGUF|gguf_init_from_file\w*: failed|invalid magic|data is not within the file"
             r"|failed to load model from|missing tensor|wrong shape|done_getting_tensors: wrong number"),
    ("flag", r"invalid argument:|unknown value for|error while handling argument|unknown buffer type"
             r"|expected value for argument"),
    ("other", r"error loading model|failed to load model|GGML_ASSERT|exiting due to"),
)  # fmt: skip
_FAILURE = tuple((kind, re.compile(pattern)) for kind, pattern in _FAILURES)


def read(lines: Iterable[str]) -> EngineLog:
    """The whole log, line by line."""
    return read_with(after, lines)


def after(log: EngineLog, line: str) -> EngineLog:
    """The log with one more line. A new context forgets the buffers of the one before, not the weights."""
    line = line[:LONGEST_LINE]
    if "constructing llama_context" in line:
        kept = tuple(b for b in log.buffers if b.kind in ("weights", "adapters"))
        return replace(log, buffers=kept, context_tokens=None, sequence_tokens=None)
    if "loading draft model" in line:
        return replace(log, target_buffers=log.buffers, buffers=())
    if "loading model tensors" in line:
        log = replace(log, buffers=())
    buffer = _BUFFER.search(line)
    if buffer is not None and "self size" not in line:
        return replace(log, buffers=_with(log.buffers, _buffer(buffer)))
    context = _CONTEXT.search(line)
    if context is not None:
        name = "context_tokens" if context[1] == "n_ctx" else "sequence_tokens"
        return replace(log, **{name: int(context[2])})  # type: ignore[arg-type]
    slots = _SLOT.search(line)
    if slots is not None:
        return replace(log, slots_count=int(slots[1]), slot_tokens=int(slots[2]))
    splits = _SPLITS.search(line)
    if splits is not None:
        return replace(log, splits_count=int(splits[1] or splits[2]))
    if _READY.search(line):
        return replace(log, is_ready=True)
    return with_failure(log, line, _FAILURE)


def _buffer(found: re.Match[str]) -> Buffer:
    word = (found[2] or "").strip()
    decimals = len(found[3].partition(".")[2])
    return Buffer(
        kind="state" if word.startswith("DSV4") else _KINDS[word], name=found[1],
        size_bytes=round(float(found[3]) * _MIB), step_bytes=-(-_MIB // 10**decimals),
    )  # fmt: skip


def _with(buffers: tuple[Buffer, ...], new: Buffer) -> tuple[Buffer, ...]:
    """A compute or output buffer is reserved anew in place of the last one; all others come on top."""
    if new.kind in ("compute", "output"):
        buffers = tuple(b for b in buffers if (b.kind, b.name) != (new.kind, new.name))
    return (*buffers, new)
