# ruff: noqa: E501 (lines of logs are as long as they are)
"""Lines in the formats of several releases, with figures as published, and why a start fails."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.domain.engine_log import EngineLog
from plimsoll.parse.vllm_log import after, read

GIB = 2**30
# Formats of 0.33.0 (vllm/logger.py, gpu_model_runner.py, gpu_worker.py, kv_cache_utils.py); figures of
# Gemma-4-26B-A4B on a DGX Spark (jethac/dgx-spark-hijinks, results/vllm_gemma4_26b_a4b_bf16_..._server.log).
NEW = """\
(EngineCore pid=99) INFO 06-07 13:20:01 [gpu_model_runner.py:5089] Model loading took 48.5 GiB memory and 455.9 seconds
(EngineCore pid=99) INFO 06-07 13:22:01 [gpu_worker.py:773] Available KV cache memory: 40.61 GiB
(EngineCore pid=99) INFO 06-07 13:22:02 [kv_cache_utils.py:1148] GPU KV cache size: 177,440 tokens, \
Maximum concurrency for 8,192 tokens per request: 35.75x
(EngineCore pid=99) INFO 06-07 13:22:30 [gpu_model_runner.py:6515] Graph capturing finished in 12 secs, took 0.66 GiB
(APIServer pid=1) INFO:     Application startup complete.
""".splitlines()
# Formats of 0.11.0: digits after the point differ, two lines, a colour around the name of a worker.
OLD = """\
\x1b[1;36m(Worker_TP1 pid=7)\x1b[0;0m INFO 10-02 10:00:00 [gpu_model_runner.py:2653] \
Model loading took 65.9651 GiB and 44.950075 seconds
\x1b[1;36m(Worker_TP0 pid=6)\x1b[0;0m INFO 10-02 10:00:01 [gpu_worker.py:298] Available KV cache memory: 5.00 GiB
\x1b[1;36m(Worker_TP1 pid=7)\x1b[0;0m INFO 10-02 10:00:01 [gpu_worker.py:298] Available KV cache memory: 4.90 GiB
\x1b[1;36m(EngineCore_DP0 pid=5)\x1b[0;0m INFO 10-02 10:00:02 [kv_cache_utils.py:1087] \
GPU KV cache size: 1,934,432 tokens
\x1b[1;36m(EngineCore_DP0 pid=5)\x1b[0;0m INFO 10-02 10:00:02 [kv_cache_utils.py:1091] \
Maximum concurrency for 49,152 tokens per request: 216.94x
""".splitlines()


def figures(log: EngineLog) -> dict[tuple[str, str], float]:
    return {(f.kind, f.rank): f.value for f in log.figures}


def test_a_start_is_read_whole() -> None:
    log = read(NEW)
    assert figures(log) == {
        ("weights", ""): round(48.5 * GIB), ("kv_pool", ""): round(40.61 * GIB), ("kv_tokens", ""): 177440,
        ("concurrency", ""): 35.75, ("graphs", ""): round(0.66 * GIB),
    }  # fmt: skip
    assert log.sequence_tokens == 8192
    assert log.is_ready
    assert log.failure is None


def test_ranks_and_digits_of_an_older_release() -> None:
    log = read(OLD)
    assert figures(log) == {
        ("weights", "TP1"): round(65.9651 * GIB), ("kv_pool", "TP0"): 5 * GIB,
        ("kv_pool", "TP1"): round(4.9 * GIB), ("kv_tokens", ""): 1934432, ("concurrency", ""): 216.94,
    }  # fmt: skip
    assert log.figures[0].step == GIB / 10**4


@pytest.mark.parametrize(
    ("line", "kind", "rank", "value"),
    [
        # https://github.com/vllm-project/vllm/issues/10517 (0.6)
        ("Loading model weights took 14.9888 GB", "weights", "", round(14.9888 * GIB)),
        # https://github.com/vllm-project/vllm/issues/23278
        ("Available KV cache memory: -2.14 GiB", "kv_pool", "", round(-2.14 * GIB)),
        ("(Worker_PP1_TP0_EP0 pid=9) INFO Model loading took 7.43 GiB memory and 6 seconds", "weights",
         "PP1 TP0", round(7.43 * GIB)),
        ("(VllmWorker rank=3 pid=9) INFO Available KV cache memory: 1.5 GiB", "kv_pool", "TP3",
         round(1.5 * GIB)),
    ],
)  # fmt: skip
def test_lines_of_all_years(line: str, kind: str, rank: str, value: float) -> None:
    assert figures(after(EngineLog(), line)) == {(kind, rank): value}


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("ValueError: Free memory on device cuda:0 (14.5/31.36 GiB) on startup is less than desired GPU memory "
         "utilization (0.92, 28.85 GiB).", "memory"),
        ("ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`",
         "memory"),
        ("ValueError: To serve at least one request with the model's max seq len (131072), (4.54 GiB KV cache is "
         "needed, which is larger than the available KV cache memory (1.71 GiB).", "memory"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", "memory"),
        ("[Errno 98] error while attempting to bind on address ('127.0.0.1', 8000): address already in use",
         "port"),
        ("vllm serve: error: unrecognized arguments: --nope", "flag"),
        ("RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}",
         "other"),
    ],
)  # fmt: skip
def test_failures_have_a_kind(line: str, kind: str) -> None:
    found = after(EngineLog(), line).failure
    assert found is not None
    assert found.kind == kind


def test_free_memory_that_suffices_is_no_failure() -> None:
    line = "Free memory on device (94.5/94.97 GiB) on startup. Desired GPU memory utilization is (0.92, 87.37 GiB)."
    assert after(EngineLog(), line).failures == ()


@given(st.lists(st.text(max_size=200), max_size=20))
def test_any_text_is_read(lines: list[str]) -> None:
    read(lines)
