"""Two models side by side: their figures, and what of the first carries over to the second."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from plimsoll.core.lora_modules import matrices, offered
from plimsoll.domain.comparison import (
    ComparedRow,
    Continued,
    Continuity,
    LoraGroup,
    Portability,
    TokenizerPrint,
    Unit,
)
from plimsoll.domain.explanation import Chat, Explanation
from plimsoll.domain.model import LayerSpec, Model
from plimsoll.domain.tokenizer import Vocabulary
from plimsoll.errors import UnsupportedArchitecture
from plimsoll.formulas.cache_growth import cache_bytes, state_bytes
from plimsoll.runtimes.llama_cpp.tensors import gguf_tensors

CONTEXTS = (8192, 32_768, 131_072)
_SPECIAL = ("bos_token_id", "eos_token_id", "pad_token_id", "image_token_id", "image_token_index")
_NUMBER = re.compile(r"\.\d+(?=\.)")
Shape = tuple[int, ...]


def rows(models: Sequence[Model], told: Sequence[Explanation]) -> tuple[ComparedRow, ...]:
    """The properties that `plimsoll model` shows, one row each."""
    pairs = list(zip(models, told, strict=True))

    def row(key: str, label: str, unit: Unit, values: Sequence[int | str | None]) -> ComparedRow:
        return ComparedRow(
            key=key, label=label, unit=unit, values=tuple(v if v != "" else None for v in values)
        )

    found = [
        row("architecture", "architecture", "text", [e.architecture for e in told]),
        row("parameters", "parameters", "parameters", [e.parameters.total_count for e in told]),
        row(
            "active", "active per token", "parameters",
            [e.parameters.active_with_embedding_count for e in told],
        ),
        row("layers", "layers", "count", [len(m.layers) for m in models]),
        row("layer_mix", "which are", "text", [e.layer_text for e in told]),
        row("hidden_dim", "hidden size", "count", [m.hidden_dim for m in models]),
        row("heads", "heads (query/KV × width)", "text", [_heads(m.layers) for m in models]),
        row("experts", "experts (active of all)", "text", [_experts(m.layers) for m in models]),
        row("context", "context", "tokens", [e.context.trained_tokens for e in told]),
        row("extension", "context stretched by", "text", [e.context.extension or "nothing" for e in told]),
        *(
            row(
                f"kv_{n}", f"KV cache at {n // 1024}k, f16", "bytes",
                [cache_bytes(m.layers, n, "f16") for m in models],
            )
            for n in CONTEXTS
        ),
        row(
            "kv_per_token_8k", "KV per token at 8k", "bytes",
            [cache_bytes(m.layers, CONTEXTS[0], "f16") // CONTEXTS[0] for m in models],
        ),
        row("state", "recurrent state, f32", "bytes", [state_bytes(m.layers, 4) for m in models]),
        row("format", "published in", "text", [m.weight_format for m in models]),
        row("size", "size as published", "bytes", [e.size_bytes for e in told]),
        row("vocabulary", "rows of the embedding", "count", [m.vocab_size for m in models]),
        row("tied", "output tied to it", "text", ["yes" if m.has_tied_embeddings else "no" for m in models]),
        row("tokenizer", "tokenizer", "text", [e.vocabulary.kind for e in told]),
        row("chat", "chat format", "text", [e.chat.family for e in told]),
        row("reasoning", "reasoning", "text", [e.chat.reasoning for e in told]),
        row("tools", "tools", "text", [e.chat.tools for e in told]),
        row("inputs", "reads", "text", [_inputs(m) for m, _ in pairs]),
        row("license", "licence", "text", [e.card.license.value for e in told]),
        row("languages", "languages", "text", [e.card.languages.value for e in told]),
        row("released_on", "released", "text", [e.card.released_on.value for e in told]),
    ]  # fmt: skip
    return tuple(r for r in found if any(v not in (None, 0) for v in r.values))


def _heads(layers: Sequence[LayerSpec]) -> str:
    kinds = dict.fromkeys(
        f"{x.query_heads_count}/{x.kv_heads_count or 1} × {x.key_dim}"
        if x.attention != "latent" else f"{x.query_heads_count} latent of {x.latent_dim}+{x.rope_dim}"
        for x in layers
        if x.attention != "none"
    )  # fmt: skip
    return "; ".join(kinds)


def _experts(layers: Sequence[LayerSpec]) -> str:
    kinds = dict.fromkeys(
        f"{x.active_experts_count} of {x.experts_count} × {x.expert_dim}" for x in layers if x.experts_count
    )
    return "; ".join(kinds) or "none"


def _inputs(model: Model) -> str:
    roles = {t.role for t in model.tensors}
    return ", ".join(["text", *(w for w, r in (("pictures", "vision"), ("sound", "audio")) if r in roles)])


def print_of(
    model: Model, vocabulary: Vocabulary | None, config: Mapping[str, Any] | None, source: str
) -> TokenizerPrint:
    """The tokenizer's print: hashes over its tokens and merges where a file was read."""
    special = _special_ids(config or {})
    if vocabulary is None:
        return TokenizerPrint(rows_count=model.vocab_size, special_ids=special)
    import hashlib

    tokens = {id: text for text, id in vocabulary.entries}
    tokens.update({t.id: t.content for t in vocabulary.added})
    listed = "\n".join(f"{id} {text!a}" for id, text in sorted(tokens.items()))
    merges = "\n".join(f"{a!a} {b!a}" for a, b in vocabulary.merges)
    return TokenizerPrint(
        rows_count=model.vocab_size, kind=vocabulary.kind, tokens_count=len(tokens),
        tokens_sha256=hashlib.sha256(listed.encode()).hexdigest(),
        merges_sha256=hashlib.sha256(merges.encode()).hexdigest(), special_ids=special, source=source,
    )  # fmt: skip


def _special_ids(config: Mapping[str, Any]) -> dict[str, int]:
    text = config.get("text_config")
    found: dict[str, int] = {}
    for place in (text if isinstance(text, Mapping) else {}, config):
        for key in _SPECIAL:
            value = place.get(key)
            ids = value if isinstance(value, list) else [value]
            numbers = [i for i in ids if type(i) is int and i >= 0]
            if numbers:
                found[key] = max(numbers)
    return found


def continuity(
    first: Model, other: Model, prints: tuple[TokenizerPrint, TokenizerPrint], chats: tuple[Chat, Chat],
    templates: tuple[str, str],
) -> Continuity:  # fmt: skip
    """What of `first` can be kept when `other` takes its place."""
    tokenizer = _tokenizer(*prints)
    chat = _chat(chats, templates)
    lora, groups = _lora(first, other)
    return Continuity(
        from_model=first.id, to_model=other.id, lora=groups,
        items=(tokenizer, chat, _prompts(tokenizer, chat, first, other), lora),
    )  # fmt: skip


def _tokenizer(a: TokenizerPrint, b: TokenizerPrint) -> Continued:
    def say(verdict: Portability, reason: str) -> Continued:
        return Continued(what="tokenizer", verdict=verdict, reason=reason)

    if a.tokens_sha256 and b.tokens_sha256:
        if a.tokens_sha256 == b.tokens_sha256 and a.merges_sha256 == b.merges_sha256:
            return say("portable", f"the same {a.tokens_count:,} tokens and merges ({a.tokens_sha256[:12]})")
        if a.merges_sha256 == b.merges_sha256 and a.kind == b.kind and a.merges_sha256 != _NO_MERGES:
            return say("partly", "the same merges; added tokens or their ids differ")
        return say("not", f"{a.kind} of {a.tokens_count:,} tokens and {b.kind} of {b.tokens_count:,}")
    for one, two in ((a, b), (b, a)):
        beyond = {k: v for k, v in one.special_ids.items() if v >= two.rows_count}
        if beyond:
            key, value = next(iter(beyond.items()))
            return say("not", f"{key} {value:,} of one is beyond the other's {two.rows_count:,} rows")
    rows = f"{a.rows_count:,} and {b.rows_count:,} rows"
    if abs(a.rows_count - b.rows_count) >= _MOST_PADDING_ROWS:
        return say("not", f"{rows}: further apart than padding brings them ({_MOST_PADDING_ROWS:,} at most)")
    if a.rows_count == b.rows_count:
        return say("unknown", f"both have {a.rows_count:,} rows; no tokenizer files were read to compare")
    return say("unknown", f"{rows}, which padding can explain; no tokenizer files were read to compare")


# Megatron-LM pads to 128 x tensor parallel size (--make-vocab-size-divisible-by): here with 64 ranks.
_MOST_PADDING_ROWS = 128 * 64
_NO_MERGES = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def _chat(chats: tuple[Chat, Chat], templates: tuple[str, str]) -> Continued:
    def say(verdict: Portability, reason: str) -> Continued:
        return Continued(what="chat format", verdict=verdict, reason=reason)

    a, b = chats
    if all(templates) and templates[0] == templates[1]:
        return say("portable", "the chat templates are the same text")
    if not a.family or not b.family:
        return say(
            "unknown",
            "no chat template is known of " + ("either" if not a.family and not b.family else "one"),
        )
    if a.family != b.family or a.markers != b.markers:
        return say(
            "not", f"{a.family} and {b.family}" if a.family != b.family else f"{a.family} with other markers"
        )
    if a.reasoning == b.reasoning and a.tools == b.tools:
        return say("portable", f"both {a.family}, with the same reasoning and tool format")
    differing = " and ".join(
        w
        for w, same in (("reasoning", a.reasoning == b.reasoning), ("tools", a.tools == b.tools))
        if not same
    )
    return say("partly", f"both {a.family}; {differing} are written differently")


def _prompts(tokenizer: Continued, chat: Continued, first: Model, other: Model) -> Continued:
    """Messages go through the template of whichever model answers; what is written by hand does not."""
    own, new = first.trained_context_tokens, other.trained_context_tokens
    shorter = f"; its context is {new:,} tokens, not {own:,}" if own and new and new < own else ""
    if chat.verdict == "unknown":
        verdict: Portability = "unknown"
        reason = "messages carry over; whether hand-written markers do is unknown, as the chat format is"
    elif chat.verdict == "portable" and tokenizer.verdict == "portable" and not shorter:
        verdict, reason = "portable", "the same markers, and the same number of tokens"
    elif chat.verdict in ("portable", "partly"):
        verdict, reason = "partly", "messages and markers carry over; count tokens anew"
    else:
        verdict, reason = (
            "partly",
            "messages carry over; markers, stop words and prefills written by hand do not",
        )
    return Continued(what="prompts", verdict="partly" if shorter and verdict == "portable" else verdict,
                     reason=reason + shorter)  # fmt: skip


def _lora(first: Model, other: Model) -> tuple[Continued, tuple[LoraGroup, ...]]:
    """Which modules an adapter of `first` could target that `other` has with the same name and shape."""
    try:
        own, theirs = _tables(first, other)
    except UnsupportedArchitecture as error:
        return Continued(what="LoRA adapters", verdict="unknown", reason=error.message), ()
    groups: dict[tuple[str, Shape, Shape, str], int] = {}
    for name, shape in own.items():
        found = theirs.get(name)
        reason = "" if found == shape else _why(name, shape, found, theirs, first, other)
        key = (_NUMBER.sub(".*", name), shape, found or (), reason)
        groups[key] = groups.get(key, 0) + 1
    listed = tuple(
        LoraGroup(module=n, modules_count=count, carries=not why, reason=why, shape=s, other_shape=o)
        for (n, s, o, why), count in groups.items()
    )
    return _lora_verdict(listed, own, theirs), listed


def _lora_verdict(
    groups: Sequence[LoraGroup], own: Mapping[str, Shape], theirs: Mapping[str, Shape]
) -> Continued:
    def say(verdict: Portability, reason: str) -> Continued:
        return Continued(what="LoRA adapters", verdict=verdict, reason=reason)

    carried = sum(g.modules_count for g in groups if g.carries)
    if carried == len(own):
        more = len([n for n in theirs if n not in own])
        if not more:
            return say("portable", f"all {carried} modules have the same names and shapes{_SHAPES_ONLY}")
        return say("partly", f"all {carried} modules carry over; {more} more stay untrained{_SHAPES_ONLY}")
    reasons: dict[str, int] = {}
    for group in groups:
        if not group.carries:
            word = group.reason.partition(":")[0]
            reasons[word] = reasons.get(word, 0) + group.modules_count
    why = ", ".join(f"{word} ({n})" for word, n in sorted(reasons.items(), key=lambda x: -x[1]))
    if not carried:
        return say("not", f"no module carries over: {why}")
    lost = {_leaf(g.module) for g in groups if not g.carries and not g.reason.startswith("layers:")}
    whole = [n for n in dict.fromkeys(_leaf(g.module) for g in groups if g.carries) if n not in lost]
    which = f" ({', '.join(whole[:8])})" if whole else ""
    return say(
        "partly", f"{carried} of {len(own)} modules carry over{which}; the others: {why}{_SHAPES_ONLY}"
    )


# An adapter that loads is still the difference to weights that it was not trained on.
_SHAPES_ONLY = "; by shape only: it was trained on other weights"


def _leaf(name: str) -> str:
    return name.removesuffix(".weight").rpartition(".")[2]


def _tables(first: Model, other: Model) -> tuple[dict[str, Shape], dict[str, Shape]]:
    """Name -> shape of what can be adapted, in Transformers' names, or in GGUF names where one is a GGUF."""
    if "gguf" in (first.naming, other.naming):
        a, b = ({t.name: t.shape for t in matrices(gguf_tensors(m))} for m in (first, other))
        return a, b
    return _adaptable(first), _adaptable(other)


def _adaptable(model: Model) -> dict[str, Shape]:
    found = offered(model)
    text = {t.name.rpartition(".")[0] for t in model.tensors if t.role in ("vision", "audio", "projector")}
    out: dict[str, Shape] = {}
    for name, shape in (*found.embeddings.items(), *found.linears.items()):
        if name not in text:
            out[_text_name(name)] = shape
    for name, parameter in found.parameters.items():
        if ".experts." in name and len(parameter) == 3:
            out[_text_name(name)] = parameter
        elif name.endswith((".gate.weight", ".router.weight")) and name.removesuffix(".weight") not in out:
            out.setdefault(_text_name(name), parameter)
    return out


def _text_name(name: str) -> str:
    """The language model of a multimodal one under the name it has alone."""
    return name.replace("model.language_model.", "model.").replace("language_model.model.", "model.")


def _why(
    name: str, shape: Shape, found: Shape | None, theirs: Mapping[str, Shape], first: Model, other: Model
) -> str:
    if found is None:
        return _why_missing(name, theirs, first, other)
    a, b = first.hidden_dim, other.hidden_dim
    leaf = _leaf(name)
    if leaf in ("embed_tokens", "lm_head", "token_embd", "output") and shape[0] != found[0]:
        return f"vocabulary: {shape[0]:,} and {found[0]:,} rows"
    if len(shape) == 3 and shape[0] != found[0]:
        return f"experts: {shape[0]} and {found[0]}"
    if len(shape) == 3 and _are_turned(first) != _are_turned(other):
        return "expert layout: one stores its experts (in, out), the other (out, in)"
    if a != b and any(x == a and y == b for x, y in zip(shape, found, strict=False)):
        return f"hidden size: {a:,} and {b:,}"
    if name.endswith((".gate.weight", ".router.weight", "ffn_gate_inp.weight")):
        return f"experts: {shape[0]} and {found[0]}"
    layer = _layer(name)
    if ".experts" in name or leaf.endswith("_exps"):
        return f"expert width: {_by(shape)} and {_by(found)}"
    if "attn" in name and layer is not None:
        return _why_heads(
            leaf, shape, found, first.layers[layer], other.layers[min(layer, len(other.layers) - 1)]
        )
    if leaf in ("gate_proj", "up_proj", "down_proj", "gate_up_proj", "ffn_gate", "ffn_up", "ffn_down"):
        return f"feed-forward width: {_by(shape)} and {_by(found)}"
    return f"shape: {_by(shape)} and {_by(found)}"


def _are_turned(model: Model) -> bool:
    return any(t.is_input_major for t in model.tensors if t.role == "expert")


def _why_heads(leaf: str, shape: Shape, found: Shape, a: LayerSpec, b: LayerSpec) -> str:
    if leaf.startswith(("k_", "v_", "attn_k", "attn_v")) and a.kv_heads_count != b.kv_heads_count:
        return f"KV heads: {a.kv_heads_count} × {a.key_dim} and {b.kv_heads_count} × {b.key_dim}"
    if a.query_heads_count != b.query_heads_count or a.key_dim != b.key_dim:
        return f"query heads: {a.query_heads_count} × {a.key_dim} and {b.query_heads_count} × {b.key_dim}"
    return f"shape: {_by(shape)} and {_by(found)}"


def _why_missing(name: str, theirs: Mapping[str, Shape], first: Model, other: Model) -> str:
    layer = _layer(name)
    if layer is not None and layer >= len(other.layers):
        return f"layers: {len(first.layers)} and {len(other.layers)}"
    if layer is None:
        word = (
            "vocabulary: its output is tied to the embedding" if _leaf(name) in ("lm_head", "output") else ""
        )
        return word or "names: the other has no module of this name"
    if ".experts" in name or "_exps" in name or ".gate." in name or _leaf(name) in ("gate", "router"):
        mixed = any(x.experts_count for x in other.layers)
        return (
            "expert layout: experts are named or stored otherwise"
            if mixed
            else "expert layout: the other has no experts"
        )
    if ".mlp." in name or "ffn" in name:
        dense = other.layers[layer].ffn_dim
        return (
            "expert layout: the other has experts there"
            if not dense
            else "names: the other names its feed-forward part otherwise"
        )
    if first.layers[layer].attention != other.layers[layer].attention or (
        (first.layers[layer].state is None) != (other.layers[layer].state is None)
    ):
        return f"attention: {_kind(first.layers[layer])} and {_kind(other.layers[layer])} in that layer"
    return "names: the other has no module of this name"


def _kind(layer: LayerSpec) -> str:
    return layer.state.kind if layer.state and layer.attention == "none" else layer.attention


def _layer(name: str) -> int | None:
    match = re.search(r"(?:layers|h|blocks|blk)\.(\d+)\.", name)
    return int(match[1]) if match else None


def _by(shape: Shape) -> str:
    return "×".join(map(str, shape))
