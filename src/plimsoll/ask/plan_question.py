"""What was asked of a plan, and the fit question behind each of its parts."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields

from plimsoll.ask.fit import FitQuestion, spelled
from plimsoll.domain.deployment import SplitKind
from plimsoll.domain.plan import Goal
from plimsoll.units import MIB, Money, format_money


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanQuestion:
    """What was asked, as typed. Empty or None means: the goal's default, or try all.

    Of several models the first comes first; `adapters` are the first one's. `disk_bytes_per_s` is how fast
    weights are read when models are swapped.
    """

    models: tuple[str, ...]
    on: str | None = None
    goal: Goal = "chat"
    context_tokens: int | None = None
    users_count: int | None = None
    min_tokens_per_s: float | None = None
    max_first_token_s: float | None = None
    runtime: str = ""
    weights: str = ""
    kv: str = ""
    split: SplitKind | None = None
    vram_free_bytes: int | None = None
    ram_bytes: int | None = None
    desktop_bytes: int | None = None
    adapters: tuple[str, ...] = ()
    disk_bytes_per_s: int | None = None
    budget: Money | None = None
    rent: Money | None = None
    prices_file: str = ""
    is_offload_allowed: bool = True
    offline: bool = False


def asked_of(question: FitQuestion | PlanQuestion) -> dict[str, object]:
    """The fields that say something, as JSON holds them."""
    values = {f.name: getattr(question, f.name) for f in fields(question)}
    return {
        name: _plain(value)
        for name, value in values.items()
        if value not in (None, "", (), {}, False) or value is True
    }


def _plain(value: object) -> object:
    if isinstance(value, Money):
        return f"{format_money(value.amount, value.currency)}/{value.per}"
    return dict(value) if isinstance(value, Mapping) else value


def flags_of(question: FitQuestion) -> str:
    """What to type after `plimsoll fit` for this question."""
    words = [*question.models]
    count = question.parallel_sequences_count
    told: list[tuple[str, object]] = [
        ("--on", question.on), ("--runtime", _runtime_text(question.runtime)),
        ("--weights", question.weights),
        ("--kv", question.kv), ("--context", question.context_tokens),
        ("--parallel", count if count > 1 else None),
        ("--vram-free", _size(question.vram_free_bytes)), ("--ram", _size(question.ram_bytes)),
        ("--desktop", _size(question.desktop_bytes)),
        ("--split", question.split), ("--gpu-layers", question.gpu_layers_count),
        ("--n-cpu-moe", question.cpu_expert_layers_count),
        *(("--override-tensor", f"{pattern}={buffer}") for pattern, buffer in question.overrides),
        *(("--adapter", path) for path in question.adapters),
        *(("--set", f"{name}={value}") for name, value in question.settings.items()),
    ]  # fmt: skip
    for flag, value in told:
        if value not in (None, ""):
            words += [flag, str(value)]
    return shlex.join(words)


def _size(count: int | None) -> str:
    """A size as one would type it, to the byte."""
    if count is None:
        return ""
    return f"{count // MIB}MiB" if count % MIB == 0 else str(count)


def _runtime_text(runtime: str) -> str:
    name, mark, version = runtime.partition("==")
    return f"{spelled(name)}{mark}{version}"
