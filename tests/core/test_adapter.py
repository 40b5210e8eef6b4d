"""Verdicts on adapters equal what PEFT did with them (tests/ghost/adapted.py records it)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from plimsoll.core.adapter import check
from plimsoll.core.adapter_uses import uses
from plimsoll.domain.adapter import AdapterCheck
from plimsoll.parse.adapter import adapter_from_peft
from plimsoll.parse.config import model_from_config
from plimsoll.parse.safetensors import SafetensorsHeader, StoredTensor
from tests.ghost.adapted import read_recorded

RECORDED = read_recorded()
ROWS = [(family, name) for family in RECORDED for name in RECORDED[family]["cases"]]
_FORMATS = {"float32": ("f32", 4), "bfloat16": ("bf16", 2)}


def header_of(tensors: list[Any]) -> SafetensorsHeader:
    """The header that a file with these tensors has."""
    rows, at = [], 8
    for name, shape, dtype, _ in tensors:
        format_name, width = _FORMATS[dtype]
        size = width
        for dim in shape:
            size *= dim
        rows.append(StoredTensor(name, tuple(shape), format_name, size, at))
        at += size
    return SafetensorsHeader(
        name="adapter_model.safetensors", tensors=tuple(rows), metadata={}, size_bytes=8, file_bytes=at
    )


def verdict_of(family: str, name: str) -> AdapterCheck:
    row = RECORDED[family]["cases"][name]
    adapter = adapter_from_peft(
        row["config"], header_of(row["tensors"]), id=name,
        seen={t[0] for t in row["tensors"]}, zero={t[0] for t in row["tensors"] if t[3]},
    )  # fmt: skip
    return check(adapter, model_from_config(RECORDED[family]["config"], id=family))


@pytest.mark.parametrize(("family", "name"), ROWS, ids=[f"{f}: {n}" for f, n in ROWS])
def test_the_verdict_is_what_peft_does(family: str, name: str) -> None:
    engine = RECORDED[family]["cases"][name]["peft"]
    found = verdict_of(family, name)
    outcome = {
        "load_error": "load_error",
        "changes_nothing": "unchanged",
        "works": "changed",
        "partly": "changed",
    }
    assert outcome[found.verdict] == engine["outcome"], (found.reason, engine)
    if engine["outcome"] == "changed":
        is_whole = not engine["ignored"] and not engine["missing"]
        assert (found.verdict == "works") == is_whole, (found.reason, engine)


LOADED = [(f, n) for f, n in ROWS if RECORDED[f]["cases"][n]["peft"]["outcome"] != "load_error"]


@pytest.mark.parametrize(("family", "name"), [r for r in LOADED if r[1].startswith("right")])
def test_what_peft_keeps_in_memory_is_f32_whatever_the_file_holds(family: str, name: str) -> None:
    row = RECORDED[family]["cases"][name]
    adapter = adapter_from_peft(row["config"], header_of(row["tensors"]), id=name)
    said = next(use for use in uses(adapter, None) if use.runtime == "transformers")
    assert said.resident_bytes == row["peft"]["bytes"]


def test_at_least_a_third_of_the_cases_do_not_simply_work() -> None:
    outcomes = [RECORDED[f]["cases"][n]["peft"]["outcome"] for f, n in ROWS]
    assert len(RECORDED) == 10
    assert outcomes.count("load_error") > 100
    assert outcomes.count("unchanged") > 60


def test_a_shared_expert_is_left_out_when_old_experts_are_stacked() -> None:
    found = verdict_of("qwen3_next", "old experts")
    left = {m.module for m in found.modules if m.outcome == "ignored"}
    assert found.verdict == "partly"
    assert "model.layers.0.mlp.shared_expert.gate_proj" in left


def test_a_peft_adapter_on_a_gguf_is_unknown() -> None:
    row = RECORDED["llama"]["cases"]["right"]
    adapter = adapter_from_peft(row["config"], header_of(row["tensors"]), id="right")
    model = replace(model_from_config(RECORDED["llama"]["config"], id="m"), naming="gguf")
    assert check(adapter, model).verdict == "unknown"
