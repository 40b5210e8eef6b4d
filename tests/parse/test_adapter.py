"""Adapter configs and headers, also broken and hostile ones."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.errors import (
    MalformedConfig,
    MalformedGguf,
    MissingConfigKey,
    PlimsollError,
    UnsupportedArchitecture,
)
from plimsoll.parse.adapter import adapter_from_gguf, adapter_from_peft
from plimsoll.parse.gguf import GgufHeader, GgufTensor
from plimsoll.parse.safetensors import SafetensorsHeader, StoredTensor

AT = "base_model.model.model.layers.0.self_attn.q_proj"
PAIR = (
    StoredTensor(f"{AT}.lora_A.weight", (4, 32), "bf16", 256, 8),
    StoredTensor(f"{AT}.lora_B.weight", (32, 4), "bf16", 256, 264),
)
CONFIG = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}


def header(*rows: StoredTensor) -> SafetensorsHeader:
    return SafetensorsHeader(
        name="adapter_model.safetensors", tensors=rows, metadata={}, size_bytes=8, file_bytes=520
    )


def read(**changes: Any) -> Any:
    config = {k: v for k, v in {**CONFIG, **changes}.items() if v != "absent"}
    return adapter_from_peft(config, header(*PAIR), id="tone")


def test_config_and_header_become_an_adapter() -> None:
    found = read(base_model_name_or_path="org/base", rank_pattern={"k_proj": 8}, use_rslora=True)
    assert (found.base, found.rank, found.alpha, found.targets) == ("org/base", 4, 8.0, ("q_proj",))
    assert found.rank_pattern == (("k_proj", 8),)
    assert found.has_rslora
    assert [(t.module, t.part) for t in found.tensors] == [
        (AT.removeprefix("base_model.model."), p) for p in "ab"
    ]
    assert found.ranks == {"model.layers.0.self_attn.q_proj": 4}
    assert found.tensors[1].is_zero is None


def test_what_was_read_of_the_values_is_told() -> None:
    names = {row.name for row in PAIR}
    found = adapter_from_peft(CONFIG, header(*PAIR), id="tone", seen=names, zero={PAIR[1].name})
    assert [t.is_zero for t in found.tensors] == [False, True]


def test_other_kinds_of_tensors_are_told_apart() -> None:
    rows = [
        StoredTensor(f"{AT}.lora_magnitude_vector", (32,), "f32", 128, 8),
        StoredTensor("base_model.model.model.embed_tokens.lora_embedding_A", (4, 96), "f32", 1536, 136),
        StoredTensor("base_model.model.lm_head.weight", (96, 32), "f32", 12288, 1672),
        StoredTensor(f"{AT}.lora_B.bias", (32,), "f32", 128, 13960),
    ]
    found = adapter_from_peft({**CONFIG, "use_dora": True}, header(*rows), id="tone")
    assert [(t.part, t.is_embedding) for t in found.tensors] == [
        ("magnitude", False), ("a", True), ("whole", False), ("bias", False),
    ]  # fmt: skip


def test_unknown_keys_are_listed_and_missing_ones_have_pefts_defaults() -> None:
    found = read(r="absent", lora_alpha="absent", a_key_of_tomorrow=1, target_modules=None)
    assert (found.rank, found.alpha, found.unread_keys) == (8, 8.0, ("a_key_of_tomorrow",))
    assert "does not tell r" in found.notes[0]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"r": 0}, "r is 0, not at least 1"),
        ({"r": "many"}, "r is 'many'"),
        ({"r": -1}, "r is -1"),
        ({"target_modules": 7}, "target_modules"),
        ({"target_modules": "(q_proj"}, "not a regular expression"),
        ({"target_modules": ["q_proj", 3]}, "target_modules"),
        ({"rank_pattern": {"q_proj": 0}}, "rank 0"),
        ({"rank_pattern": ["q_proj"]}, "rank_pattern is not a map"),
        ({"alpha_pattern": {"[": 1}}, "not a regular expression"),
        ({"layers_to_transform": ["a"]}, "no layer"),
        ({"target_modules": ".*q_proj", "layers_to_transform": [1]}, "cannot stand beside"),
        ({"use_dora": "yes"}, "use_dora"),
        ({"lora_alpha": []}, "lora_alpha"),
        ({"target_modules": "q" * 10_001}, "10001 characters"),
    ],
)
def test_values_that_cannot_be_are_typed_errors(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(MalformedConfig) as told:
        read(**changes)
    assert says in told.value.message


def test_other_methods_are_refused_by_name() -> None:
    with pytest.raises(UnsupportedArchitecture, match="type IA3"):
        read(peft_type="IA3")
    assert read(init_lora_weights="pissa").other_methods == ("init_lora_weights=pissa",)
    assert read(layer_replication=[[0, 2]]).other_methods == ("layer_replication",)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_KEYS = [
    *CONFIG, "rank_pattern", "alpha_pattern", "modules_to_save", "layers_to_transform", "bias", "use_dora",
    "base_model_name_or_path", "exclude_modules", "target_parameters", "init_lora_weights",
]  # fmt: skip


@given(st.dictionaries(st.sampled_from(_KEYS), _JSON, max_size=5))
def test_hostile_configs_give_an_adapter_or_a_typed_error(config: dict[str, Any]) -> None:
    with contextlib.suppress(PlimsollError):
        adapter_from_peft(config, header(*PAIR), id="x")


def gguf(meta: dict[str, Any], *rows: GgufTensor) -> GgufHeader:
    known = {"general.type": "adapter", "adapter.type": "lora", "general.architecture": "llama"}
    return GgufHeader(
        name="a.gguf", version=3, metadata={k: v for k, v in {**known, **meta}.items() if v is not None},
        tensors=rows, alignment=32, size_bytes=64, file_bytes=1024,
    )  # fmt: skip


ROWS = (
    GgufTensor("blk.0.attn_q.weight.lora_a", (4, 32), "f32", 512, 0),
    GgufTensor("blk.0.attn_q.weight.lora_b", (32, 4), "f32", 512, 512),
)


def test_a_gguf_adapter_is_read() -> None:
    found = adapter_from_gguf(gguf({"adapter.lora.alpha": 16.0}, *ROWS), id="a.gguf")
    assert (found.architecture, found.rank, found.alpha) == ("llama", 4, 16.0)
    assert {t.module for t in found.tensors} == {"blk.0.attn_q.weight"}


@pytest.mark.parametrize(
    ("meta", "rows", "error"),
    [
        ({"general.type": "model"}, ROWS, UnsupportedArchitecture),
        ({"general.type": None}, ROWS, UnsupportedArchitecture),
        ({"adapter.type": "ia3"}, ROWS, UnsupportedArchitecture),
        ({"general.architecture": None}, ROWS, MissingConfigKey),
        ({"adapter.lora.alpha": "much"}, ROWS, MalformedGguf),
        ({}, (*ROWS, ROWS[0]), MalformedGguf),
        ({}, (GgufTensor("blk.0.attn_q.weight", (4, 4), "f32", 64, 0),), MalformedGguf),
    ],
)
def test_what_llama_cpp_refuses_is_refused(meta: dict[str, Any], rows: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        adapter_from_gguf(gguf(meta, *rows), id="a.gguf")
