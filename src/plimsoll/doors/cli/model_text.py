"""The answer of `model` as a person reads it."""

from __future__ import annotations

from collections.abc import Iterator

from plimsoll.core.layer_map import LETTER_NAMES
from plimsoll.domain.explanation import Explanation, Fact, KeyExplanation
from plimsoll.doors.cli.text import say, styled, table
from plimsoll.units import format_bytes, format_count, format_parameters, format_share

ROLE_NAMES = {
    "expert": "experts", "shared_expert": "shared experts", "ffn": "feed-forward", "attention": "attention",
    "state": "recurrent state", "embedding": "embedding", "output": "output", "router": "router",
    "norm": "norms", "vision": "vision tower", "audio": "audio tower", "projector": "projector",
    "mtp": "multi-token prediction", "other": "other",
}  # fmt: skip
_CHANGES = {
    "shapes": ("no: changes shapes", "red"), "files": ("no: says how the files are stored", "red"),
    "code": ("no: selects the code", "red"), "trained": ("no: trained with this value", "red"),
    "behaviour": ("yes: behaviour", "yellow"), "safe": ("yes: safe", "green"),
    "unused": ("yes: not used at inference", "green"),
}  # fmt: skip
_RUNTIMES = {
    "llama_cpp": "llama.cpp", "vllm": "vllm", "sglang": "sglang", "transformers": "transformers",
    "ollama": "ollama",
}  # fmt: skip
_LAYERS_PER_LINE = 64
_MOST_FILES = 12


def show(answer: Explanation) -> None:
    """Print everything but the keys of config.json."""
    revision = f" @ {answer.revision[:12]}" if answer.revision else ""
    say(styled(answer.id, bold=True) + f"{revision}  ({answer.architecture})")
    say(answer.layer_text)
    _map(answer)
    _parameters(answer)
    _formats(answer)
    _context(answer)
    _cache(answer)
    _words(answer)
    _card(answer)
    _files(answer)
    for note in answer.notes:
        say(f"note: {note}")
    if answer.unread_keys:
        say(f"note: config keys that nobody read: {', '.join(answer.unread_keys)}")
    if answer.unknowns:
        say(f"unknown: {'; '.join(answer.unknowns)}", fg="yellow")
    for source in answer.sources:
        say(f"source {source.id.partition('#')[0]}: {source.url}", dim=True)


def _map(answer: Explanation) -> None:
    letters = "".join(cell.letter for cell in answer.layers)
    for start in range(0, len(letters), _LAYERS_PER_LINE):
        say(f"  {start:>4} {styled(letters[start : start + _LAYERS_PER_LINE], fg='cyan')}")
    names = [f"{x} {LETTER_NAMES[x]}" for x in dict.fromkeys(letters.upper())]
    if any(x.islower() for x in letters):
        names.append("lower case: dense feed-forward")
    say(f"       {', '.join(names)}", dim=True)


def _parameters(answer: Explanation) -> None:
    p = answer.parameters
    say()
    say(f"parameters: {format_parameters(p.total_count)} ({format_count(p.total_count)})")
    if p.published_count is not None:
        other = f", {p.published_other}" if p.published_other else ""
        say(f"  published count: {format_count(p.published_count)}{other} ({p.published_source})")
    if p.drafting_count:
        own = format_parameters(p.total_count - p.drafting_count)
        say(f"  without multi-token prediction: {own}")
    if p.active_with_embedding_count == p.active_without_embedding_count:
        say(f"  active per token: {format_parameters(p.active_with_embedding_count)}")
    else:
        say(
            f"  active per token: {format_parameters(p.active_without_embedding_count)} without the input "
            f"embedding, {format_parameters(p.active_with_embedding_count)} with it"
        )
    if p.stated_active or p.stated_total:
        words = ", ".join(
            f"{value} {name}"
            for value, name in ((p.stated_total, "total"), (p.stated_active, "active"))
            if value
        )
        agrees = f"; its active count is ours {p.stated_active_is}" if p.stated_active_is else ""
        agrees = agrees.replace("is ours neither", "is neither")
        say(f"  the publisher says: {words}{agrees} ({p.stated_source})")
    total = max(p.total_count, 1)
    active = max(p.active_with_embedding_count, 1)
    rows = [
        [
            ROLE_NAMES[s.role], format_parameters(s.parameters_count),
            format_share(s.parameters_count, total),
            format_parameters(s.active_parameters_count) if s.active_parameters_count else "-",
            format_share(s.active_parameters_count, active),
            format_bytes(s.size_bytes),
        ]
        for s in answer.shares
    ]  # fmt: skip
    table(["where", "parameters", "share", "active", "share", "bytes"], rows, right=(1, 2, 3, 4, 5))


def _formats(answer: Explanation) -> None:
    say()
    say(f"as published: {answer.weight_format}, {format_bytes(answer.size_bytes)} of tensors")
    rows = []
    for share in answer.formats:
        roles = ", ".join(ROLE_NAMES[role] for role, size in share.by_role_bytes.items() if size)
        rows.append([share.format, share.holds, format_bytes(share.size_bytes), roles])
    table(["format", "holds", "bytes", "in"], rows, right=(2,))


def _context(answer: Explanation) -> None:
    say()
    c = answer.context
    trained = "unknown" if c.trained_tokens is None else f"{format_count(c.trained_tokens)} tokens"
    text = f"context: {trained}"
    if c.extension:
        native = "an unknown length" if c.native_tokens is None else f"{format_count(c.native_tokens)} tokens"
        text += f", positions stretched from {native} by {c.extension}"
    say(text)
    if c.rope is not None:
        part = "" if c.rope.rotated_share == 1.0 else f", {c.rope.rotated_share:.0%} of each head rotated"
        say(f"  RoPE: {c.rope.kind}, theta {c.rope.theta:,.10g}{part}")


def _cache(answer: Explanation) -> None:
    c = answer.cache
    parts = [
        f"{count} layers {what}"
        for count, what in (
            (c.growing_layers_count, "keep every token"), (c.window_layers_count, "stop at their window"),
            (c.shared_layers_count, "read another layer's"), (c.state_layers_count, "hold a constant state"),
        )
        if count
    ]  # fmt: skip
    say(f"cache of one sequence: {', '.join(parts) or 'none'}")
    if c.first_token_f16_bytes:
        later = f", later {format_bytes(c.later_token_f16_bytes)}"
        say(
            f"  a token adds {format_bytes(c.first_token_f16_bytes)} in f16"
            + (later if c.later_token_f16_bytes != c.first_token_f16_bytes else "")
        )
    if c.state_f32_bytes:
        say(f"  state: {format_bytes(c.state_f32_bytes)} in f32, at every context")
    trained = answer.context.trained_tokens
    rows = [
        [
            format_count(r.context_tokens), format_bytes(r.f16_bytes),
            "-" if r.q8_0_bytes is None else format_bytes(r.q8_0_bytes), format_bytes(r.fp8_bytes),
            "beyond the context" if trained and r.context_tokens > trained else "",
        ]
        for r in c.rows
    ]  # fmt: skip
    table(["tokens", "f16/bf16", "q8_0", "fp8", ""], rows, right=(0, 1, 2, 3))


def _words(answer: Explanation) -> None:
    say()
    v, chat = answer.vocabulary, answer.chat
    text = f"vocabulary: {format_count(v.size_count)} rows of the embedding"
    if v.tokens_count is not None:
        text += f", {format_count(v.tokens_count)} tokens, {v.kind}"
        text += f", {format_count(v.merges_count)} merges" if v.merges_count else ""
    say(text)
    if not chat.family:
        say("chat format: unknown")
        return
    say(f"chat format: {chat.family} ({chat.source})")
    say(f"  reasoning: {chat.reasoning}")
    say(f"  tool calls: {chat.tools}")


def _card(answer: Explanation) -> None:
    say()
    card = answer.card
    for name, fact in (
        ("licence", card.license), ("languages", card.languages), ("released", card.released_on),
        ("made from", card.base_model), ("variant", card.variant), ("checkpoint on the hub", card.checkpoint),
    ):  # fmt: skip
        if fact.value or name not in ("variant", "checkpoint on the hub"):
            say(f"{name}: {_fact(fact)}")
    opened = (
        ("weights", card.weights), ("data", card.training_data), ("code", card.training_code),
        ("recipe", card.recipe),
    )  # fmt: skip
    say("open: " + ", ".join(f"{name} {_fact(fact)}" for name, fact in opened))


def _fact(fact: Fact) -> str:
    source = f" ({fact.source})" if fact.source else ""
    return f"{fact.value}{source}" if fact.value else "unknown"


def _files(answer: Explanation) -> None:
    if not answer.files:
        return
    total = sum(file.size_bytes for file in answer.files)
    say(f"files: {len(answer.files)}, {format_bytes(total)}")
    largest = sorted(answer.files, key=lambda file: -file.size_bytes)[:_MOST_FILES]
    for file in largest:
        say(f"  {format_bytes(file.size_bytes):>12}  {file.name}")
    if len(answer.files) > len(largest):
        say(f"  and {len(answer.files) - len(largest)} smaller ones")


def show_config(answer: Explanation) -> None:
    """Print config.json line by line."""
    say(styled(answer.id, bold=True) + f"  keys from {answer.config_from or 'nowhere'}")
    if not answer.keys:
        say("no config.json was read: give the path of the folder that holds it")
        return
    told: dict[str, str] = {}
    for key in answer.keys:
        say()
        say("\n".join(_key(key, told)))
    unknown = [key.path for key in answer.keys if key.facts is None]
    say()
    say(f"{len(answer.keys)} keys, {len(answer.keys) - len(unknown)} explained")
    if unknown:
        say(f"unknown: {', '.join(unknown)}", fg="yellow")


def _key(key: KeyExplanation, told: dict[str, str]) -> Iterator[str]:
    """One key; `told` remembers overrides by their text, so that none is printed twice."""
    yield styled(f"{key.path}: {key.value}", bold=True)
    if key.facts is None:
        yield styled("  unknown: no fact about this key is in the catalog", fg="yellow")
        return
    yield f"  {key.facts.means}"
    for effect in key.effects:
        yield f"  {effect}"
    word, colour = _CHANGES[key.facts.change]
    yield f"  change without retraining? {styled(word, fg=colour)}: {key.facts.because}"
    if key.facts.change in ("behaviour", "safe", "trained"):
        for override in key.overrides:
            if override.how:
                first = told.setdefault(f"{override.runtime} {override.how}", key.path)
                how = override.how if first == key.path else f"as for {first}"
                yield styled(f"    {_RUNTIMES[override.runtime]}: {how}", dim=True)
