"""PEFT still does what is recorded: a few of the cases, asked again."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from tests.ghost.adapted import make, peft_outcome, read_recorded, row_of
from tests.ghost.adapter_cases import FAMILIES, cases_of

ASKED = [
    ("llama", "right"), ("llama", "without prefix"), ("llama", "wrong rank"), ("llama", "zero B"),
    ("llama", "other hidden size"), ("qwen2", "embedding and head"), ("gemma3", "old LLaVA names"),
    ("mixtral", "old experts"), ("mixtral", "old experts without up"), ("qwen3_moe", "without prefix"),
    ("qwen2_moe", "old experts"), ("deepseek_v3", "old experts"), ("gpt_oss", "experts"),
    ("gpt_oss", "experts of a smaller mixture"),
]  # fmt: skip


@pytest.mark.oracle
@pytest.mark.parametrize(("family", "name"), ASKED)
def test_peft_does_what_is_recorded(family: str, name: str, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    kept = read_recorded()[family]["cases"][name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make(FAMILIES[family], cases_of(family)[name], tmp_path)
        found = peft_outcome(FAMILIES[family], tmp_path)
    assert row_of(tmp_path)["tensors"] == kept["tensors"]
    for key in ("outcome", "ignored", "missing", "bytes"):
        assert found.get(key) == kept["peft"].get(key), key
