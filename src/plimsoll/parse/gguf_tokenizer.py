"""The vocabulary inside a GGUF: tokens, merges, scores, types and the ids with a role.

Keys: docs/gguf.md of ggml; src/llama-vocab.cpp of llama.cpp at 0c1e57098 for types and defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plimsoll.domain.tokenizer import AddedToken, Claim, Style, TokenKind, Vocabulary
from plimsoll.errors import MalformedGguf
from plimsoll.parse.byte_source import ByteSource
from plimsoll.parse.gguf import FarArray, FarText, GgufHeader, Value, read_numbers, read_strings
from plimsoll.parse.tokenizer import facts_from_gguf
from plimsoll.runtimes.llama_cpp.pre_tokenizers import PRE_TOKENIZERS
from plimsoll.runtimes.llama_cpp.special_tokens import ALWAYS_SPECIAL, PLAIN_S_BESIDE

PREFIX = "tokenizer.ggml."
# llama_token_type of include/llama.h
_KINDS: dict[int, TokenKind] = {
    1: "normal", 2: "unknown", 3: "special", 4: "added", 5: "unused", 6: "byte",
}  # fmt: skip
_STYLES: dict[str, Style] = {
    "gpt2": "byte_level", "llama": "sentencepiece", "gemma4": "sentencepiece", "t5": "sentencepiece",
    "bert": "sentencepiece",
}  # fmt: skip
_ROLE_KEYS = {
    "bos_token_id": "bos", "eos_token_id": "eos", "eot_token_id": "end of turn",
    "eom_token_id": "end of message", "unknown_token_id": "unk", "seperator_token_id": "sep",
    "padding_token_id": "pad", "cls_token_id": "cls", "mask_token_id": "mask",
    "fim_pre_token_id": "fim prefix", "fim_suf_token_id": "fim suffix", "fim_mid_token_id": "fim middle",
    "fim_pad_token_id": "fim pad", "fim_rep_token_id": "fim repository", "fim_sep_token_id": "fim separator",
    "prefix_token_id": "fim prefix", "suffix_token_id": "fim suffix", "middle_token_id": "fim middle",
}  # fmt: skip
_UNSPECIAL_IN_PHI3 = frozenset({"<unk>", "<s>", "<|endoftext|>"})
MOST_TEMPLATE_BYTES = 4 << 20


def vocabulary_from_gguf(header: GgufHeader, source: ByteSource) -> Vocabulary | None:
    """The vocabulary of a GGUF, or None when it has none. `source` is the file that `header` was read from.

    Raises MalformedGguf when a list has the wrong type or fewer items than there are tokens.
    """
    facts, meta = facts_from_gguf(header), header.metadata
    if facts is None or facts.kind == "none":
        return None
    name = str(meta["tokenizer.ggml.model"])
    texts = [text or f"[EMPTY_{i}]" for i, text in enumerate(_strings(meta, "tokens", source))]
    kinds = _kinds(meta, source, texts)
    pre = "gemma4" if name == "gemma4" else facts.pre
    known = PRE_TOKENIZERS.get(pre)
    style = _STYLES.get(name, "plain")
    if known is not None and not known.is_byte_level and name == "gpt2":
        style = "sentencepiece"
    template = meta.get("tokenizer.chat_template", "")
    return Vocabulary(
        kind=facts.kind, style=style, entries=tuple((text, i) for i, text in enumerate(texts)),
        merges=tuple(map(_merge, _strings(meta, "merges", source))),
        added=_added(texts, kinds, _is_phi3(meta)), kinds=kinds, scores=_scores(meta, source, len(texts)),
        claims=_claims(meta, header.name), pipeline=_pipeline(name, pre), pre=pre,
        adds_bos=_flag(meta, "add_bos_token", facts.kind == "SPM" or (known is not None and known.adds_bos)),
        adds_eos=_flag(meta, "add_eos_token", name == "t5"),
        adds_space=_flag(meta, "add_space_prefix", facts.kind in ("SPM", "Unigram")),
        ignores_merges=known is not None and known.ignores_merges,
        ids_are_places=True, template=_template(template, source),
        template_from=f"{header.name}#tokenizer.chat_template",
    )  # fmt: skip


def _strings(meta: Mapping[str, Value], key: str, source: ByteSource) -> list[str]:
    array = meta.get(PREFIX + key)
    if not array:
        return []
    if not isinstance(array, FarArray) or array.element != "string":
        raise MalformedGguf("is not a list of texts", where=f"{source.name}#{PREFIX}{key}")
    return list(read_strings(source, array))


def _numbers(meta: Mapping[str, Value], key: str, source: ByteSource, count: int) -> tuple[int | float, ...]:
    """A list with a number for each token; empty when absent."""
    array = meta.get(PREFIX + key)
    if array is None:
        return ()
    where = f"{source.name}#{PREFIX}{key}"
    if isinstance(array, FarArray) and array.element != "string":
        values: tuple[Any, ...] = read_numbers(source, array)
    elif isinstance(array, tuple) and not any(isinstance(v, str) for v in array):
        values = array
    else:
        raise MalformedGguf("is not a list of numbers", where=where)
    if len(values) < count:
        raise MalformedGguf(f"{len(values)} values for {count} tokens", where=where)
    return tuple(values[:count])


def _kinds(meta: Mapping[str, Value], source: ByteSource, texts: list[str]) -> tuple[TokenKind, ...]:
    """tokenizer.ggml.token_type; some texts are special to llama.cpp whatever their type says."""
    types = _numbers(meta, "token_type", source, len(texts))
    kinds = [_KINDS.get(int(t), "normal") for t in types] or ["normal"] * len(texts)
    # Where one of these is a token, </s> is text like any other.
    has_plain_s = not PLAIN_S_BESIDE.isdisjoint(texts)
    return tuple(
        "normal" if has_plain_s and text == "</s>"
        else "special" if kind == "normal" and text in ALWAYS_SPECIAL
        else kind
        for text, kind in zip(texts, kinds, strict=True)
    )  # fmt: skip


def _scores(meta: Mapping[str, Value], source: ByteSource, count: int) -> tuple[float, ...]:
    return tuple(float(v) for v in _numbers(meta, "scores", source, count))


def _merge(line: str) -> tuple[str, str]:
    """'a b' -> ('a', 'b'), cut at the first space after the first letter."""
    at = line.find(" ", 1)
    return (line[:at], line[at + 1 :]) if at >= 0 else ("", "")


def _added(texts: list[str], kinds: tuple[TokenKind, ...], is_phi3: bool) -> tuple[AddedToken, ...]:
    """Tokens that llama.cpp cuts out of the text first: control, user-defined and unknown."""
    return tuple(
        AddedToken(
            id=i, content=text, is_special=kind != "added",
            strips_right=is_phi3 and text not in _UNSPECIAL_IN_PHI3,
        )
        for i, (text, kind) in enumerate(zip(texts, kinds, strict=True))
        if kind in ("special", "added", "unknown")
    )  # fmt: skip


def _is_phi3(meta: Mapping[str, Value]) -> bool:
    """llama.cpp tells Phi-3 by its name and then drops spaces after special tokens."""
    name = meta.get("general.name", "")
    return isinstance(name, str) and any(part in name.lower() for part in ("phi-3", "phi3"))


def _claims(meta: Mapping[str, Value], name: str) -> dict[str, tuple[Claim, ...]]:
    claims: dict[str, tuple[Claim, ...]] = {}
    for key, role in _ROLE_KEYS.items():
        value = meta.get(PREFIX + key)
        if type(value) is int:
            claims[role] = (*claims.get(role, ()), Claim(where=f"{name}#{PREFIX}{key}", id=value))
    return claims


def _flag(meta: Mapping[str, Value], key: str, default: bool) -> bool:
    value = meta.get(PREFIX + key, default)
    return value if isinstance(value, bool) else default


def _pipeline(name: str, pre: str) -> dict[str, str]:
    steps = {"model": name}
    if pre:
        steps["pre-tokenizer"] = pre
    if name == "llama":
        steps["merging"] = "by score (SentencePiece)"
    return steps


def _template(value: Value, source: ByteSource) -> str:
    if isinstance(value, FarText) and value.size_bytes <= MOST_TEMPLATE_BYTES:
        return source.read(value.offset, value.size_bytes).decode("utf-8", "replace")
    return value if isinstance(value, str) else ""
