# ruff: noqa: E501 (lines of logs are as long as they are)
"""Lines in the formats of several releases, with figures as published, and why a start fails."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.domain.engine_log import EngineLog
from plimsoll.parse.sglang_log import after, read

GIB = 2**30
# Formats of 0.5.9; figures of Qwen2.5-72B in FP8 on an RTX PRO 6000 (teo-ma/rtxpro6000-benchmark, vm_results).
OLD = """\
[2025-12-18 16:24:10] Load weight end. elapsed=20.10 s, type=Qwen2ForCausalLM, dtype=torch.bfloat16, \
avail mem=23.76 GB, mem usage=70.24 GB.
[2025-12-18 16:24:11] KV Cache is allocated. #tokens: 83046, K size: 6.34 GB, V size: 6.34 GB
[2025-12-18 16:24:11] Memory pool end. avail mem=10.61 GB
[2025-12-18 16:24:20] Capture cuda graph end. Time elapsed: 8.04 s. mem usage=0.63 GB. avail mem=9.98 GB.
[2025-12-18 16:24:21] max_total_num_tokens=83046, chunked_prefill_size=8192, max_prefill_tokens=16384, \
max_running_requests=2048, context_len=32768, available_gpu_mem=9.98 GB
[2025-12-18 16:24:23] The server is fired up and ready to roll!
""".splitlines()
# Formats of 0.5.23: a window pool beside the full one, two graphs, ranks.
NEW = """\
[2026-11-02 13:53:21 PP0 TP1] Load weight end. elapsed=312.45 s, type=Gemma4ForConditionalGeneration, \
avail mem=66.05 GB, mem usage=47.23 GB.
[2026-11-02 13:53:23 PP0 TP1] KV Cache is allocated. dtype: torch.bfloat16, #tokens: 171008, K size: 1.00 GB, \
V size: 1.00 GB
[2026-11-02 13:53:23 PP0 TP1] KV Cache is allocated. dtype: torch.bfloat16, #tokens: 213761, K size: 2.00 GB, \
V size: 2.00 GB
[2026-11-02 13:53:23 PP0 TP1] SWAKVPool mem usage: 36.69 GB, swa size: 171008, full size: 213761
[2026-11-02 13:53:50 PP0 TP1] Capture target decode CUDA graph end. bs=[1, 2, 4, 8], elapsed=25.74 s, \
mem usage=2.66 GB, avail mem=24.45 GB.
[2026-11-02 13:53:55 PP0 TP1] Capture target prefill CUDA graph end. elapsed=4.00 s, mem usage=0.34 GB, \
avail mem=24.11 GB.
""".splitlines()


def figures(log: EngineLog) -> dict[tuple[str, str], float]:
    return {(f.kind, f.rank): round(f.value / GIB, 2) if f.value > 10**7 else f.value for f in log.figures}


def test_a_start_is_read_whole() -> None:
    log = read(OLD)
    assert figures(log) == {
        ("weights", ""): 70.24, ("kv_pool", ""): 12.68, ("graphs", ""): 0.63, ("kv_tokens", ""): 83046,
    }  # fmt: skip
    assert log.sequence_tokens == 32768
    assert log.is_ready
    assert log.failure is None


def test_pools_and_graphs_of_one_rank_add_up_once() -> None:
    assert figures(read(NEW)) == {
        ("weights", "PP0 TP1"): 47.23, ("kv_pool", "PP0 TP1"): 36.69, ("window_tokens", "PP0 TP1"): 171008,
        ("graphs", "PP0 TP1"): 3.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "kind", "gib"),
    [
        ("KV Cache is allocated. #tokens: 314304, KV size: 29.32 GB", "kv_pool", 29.32),
        ("KV Cache is allocated. dtype: torch.bfloat16, #tokens: 330323, K size: 10.08 GB, V size: 10.08 GB",
         "kv_pool", 20.16),
        ("Mamba Cache is allocated. max_mamba_cache_size: 124, conv_state size: 0.34GB, ssm_state size: 17.58GB",
         "state_pool", 17.92),
        ("Load weight end. type=BailingMoeV3ForCausalLM, quant=fp8, mem usage=64.88 GB.", "weights", 64.88),
        ("Post-capture KV sizing: KV cache allocated. dtype: torch.bfloat16, #tokens: 9, KV size: 2.50 GB, "
         "avail mem=1.00 GB", "kv_pool", 2.5),
    ],
)  # fmt: skip
def test_lines_as_published(line: str, kind: str, gib: float) -> None:
    assert figures(after(EngineLog(), line)) == {(kind, ""): gib}


def test_a_draft_that_gives_memory_back_is_added_as_logged() -> None:
    lines = ["Load weight end. elapsed=787.55 s, mem usage=82.97 GB.",
             "Load weight end. elapsed=94.49 s, mem usage=-1.86 GB."]  # fmt: skip
    assert figures(read(lines)) == {("weights", ""): 81.11}


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("RuntimeError: Not enough memory. Please try to increase --mem-fraction-static.", "memory"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", "memory"),
        ("launch_server.py: error: unrecognized arguments: --nope", "flag"),
        ("[2026-11-02 13:53:23 TP0] Scheduler hit an exception: Traceback", "other"),
    ],
)
def test_failures_have_a_kind(line: str, kind: str) -> None:
    found = after(EngineLog(), line).failure
    assert found is not None
    assert found.kind == kind


@given(st.lists(st.text(max_size=200), max_size=20))
def test_any_text_is_read(lines: list[str]) -> None:
    read(lines)
