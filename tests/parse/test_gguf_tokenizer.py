"""Vocabularies inside GGUF files, right and wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plimsoll.domain.tokenizer import Vocabulary
from plimsoll.errors import MalformedGguf, PlimsollError
from plimsoll.parse.byte_source import Buffer
from plimsoll.parse.gguf import FarArray, read_header, read_numbers
from plimsoll.parse.gguf_tokenizer import vocabulary_from_gguf
from tests.parse import gguf_bytes as make

KEYS: dict[str, Any] = {
    "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2",
    "tokenizer.ggml.tokens": ["a", "b", "ab", "<|im_end|>", "<x>", ""],
    "tokenizer.ggml.token_type": [1, 1, 1, 1, 4, 5], "tokenizer.ggml.merges": ["a b", "Ġ  x"],
    "tokenizer.ggml.eos_token_id": 3, "tokenizer.chat_template": "{{ x }}",
}  # fmt: skip


def read(keys: dict[str, Any]) -> Vocabulary | None:
    source = Buffer(make.whole(make.header(keys), 0), "m.gguf")
    return vocabulary_from_gguf(read_header(source), source)


def test_a_byte_level_vocabulary() -> None:
    found = read(KEYS)
    assert found is not None
    assert (found.kind, found.style, found.pre, found.adds_bos) == ("BPE", "byte_level", "qwen2", False)
    assert found.entries[-1] == ("[EMPTY_5]", 5)
    assert found.kinds == ("normal", "normal", "normal", "special", "added", "unused")
    assert [(t.content, t.is_special) for t in found.added] == [("<|im_end|>", True), ("<x>", False)]
    assert found.merges == (("a", "b"), ("Ġ", " x"))
    assert found.claims["eos"][0].id == 3
    assert (found.template, found.template_from) == ("{{ x }}", "m.gguf#tokenizer.chat_template")


def test_defaults_by_kind() -> None:
    llama = read({**KEYS, "tokenizer.ggml.model": "llama", "tokenizer.ggml.scores": ("f32", [0.0] * 6)})
    assert llama is not None
    assert (llama.kind, llama.style, llama.adds_bos, llama.adds_space) == ("SPM", "sentencepiece", True, True)
    assert llama.scores == (0.0,) * 6
    named = read({**KEYS, "tokenizer.ggml.pre": "llama-bpe", "tokenizer.ggml.add_bos_token": False})
    assert named is not None
    assert (named.ignores_merges, named.adds_bos) == (True, False)
    gemma = read({**KEYS, "tokenizer.ggml.model": "gemma4"})
    assert gemma is not None
    assert (gemma.pre, gemma.style) == ("gemma4", "sentencepiece")


def test_an_end_of_sequence_is_text_beside_gemma_4s_tokens() -> None:
    found = read({**KEYS, "tokenizer.ggml.tokens": ["</s>", "<|tool_response>"],
                  "tokenizer.ggml.token_type": [3, 3]})  # fmt: skip
    assert found is not None
    assert [t.content for t in found.added] == ["<|tool_response>"]


def test_phi_3_is_told_by_its_name() -> None:
    found = read({**KEYS, "general.name": "Phi-3 mini"})
    assert found is not None
    assert all(t.strips_right for t in found.added)


def test_no_vocabulary() -> None:
    assert read({}) is None
    assert read({"tokenizer.ggml.model": "none"}) is None
    assert read({"tokenizer.ggml.model": "no_vocab"}) is None


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("tokens", [1, 2], "not a list of texts"), ("merges", "x", "not a list of texts"),
        ("token_type", ["a"], "not a list of numbers"), ("token_type", [1], "1 values for 6 tokens"),
        ("scores", 3, "not a list of numbers"),
    ],
)  # fmt: skip
def test_lists_that_cannot_be(key: str, value: Any, says: str) -> None:
    with pytest.raises(MalformedGguf, match=says):
        read({**KEYS, f"tokenizer.ggml.{key}": value})


@given(
    st.sampled_from([k for k in KEYS if k != "tokenizer.ggml.model"]),
    st.integers(0, 9) | st.text(max_size=3) | st.booleans() | st.lists(st.integers(-3, 3), max_size=8)
    | st.lists(st.text(max_size=3), min_size=1, max_size=8) | st.floats(width=32),
)  # fmt: skip
@settings(max_examples=100)
def test_any_value_anywhere_is_read_or_refused(key: str, value: Any) -> None:
    try:
        read({**KEYS, key: value})
    except PlimsollError:
        return


def test_numbers_of_a_long_array() -> None:
    head = make.header({"x": ("f32", [0.5] * 3000)})
    source = Buffer(make.whole(head, 0))
    array = read_header(source).metadata["x"]
    assert isinstance(array, FarArray)
    assert read_numbers(source, array) == (0.5,) * 3000
    short = FarArray(element="float32", count=9, offset=len(head), size_bytes=36)
    with pytest.raises(MalformedGguf, match="could be read"):
        read_numbers(source, short)
