"""Facts of tokenizers, counted and not loaded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from plimsoll.errors import MalformedConfig
from plimsoll.parse.byte_source import Buffer
from plimsoll.parse.gguf import read_header
from plimsoll.parse.tokenizer import TokenizerFacts, facts_from_gguf, facts_from_tokenizer_json
from tests.parse import gguf_bytes as make

BPE: dict[str, Any] = {
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "<s>": 3}, "merges": ["a b"],
              "byte_fallback": True},
    "added_tokens": [{"id": 3, "content": "<s>"}, {"id": 4, "content": "</s>"}],
}  # fmt: skip


def test_bpe_counts_ids_once() -> None:
    assert facts_from_tokenizer_json(BPE, {"chat_template": "{{ x }}"}) == TokenizerFacts(
        kind="BPE",
        vocab_count=5,
        merges_count=1,
        added_count=2,
        has_byte_fallback=True,
        has_chat_template=True,
    )


def test_added_tokens_of_both_files() -> None:
    more = {"added_tokens_decoder": {"4": {}, "5": {}, "x": {}, "9" * 5000: {}}}
    assert facts_from_tokenizer_json(BPE, more).vocab_count == 6


def test_unigram_and_files_without_a_type() -> None:
    unigram = {"model": {"vocab": [["<unk>", 0.0], ["a", -1.5]], "unk_id": 0}}
    assert facts_from_tokenizer_json(unigram) == TokenizerFacts(kind="Unigram", vocab_count=2)
    word_piece = {"model": {"vocab": {"[UNK]": 0}, "continuing_subword_prefix": "##"}}
    assert facts_from_tokenizer_json(word_piece).kind == "WordPiece"
    assert facts_from_tokenizer_json({"model": {"vocab": {}, "merges": []}}).kind == "BPE"


@pytest.mark.parametrize(
    "broken",
    [
        {}, {"model": None}, {"model": []}, {"model": {"vocab": 3}}, {"model": {"vocab": {"a": "0"}}},
        {"model": {"vocab": {"a": True}}}, {"model": {"vocab": {"a": -1}}},
        {"model": {"vocab": {}, "merges": 3}},
        {"model": {"vocab": {}}, "added_tokens": {}},
    ],
)  # fmt: skip
def test_broken_files_are_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(MalformedConfig, match=r"x/tokenizer\.json"):
        facts_from_tokenizer_json(broken, where="x/tokenizer.json")


def test_gguf() -> None:
    keys = {
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2", "tokenizer.ggml.tokens": ["a", "b"],
        "tokenizer.ggml.merges": ["a b"], "tokenizer.chat_template": "{{ x }}",
    }  # fmt: skip
    header = read_header(Buffer(make.whole(make.header(keys), 0), "m.gguf"))
    assert facts_from_gguf(header) == TokenizerFacts(
        kind="BPE", vocab_count=2, merges_count=1, pre="qwen2", has_chat_template=True
    )
    assert facts_from_gguf(read_header(Buffer(make.whole(make.header({}), 0), "m.gguf"))) is None


@pytest.mark.oracle
def test_counts_equal_those_of_the_tokenizers_library() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    vocab = {chr(97 + i): i for i in range(26)} | {"ab": 26, "abc": 27}
    made = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, [("a", "b"), ("ab", "c")], byte_fallback=False))
    made.add_special_tokens(["<s>", "</s>"])
    made.add_tokens(["abc"])
    facts = facts_from_tokenizer_json(json.loads(made.to_str()))
    assert facts.vocab_count == made.get_vocab_size(with_added_tokens=True) == 30
    assert (facts.kind, facts.merges_count) == ("BPE", 2)
