"""Verdicts on GGUF adapters equal what llama.cpp did with them (tests/ghost/adapted_gguf.py records it)."""

from __future__ import annotations

from typing import Any

import pytest

from plimsoll.core.adapter import check
from plimsoll.core.adapter_uses import uses
from plimsoll.domain.adapter import AdapterTensor, LoraAdapter
from plimsoll.parse.adapter import adapter_from_peft
from plimsoll.parse.config import model_from_config
from tests.core.test_adapter import header_of
from tests.ghost.adapted import NOISE
from tests.ghost.adapted_gguf import read_recorded

RECORDED = read_recorded()
ROWS = [(family, name) for family in RECORDED for name in RECORDED[family]["cases"]]
LOADED = [(f, n) for f, n in ROWS if "llama_cpp" in RECORDED[f]["cases"][n]]


def gguf_of(row: dict[str, Any]) -> LoraAdapter:
    tensors = tuple(
        AdapterTensor(
            name=name, module=name.rpartition(".")[0], part="a" if name.endswith("_a") else "b",
            shape=tuple(shape), format=kind, size_bytes=0, is_zero=is_zero,
        )
        for name, shape, kind, is_zero in row["tensors"]
    )  # fmt: skip
    return LoraAdapter(
        id="a", naming="gguf", base="", architecture=row["architecture"], rank=4, alpha=row["alpha"],
        tensors=tensors, file_bytes=0,
    )  # fmt: skip


@pytest.mark.parametrize(("family", "name"), LOADED, ids=[f"{f}: {n}" for f, n in LOADED])
def test_the_verdict_is_what_llama_cpp_does(family: str, name: str) -> None:
    row = RECORDED[family]["cases"][name]
    model = model_from_config(RECORDED[family]["config"], id=family)
    found = check(gguf_of(row["gguf"]), model)
    outcome = {
        "load_error": "load_error",
        "changes_nothing": "unchanged",
        "works": "changed",
        "partly": "changed",
    }
    assert outcome[found.verdict] == row["llama_cpp"]["outcome"], (found.reason, row["llama_cpp"])


@pytest.mark.parametrize(("family", "name"), ROWS, ids=[f"{f}: {n}" for f, n in ROWS])
def test_what_is_said_of_llama_cpp_is_what_conversion_gives(family: str, name: str) -> None:
    row = RECORDED[family]["cases"][name]
    adapter = adapter_from_peft(row["config"], header_of(row["tensors"]), id=name)
    model = model_from_config(RECORDED[family]["config"], id=family)
    said = next(use for use in uses(adapter, model) if use.runtime == "llama_cpp")
    if row["converter"]:
        assert said.verdict in ("unsupported", "unknown"), row["converter"]
        return
    # Stacked by PEFT 0.21.2, pairs of single experts give another answer than added by hand.
    told = row["llama_cpp"].get("merged_difference", row["llama_cpp"].get("peft_difference"))
    # How far the two engines are apart without any effect: gpt-oss's experts become MXFP4 in the GGUF.
    apart = RECORDED[family]["cases"]["zero B"]["llama_cpp"]["peft_difference"]
    if told is not None and name != "zero B":
        assert (said.verdict == "supported") == (told < max(10 * NOISE, 5 * apart)), (said, told)


def test_an_adapter_of_another_architecture_is_refused() -> None:
    row = RECORDED["llama"]["cases"]["right"]["gguf"]
    other = check(
        gguf_of({**row, "architecture": "qwen2"}), model_from_config(RECORDED["llama"]["config"], id="m")
    )
    assert other.verdict == "load_error"
    assert "'qwen2'" in other.reason


def test_half_a_pair_and_a_missing_tensor_are_refused() -> None:
    row = RECORDED["llama"]["cases"]["right"]["gguf"]
    model = model_from_config(RECORDED["llama"]["config"], id="m")
    half = check(gguf_of({**row, "tensors": row["tensors"][1:]}), model)
    assert (half.verdict, "is missing" in half.reason) == ("load_error", True)
    renamed = [[n.replace("blk.1", "blk.9"), *rest] for n, *rest in row["tensors"]]
    assert "no tensor of that name" in check(gguf_of({**row, "tensors": renamed}), model).reason
