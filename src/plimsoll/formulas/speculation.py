"""Speculative decoding: Leviathan, Kalman, Matias 2023, arXiv 2211.17192.

A step drafts n tokens one after the other and verifies them in one pass of the target, which adds a token of
its own. Each drafted token is accepted with chance a where all before it were.
"""

from __future__ import annotations

_STEPS = 60


def tokens_per_step(acceptance: float, drafted: int) -> float:
    """(1 - a^(n+1)) / (1 - a), n + 1 at a = 1 (equation 1 of the paper)."""
    return float(sum(acceptance**i for i in range(drafted + 1)))


def step_seconds(draft_seconds: float, verify_seconds: float, drafted: int) -> float:
    """n x time to draft a token + time to verify n + 1 tokens in one pass."""
    return drafted * draft_seconds + verify_seconds


def acceptance_from(tokens: float, drafted: int) -> float:
    """The acceptance at which a step gives so many tokens; 0 or 1 beyond what is possible."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if tokens_per_step(middle, drafted) < tokens else (low, middle)
    return (low + high) / 2


def break_even(plain_seconds: float, step: float, drafted: int) -> float | None:
    """The acceptance at which a step gives as many tokens as plain decoding in its time; None above 1."""
    tokens = step / plain_seconds
    if tokens > drafted + 1:
        return None
    return acceptance_from(tokens, drafted) if tokens > 1 else 0.0
