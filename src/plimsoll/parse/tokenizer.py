"""What kind of tokenizer a model has and how large it is, without loading it.

tokenizer.json: the `tokenizers` library (model.type, model.vocab, model.merges, added_tokens).
GGUF: tokenizer.ggml.* keys (docs/gguf.md of ggml); the lists stay where they are, only counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plimsoll.errors import MalformedConfig
from plimsoll.parse.gguf import FarArray, GgufHeader, Value

# tokenizer.ggml.model -> the algorithm, by the names of `tokenizers` where it has one
# (src/llama-vocab.cpp: "llama" is SentencePiece with merges by score, which llama.cpp calls SPM).
_GGUF_KINDS = {
    "gpt2": "BPE", "gemma4": "BPE", "hybriddna": "BPE", "whitespace": "BPE", "llama": "SPM",
    "bert": "WordPiece", "t5": "Unigram", "rwkv": "RWKV", "plamo2": "PLaMo2", "no_vocab": "none",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerFacts:
    """Counts of one tokenizer. `vocab_count` includes the added tokens; `kind` is 'BPE', 'Unigram',
    'WordPiece', 'WordLevel', ...; `pre` names llama.cpp's pre-tokenizer and is '' elsewhere.
    """

    kind: str
    vocab_count: int
    merges_count: int = 0
    added_count: int = 0
    has_byte_fallback: bool = False
    pre: str = ""
    has_chat_template: bool = False


def facts_from_tokenizer_json(
    tokenizer: Mapping[str, Any], settings: Mapping[str, Any] | None = None, *, where: str = "tokenizer.json"
) -> TokenizerFacts:
    """Facts of a parsed tokenizer.json; `settings` is tokenizer_config.json, if there is one.

    The vocabulary counts ids, not entries: an added token may stand in the model's vocabulary, too.
    Raises MalformedConfig.
    """
    model = tokenizer.get("model")
    if not isinstance(model, Mapping):
        raise MalformedConfig("there is no model", where=where)
    ids = _ids(model.get("vocab"), where)
    added = _added(tokenizer, settings or {}, where)
    return TokenizerFacts(
        kind=_kind(model), vocab_count=len(ids | added), merges_count=_length(model.get("merges"), where),
        added_count=len(added), has_byte_fallback=model.get("byte_fallback") is True,
        has_chat_template=bool((settings or {}).get("chat_template")),
    )  # fmt: skip


def facts_from_gguf(header: GgufHeader) -> TokenizerFacts | None:
    """Facts of the tokenizer in a GGUF, or None when it has none."""
    meta = header.metadata
    name = meta.get("tokenizer.ggml.model")
    if not isinstance(name, str):
        return None
    pre = meta.get("tokenizer.ggml.pre", "")
    return TokenizerFacts(
        kind=_GGUF_KINDS.get(name, name), vocab_count=_count(meta.get("tokenizer.ggml.tokens")),
        merges_count=_count(meta.get("tokenizer.ggml.merges")),
        has_byte_fallback=name == "llama", pre=pre if isinstance(pre, str) else "",
        has_chat_template="tokenizer.chat_template" in meta,
    )  # fmt: skip


def _kind(model: Mapping[str, Any]) -> str:
    """model.type; old files leave it out and are known by what they carry."""
    kind = model.get("type")
    if isinstance(kind, str) and kind:
        return kind
    if "merges" in model:
        return "BPE"
    if isinstance(model.get("vocab"), list):
        return "Unigram"
    return "WordPiece" if "continuing_subword_prefix" in model else "WordLevel"


def _ids(vocab: Any, where: str) -> set[int]:
    """A map token -> id (BPE, WordPiece), or a list whose positions are the ids (Unigram)."""
    if isinstance(vocab, list):
        return set(range(len(vocab)))
    if not isinstance(vocab, Mapping):
        raise MalformedConfig("model.vocab is neither a map nor a list", where=where)
    if not all(type(v) is int and v >= 0 for v in vocab.values()):
        raise MalformedConfig("model.vocab holds an id that is no whole number", where=where)
    return set(vocab.values())


def _added(tokenizer: Mapping[str, Any], settings: Mapping[str, Any], where: str) -> set[int]:
    """Ids of added tokens of both files."""
    listed = tokenizer.get("added_tokens")
    listed = [] if listed is None else listed
    if not isinstance(listed, list):
        raise MalformedConfig("added_tokens is not a list", where=where)
    ids = {t["id"] for t in listed if isinstance(t, Mapping) and type(t.get("id")) is int}
    decoder = settings.get("added_tokens_decoder")
    if isinstance(decoder, Mapping):
        ids |= {int(key) for key in decoder if isinstance(key, str) and key.isdecimal() and len(key) < 10}
    return ids


def _length(value: Any, where: str) -> int:
    if value is None:
        return 0
    if not isinstance(value, list):
        raise MalformedConfig("model.merges is not a list", where=where)
    return len(value)


def _count(value: Value | None) -> int:
    if isinstance(value, FarArray):
        return value.count
    return len(value) if isinstance(value, tuple) else 0
