"""What vLLM and SGLang report beside the promise: ranks, pools, states, and what nobody reported."""

from __future__ import annotations

from functools import cache

import pytest

from plimsoll.ask.fit import FitQuestion
from plimsoll.ask.launch import LaunchQuestion, launch
from plimsoll.core.launch_figures import LOADED_SHARE, compare, compare_counts
from plimsoll.domain.engine_log import EngineLog, Figure
from plimsoll.domain.launch import Compared, LaunchAnswer

MIB = 2**20


@cache
def answer_of(runtime: str, model: str = "Qwen/Qwen3-8B") -> LaunchAnswer:
    question = FitQuestion(models=(model,), on="2x rtx-3090", runtime=runtime, context_tokens=8192,
                           offline=True)  # fmt: skip
    return launch(LaunchQuestion(fit=question))


def rows_of(answer: LaunchAnswer, *figures: Figure) -> dict[tuple[str, str], Compared]:
    log = EngineLog(figures=figures)
    rows = compare(answer.promise, answer.estimates, answer.deployments[0], log)
    return {(row.device, row.what): row for row in rows}


def estimate(answer: LaunchAnswer, name: str) -> float:
    return next(e.value for e in answer.estimates if e.quantity == name)


def weights(answer: LaunchAnswer, device: str) -> int:
    return sum(x.size_bytes for x in answer.promise.lines if x.device == device and x.component == "weights")


@pytest.mark.parametrize("runtime", ["vllm", "sglang"])
def test_a_rank_is_a_device_and_the_pool_is_that_of_the_tightest(runtime: str) -> None:
    answer = answer_of(runtime)
    pool = estimate(answer, "kv_pool_bytes")
    rows = rows_of(
        answer,
        Figure(kind="weights", rank="TP0", value=weights(answer, "gpu0"), step=MIB),
        Figure(kind="weights", rank="TP1", value=weights(answer, "gpu1") * 1.1, step=MIB),
        Figure(kind="kv_pool", rank="TP0", value=pool + MIB, step=MIB),
        Figure(kind="kv_pool", rank="TP1", value=pool, step=MIB),
    )
    assert rows["gpu0", "loaded weights"].match == "equal"
    assert rows["gpu1", "loaded weights"].match == "more"
    assert rows["gpu1", "loaded weights"].is_worse
    assert rows["gpu1", "KV pool"].match == "equal"
    assert ("gpu0", "KV pool") not in rows


@pytest.mark.parametrize(
    ("share", "match"), [(0.9, "within"), (1.5, "more"), (-0.9, "within"), (-1.5, "less")]
)
def test_what_the_allocator_rounds_is_within(share: float, match: str) -> None:
    answer = answer_of("vllm")
    value = weights(answer, "gpu0") * (1 + share * LOADED_SHARE)
    rows = rows_of(answer, Figure(kind="weights", rank="TP0", value=value, step=1))
    assert rows["gpu0", "loaded weights"].match == match


def test_less_room_is_worse_and_more_is_not() -> None:
    answer = answer_of("vllm")
    for factor, is_worse in ((0.1, True), (3.0, False)):
        value = factor * estimate(answer, "kv_pool_bytes")
        row = rows_of(answer, Figure(kind="kv_pool", rank="", value=value, step=1))["gpu0", "KV pool"]
        assert row.is_worse is is_worse
        log = EngineLog(
            figures=(
                Figure(kind="kv_tokens", rank="", value=factor * estimate(answer, "kv_cache_tokens"), step=0),
            )
        )
        (count,) = compare_counts(answer.promise, answer.estimates, log)
        assert count.is_worse is is_worse


def test_sglang_logs_states_beside_the_pool() -> None:
    answer = answer_of("sglang", "Qwen/Qwen3.5-9B")
    pool, states = estimate(answer, "kv_pool_bytes"), estimate(answer, "state_pool_bytes")
    assert states > 0
    rows = rows_of(
        answer,
        Figure(kind="kv_pool", rank="TP0", value=pool - states, step=MIB),
        Figure(kind="state_pool", rank="TP0", value=states, step=MIB),
    )
    assert rows["gpu0", "KV pool"].match == "equal"
    assert rows["gpu0", "state pool"].match == "equal"


def test_what_nobody_reported_is_a_row() -> None:
    answer = answer_of("vllm")
    rows = rows_of(answer)
    assert {row.match for row in rows.values()} == {"not reported"}
    assert {what for _, what in rows} == {"loaded weights", "CUDA graphs", "KV pool"}
    (count,) = compare_counts(answer.promise, answer.estimates, EngineLog())
    assert (count.what, count.match) == ("KV cache", "not reported")
