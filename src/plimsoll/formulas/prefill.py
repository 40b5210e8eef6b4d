"""What a prompt costs: operations of a run of new tokens behind those already in the cache."""

from __future__ import annotations

from collections.abc import Iterable

from plimsoll.domain.model import LayerSpec
from plimsoll.formulas.decode import alike, attention_flops


def prompt_attention_flops(layers: Iterable[LayerSpec], depth_tokens: int, new_tokens: int) -> int:
    """Operations of attention over a prompt: sum over its tokens of what each sees.

    Each layer's cost grows with the context up to its window and is flat from there; the sum is taken with
    the trapezoid rule on both sides of the kink.
    """
    total = 0.0
    for layer, count in alike(layers):
        window = layer.window_tokens or depth_tokens + new_tokens
        grows_until = min(max(window - depth_tokens, 0), new_tokens)
        first = attention_flops([layer], max(depth_tokens, 1))
        at_kink = attention_flops([layer], depth_tokens + grows_until)
        total += count * (grows_until * (first + at_kink) / 2 + (new_tokens - grows_until) * at_kink)
    return round(total)


def chunks_count(prompt_tokens: int, chunk_tokens: int) -> int:
    """Passes that a prompt takes: ceil(prompt / tokens of one pass)."""
    return -(-prompt_tokens // max(chunk_tokens, 1))
