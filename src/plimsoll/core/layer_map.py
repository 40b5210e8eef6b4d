"""Layers in words, and compressed into runs: '18x [sliding 128, full]'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from plimsoll.domain.explanation import LayerCell, LayerRun
from plimsoll.domain.model import LayerSpec, StateSpec

# A layer with both attention and a state is H; the rest by what mixes its tokens.
_LETTERS = {"full": "F", "sliding": "S", "chunked": "C", "latent": "L", "none": "N"}
_STATE_LETTERS = {
    "mamba1": "M", "mamba2": "M", "gated_delta": "G", "kda": "K", "lightning": "T", "short_conv": "V",
    "rwkv": "W",
}  # fmt: skip
LETTER_NAMES = {
    "F": "full attention", "S": "sliding window", "C": "chunked attention", "L": "latent attention (MLA)",
    "N": "no token mixing (feed-forward only)", "M": "Mamba", "G": "gated delta net",
    "K": "Kimi delta attention",
    "T": "lightning attention", "V": "short convolution", "W": "RWKV",
    "H": "attention and a state in one layer",
    "X": "latent attention with a sparse indexer",
}  # fmt: skip
_STATE_NAMES = {
    "mamba1": "Mamba", "mamba2": "Mamba 2", "gated_delta": "gated delta net", "kda": "Kimi delta attention",
    "lightning": "lightning attention", "short_conv": "short convolution", "rwkv": "RWKV",
}  # fmt: skip
# Published models repeat at most every 12 layers; the search is quadratic beyond that.
_LONGEST_PERIOD = 16


def cells(layers: Sequence[LayerSpec]) -> tuple[LayerCell, ...]:
    """Each layer in words."""
    is_mixed = len({bool(x.experts_count) for x in layers if x.experts_count or x.ffn_dim}) > 1
    return tuple(_cell(layer, is_mixed) for layer in layers)


def _cell(layer: LayerSpec, is_mixed: bool) -> LayerCell:
    letter = _letter(layer)
    return LayerCell(
        index=layer.index, letter=letter.lower() if is_mixed and not layer.experts_count else letter,
        attention=_attention(layer), ffn=_ffn(layer), shares_kv_with=layer.shares_kv_with,
    )  # fmt: skip


def _letter(layer: LayerSpec) -> str:
    if layer.state is not None:
        return "H" if layer.attention != "none" else _STATE_LETTERS[layer.state.kind]
    if layer.attention == "latent" and layer.indexer_dim:
        return "X"
    return _LETTERS[layer.attention]


def _attention(layer: LayerSpec) -> str:
    parts = [] if layer.state is None else [_state(layer.state)]
    if layer.attention == "latent":
        sparse = f", sparse indexer {layer.indexer_dim}" if layer.indexer_dim else ""
        parts.append(f"latent {layer.latent_dim}+{layer.rope_dim}{sparse}{_window(layer)}")
    elif layer.attention != "none":
        parts.append(f"{layer.attention}{_window(layer)}")
    return " + ".join(parts) or "none"


def _window(layer: LayerSpec) -> str:
    return f" {layer.window_tokens:,}" if layer.window_tokens else ""


def _state(state: StateSpec) -> str:
    return _STATE_NAMES[state.kind]


def _ffn(layer: LayerSpec) -> str:
    if not layer.experts_count:
        return f"dense {layer.ffn_dim:,}" if layer.ffn_dim else "none"
    text = f"{layer.active_experts_count} of {layer.experts_count} experts of {layer.expert_dim:,}"
    if layer.shared_expert_dim:
        text += f" + shared {layer.shared_expert_dim:,}"
    return text + (f", dense {layer.ffn_dim:,}" if layer.ffn_dim else "")


def runs(layers: Sequence[LayerCell]) -> tuple[LayerRun, ...]:
    """The layers as repetitions of the shortest periods that cover most, from the first layer on."""
    kinds = [(x.attention, x.ffn, x.shares_kv_with is not None) for x in layers]
    found: list[LayerRun] = []
    at = 0
    while at < len(layers):
        length, times = _best_period(kinds, at)
        found.append(LayerRun(first=at, times=times, period=tuple(layers[at : at + length])))
        at += length * times
    return tuple(found)


def _best_period(kinds: Sequence[object], at: int) -> tuple[int, int]:
    """Length and repetitions of the run that starts here: it covers most layers; on a tie it is shorter."""
    best = (1, _times(kinds, at, 1))
    for length in range(2, min(_LONGEST_PERIOD, (len(kinds) - at) // 2) + 1):
        times = _times(kinds, at, length)
        if times > 1 and length * times > best[0] * best[1]:
            best = (length, times)
    return best


def _times(kinds: Sequence[object], at: int, length: int) -> int:
    times = 1
    while kinds[at + times * length : at + (times + 1) * length] == kinds[at : at + length]:
        times += 1
    return times


def text(found: Sequence[LayerRun]) -> str:
    """'36 layers: 18x [sliding 128, full], each with 4 of 128 experts of 2,880'."""
    every = [cell for run in found for cell in run.period]
    kinds = {cell.ffn for cell in every}
    is_same = len(kinds) == 1
    if not is_same and len(kinds - {"none"}) == 1:
        return _apart(found, next(iter(kinds - {"none"})))
    parts = [_run_text(run, is_same) for run in found]
    count = sum(run.times * len(run.period) for run in found)
    end = f", each with {every[0].ffn}" if is_same and every and every[0].ffn != "none" else ""
    return f"{count:,} layers: {', '.join(parts)}{end}"


def _apart(found: Sequence[LayerRun], ffn: str) -> str:
    """The text where some layers have one and the same feed-forward part and others none: it is told once."""
    word = "experts" if "experts" in ffn else "feed-forward"
    short = [
        replace(run, period=tuple(replace(x, ffn=word) if x.ffn == ffn else x for x in run.period))
        for run in found
    ]
    count = sum(run.times * len(run.period) for run in found)
    return f"{count:,} layers: {', '.join(_run_text(run, False) for run in short)}; {word}: {ffn}"


def _run_text(run: LayerRun, is_same: bool) -> str:
    words = []
    for name, equal in groupby(_words(cell, is_same) for cell in run.period):
        times = len(list(equal))
        words.append(f"{times}x {name}" if times > 1 else name)
    if len(words) == 1 and len(run.period) == 1:
        return f"{run.times}x {words[0]}" if run.times > 1 else words[0]
    inside = ", ".join(words)
    return f"{run.times}x [{inside}]" if run.times > 1 else inside


def _words(cell: LayerCell, is_same: bool) -> str:
    shared = " (reads an earlier layer's KV)" if cell.shares_kv_with is not None else ""
    if cell.attention == "none" and not is_same:
        return cell.ffn
    return f"{cell.attention}{shared}" + ("" if is_same or cell.ffn == "none" else f" / {cell.ffn}")
