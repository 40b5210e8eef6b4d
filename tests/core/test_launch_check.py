"""Our promise beside what the real engine logged for the very command (recorded), and odd reports."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bench import launch_llama_cpp as proof
from plimsoll.core.launch_check import compare, foreign_splits_count
from plimsoll.domain.engine_log import Buffer, EngineLog
from plimsoll.domain.launch import LaunchAnswer
from tests.ghost.tiny import write_header

MIB = 2**20


@cache
def records(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(gzip.decompress(path.read_bytes()))["records"]
    return found


def answer_for(record: dict[str, Any], folder: Path) -> LaunchAnswer:
    """What we say now for the model and question of a record."""
    is_device = record["case"] in proof.ON_DEVICES
    recipe, fields = ("f16", {}) if is_device else proof.ON_PROCESSOR[record["case"]]
    path = folder / proof.MODEL
    write_header(path, record["family"], recipe)
    if not is_device:
        return proof.answer_for(path, proof.PROCESSOR, fields)
    count, fields = proof.ON_DEVICES[record["case"]]
    machine = folder / "machine.toml"
    machine.write_text(proof.DEVICE_FILE + f"count = {count}\n")
    return proof.answer_for(path, str(machine), fields, runtime=f"llama.cpp=={proof.DEVICE_VERSION}")


@pytest.mark.parametrize("family", sorted({r["family"] for r in records(proof.RECORDED)}))
def test_the_engine_started_every_command_and_reported_what_was_promised(family: str, tmp_path: Path) -> None:
    for record in records(proof.RECORDED):
        if record["family"] != family:
            continue
        answer = answer_for(record, tmp_path)
        if "refused" in record:
            assert answer.command is None
            continue
        assert record["outcome"] == "ready"
        assert answer.command is not None
        words = list(answer.command.arguments[1:])
        words[words.index("-m") + 1] = proof.MODEL
        assert words == record["words"], record["case"]
        rows = compare(answer.promise, answer.deployments[0], proof.log_of(record))
        assert {row.match for row in rows} == {"equal"}, (record["case"], rows)
        # A slot holds the context that was asked for, also beyond the trained one.
        assert record["slot_tokens"] >= answer.deployments[0].workload.context_tokens


# Families with an operation that the software device lacks: their graph is cut, and buffers grow.
CUT = {"deepseek_v3", "falcon_h1", "granitemoehybrid"}
QUICK = ("llama", "qwen3_moe", "deepseek_v3", "qwen3_next")


def test_the_families_that_are_cut() -> None:
    found = records(proof.RECORDED_DEVICES)
    assert {r["family"] for r in found if r["case"] == "all on one" and r["splits"] > 2} == CUT
    assert {r["outcome"] for r in found} == {"ready"}


@pytest.mark.parametrize(
    "family",
    [pytest.param(f, marks=() if f in QUICK else pytest.mark.slow) for f in proof.DEVICE_FAMILIES],
)
def test_on_devices_only_compute_buffers_and_mapped_files_differ(family: str, tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    for record in records(proof.RECORDED_DEVICES):
        if record["family"] != family:
            continue
        answer = answer_for(record, tmp_path)
        for row in compare(answer.promise, answer.deployments[0], proof.log_of(record)):
            where = (record["case"], row)
            counts[row.match] += 1
            assert row.match != "more" or row.reason or family in CUT, where
            assert row.what in ("compute buffer", "weights") or row.match == "equal", where
            assert row.what != "weights" or row.match == "equal" or row.reason, where
    assert counts["equal"] >= 30


def _answer(tmp_path: Path, **fields: Any) -> LaunchAnswer:
    path = tmp_path / "x.gguf"
    write_header(path, "llama", "f16")
    (tmp_path / "m.toml").write_text(proof.DEVICE_FILE)
    return proof.answer_for(path, str(tmp_path / "m.toml"), {"context_tokens": 4096, **fields})


def test_what_is_not_reported_and_what_was_not_promised_are_rows(tmp_path: Path) -> None:
    answer = _answer(tmp_path)
    nothing = compare(answer.promise, answer.deployments[0], EngineLog())
    assert nothing
    assert {row.match for row in nothing} == {"not reported"}
    surprise = EngineLog(buffers=(Buffer(kind="state", name="Vulkan0", size_bytes=MIB, step_bytes=1),))
    (row,) = [
        r for r in compare(answer.promise, answer.deployments[0], surprise) if r.what == "recurrent state"
    ]
    assert (row.promised_bytes, row.reported_bytes, row.match) == (0, MIB, "more")


def test_a_digit_is_not_a_difference(tmp_path: Path) -> None:
    answer = _answer(tmp_path)
    (line,) = [x for x in answer.promise.lines if x.component == "kv"]
    exact = Buffer(kind="kv", name="Vulkan0", size_bytes=line.size_bytes, step_bytes=10486)
    for shift, match in ((0, "equal"), (10000, "equal"), (11000, "more"), (-11000, "less")):
        log = EngineLog(buffers=(replace(exact, size_bytes=exact.size_bytes + shift),))
        rows = compare(answer.promise, answer.deployments[0], log)
        assert next(r for r in rows if r.what == "KV cache").match == match


def test_a_graph_that_is_cut_too_often_explains_larger_buffers(tmp_path: Path) -> None:
    answer = _answer(tmp_path)
    promised = sum(
        x.size_bytes for x in answer.promise.lines if x.component == "compute" and x.device == "gpu0"
    )
    large = Buffer(kind="compute", name="Vulkan0", size_bytes=3 * promised, step_bytes=1)
    for splits, is_told in ((2, False), (8, True)):
        log = EngineLog(buffers=(large,), splits_count=splits)
        assert foreign_splits_count(answer.deployments[0], log) == splits - 2
        (row,) = [r for r in compare(answer.promise, answer.deployments[0], log) if r.device == "gpu0"
                  and r.what == "compute buffer"]  # fmt: skip
        assert row.match == "more"
        assert bool(row.reason) is is_told
    experts = _answer(tmp_path, cpu_expert_layers_count=1).deployments[0]
    assert foreign_splits_count(experts, EngineLog(splits_count=9)) == 0
